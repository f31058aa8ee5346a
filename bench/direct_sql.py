"""An integrator's client that writes into Asterisk's realtime table itself, in the usual way. A peer.

What it leaves out is left out by most: nobody checks names, interfaces or that the queue exists, nothing tells who
changed what, an agent who moves to another phone is there twice, and another name on the same phone is not noticed by
Asterisk, which knows a row by its `uniqueid`. It holds the database's credentials.
"""

from collections.abc import Sequence

import psycopg

from plantel.roster import Member

TABLE = """CREATE TABLE queue_members (
    queue_name varchar(80) NOT NULL,
    interface varchar(80) NOT NULL,
    membername varchar(80),
    state_interface varchar(80),
    penalty integer,
    paused integer,
    uniqueid serial NOT NULL UNIQUE,
    wrapuptime integer,
    ringinuse varchar(3),
    reason_paused varchar(80),
    PRIMARY KEY (queue_name, interface)
)"""
"""The columns that Asterisk documents (contrib/ast-db-manage)."""

_UPSERT = """INSERT INTO queue_members (queue_name, interface, membername, penalty, paused)
    VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (queue_name, interface) DO UPDATE
    SET membername = excluded.membername, penalty = excluded.penalty, paused = excluded.paused"""


class DirectSql:
    """One open connection. Each way of adding is one transaction, committed when it returns."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True, connect_timeout=5)

    def close(self) -> None:
        self._connection.close()

    def add_each(self, batch: Sequence[Member]) -> None:
        """A statement for each member, each awaited."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for one in batch:
                cursor.execute(_UPSERT, _row(one))

    def add_many(self, batch: Sequence[Member]) -> None:
        """All at once: psycopg sends one statement after the other without waiting for their answers."""
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(_UPSERT, [_row(one) for one in batch])


def _row(member: Member) -> tuple[str, str, str, int, int]:
    return member.campaign, member.interface, member.membername, member.penalty, int(member.paused)
