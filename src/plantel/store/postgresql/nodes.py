"""Which nodes are connected to a PostgreSQL, and whether each has its sessions to itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
import sqlalchemy

from plantel import errors
from plantel.language import Text
from plantel.store.node import Node
from plantel.store.postgresql.lease import lock_key

_SESSIONS = """SELECT DISTINCT application_name, coalesce(host(client_addr), ''),
    (classid::int8 << 32) | objid::int8
    FROM pg_stat_activity AS session LEFT JOIN pg_locks AS locked ON locked.pid = session.pid
    AND locktype = 'advisory' AND objsubid = 1 AND granted
    WHERE datname = current_database() AND usename = current_user AND backend_type = 'client backend'
    AND session.pid <> pg_backend_pid()"""

# the same pid on two servers would be no accident to rely on
_BACKEND = "SELECT pg_backend_pid(), pg_postmaster_start_time()"


def connected(connection: sqlalchemy.Connection, leases: Sequence[str]) -> list[Node]:
    """All that use this database as our user does, but for this connection, with those of `leases` that they hold."""
    names = {lock_key(lease): lease for lease in leases}
    found: dict[tuple[str, str], set[str]] = {}
    for name, address, key in connection.exec_driver_sql(_SESSIONS):
        held = found.setdefault((name, address), set())
        if key in names:
            held.add(names[key])
    return [Node(name, address, tuple(sorted(held))) for (name, address), held in sorted(found.items())]


def check_sessions(parameters: Mapping[str, Any]) -> None:
    """Raise InvalidSetting where a pooler lends one session of the server to several connections, as it goes.

    Two connections that are open at once are asked which session they have. Without such a pooler each has one, always
    the same, of its own; so there is no false alarm. Behind one that is idle they are given the same. `parameters`: of
    a connection. Raises psycopg.Error.
    """
    with (
        psycopg.connect(**parameters, autocommit=True) as first,
        psycopg.connect(**parameters, autocommit=True) as second,
    ):
        # in this order a pooler that takes the sessions in turn is found out, too
        mine, others, others_then, mine_then = (
            one.execute(_BACKEND).fetchone() for one in (first, second, second, first)
        )
    if mine != others and mine == mine_then and others == others_then:
        return
    detail = Text(
        "leads to a pooler that lends a session of the server for one transaction (PgBouncer: pool_mode = transaction),"
        " and Plantel's leases and settings are those of a session: connect directly, or with pool_mode = session",
        "lleva a un agrupador que presta una sesión del servidor por una transacción (PgBouncer: pool_mode ="
        " transaction), y las concesiones y los ajustes de Plantel son de una sesión: conéctese directamente, o con"
        " pool_mode = session",
    )
    raise errors.InvalidSetting(setting="store.url", detail=detail)
