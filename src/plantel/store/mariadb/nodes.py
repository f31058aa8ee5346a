"""Which machines are connected to a MariaDB: it does not tell the processes of one apart."""

from collections.abc import Sequence

import sqlalchemy

from plantel.store.mariadb.lease import lock_name
from plantel.store.node import Node

# without the right PROCESS a user sees those of its own, which are what is asked for
_SESSIONS = """SELECT id, host FROM information_schema.processlist
    WHERE db = DATABASE() AND user = SUBSTRING_INDEX(USER(), '@', 1) AND id <> CONNECTION_ID()"""


def connected(connection: sqlalchemy.Connection, database: str, leases: Sequence[str]) -> list[Node]:
    """All that use this database as our user does, but for this connection, with those of `leases` that they hold."""
    holders = {
        lease: connection.exec_driver_sql("SELECT IS_USED_LOCK(%s)", (lock_name(database, lease),)).scalar_one()
        for lease in leases
    }
    found: dict[str, set[str]] = {}
    for number, host in connection.exec_driver_sql(_SESSIONS):
        address = host.rpartition(":")[0]  # a socket of the machine has no port
        found.setdefault(address, set()).update(lease for lease, holder in holders.items() if holder == number)
    return [Node("", address, tuple(sorted(held))) for address, held in sorted(found.items())]
