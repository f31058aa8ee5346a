"""SQLite files of any size, filled by SQL in one go: through the store it would take hours."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import database
from bench.raw import INSTANCE
from bench.sqlite import open_file

PER_CAMPAIGN = 1_000

SECONDS = 10
"""Between two batches of `fill_journal`, as they are stamped."""

_CACHE_KIB = 1024 * 1024

_COUNT = "WITH RECURSIVE count(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM count WHERE i + 1 < ?)"


def campaign(number: int) -> str:
    """The name of the campaign of member `number`, who is called `agent(number)` and is on `phone(number)`."""
    return f"Ventas-{number // PER_CAMPAIGN:05d}->"


def agent(number: int) -> str:
    return f"Agente {number % PER_CAMPAIGN:03d}"


def phone(number: int) -> str:
    return f"SIP/{number:09d}"


def fill_roster(url: str, members: int) -> None:
    """A new store of so many members, each with the line that added it, PER_CAMPAIGN to a campaign and batch."""
    with _bulk(url) as connection:
        _add_members(connection, members)
        connection.execute(
            f"""{_COUNT} INSERT INTO journal
            (revision, batch, campaign, membername, kind, after_interface, after_penalty, after_paused)
            SELECT i + 1, i / {PER_CAMPAIGN} + 1, i / {PER_CAMPAIGN} + 1, printf('Agente %03d', i % {PER_CAMPAIGN}),
            'added', printf('SIP/%09d', i), 0, 0 FROM count""",
            (members,),
        )
        _add_batches(connection, members, PER_CAMPAIGN)


def fill_journal(url: str, members: int, lines: int, each: int) -> None:
    """A new store of so many members, who were changed one after another and again and again, `each` in a batch."""
    with _bulk(url) as connection:
        _add_members(connection, members)
        # an index made afterwards is sorted once, one that is kept up is written all over for every line
        (index,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'journal_member'").fetchone()
        connection.execute("DROP INDEX journal_member")
        connection.execute(
            f"""{_COUNT} INSERT INTO journal
            (revision, batch, campaign, membername, kind, after_interface, after_penalty, after_paused,
            before_interface, before_penalty, before_paused)
            SELECT i + 1, i / {each} + 1, i % {members} / {PER_CAMPAIGN} + 1,
            printf('Agente %03d', i % {members} % {PER_CAMPAIGN}), iif(i < {members}, 'added', 'updated'),
            printf('SIP/%09d', i % {members}), i / {members} % 5, 0,
            iif(i < {members}, NULL, printf('SIP/%09d', i % {members})), (i / {members} + 4) % 5, 0 FROM count""",
            (lines,),
        )
        connection.execute(index)
        _add_batches(connection, lines, each)


@contextmanager
def _bulk(url: str) -> Iterator[sqlite3.Connection]:
    """A connection to a new store, in one transaction, which nobody needs to survive a crash, nor to take back."""
    database.make(url, [])
    with contextlib.closing(open_file(url)) as connection:
        # without a log every page is written once, where it belongs; with one twice, and the log is as long as the file
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        connection.execute(
            "PRAGMA temp_store = FILE"
        )  # the entries of an index of 100 million lines are some gigabytes
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL")
    with Path(url.removeprefix("sqlite:///")).open("rb") as file:
        os.fsync(file.fileno())  # else the kernel writes it while others are measured


def _add_members(connection: sqlite3.Connection, members: int) -> None:
    connection.execute(
        f"""{_COUNT} INSERT INTO campaigns (id, instance, name, folded, origin, removed)
        SELECT i + 1, '{INSTANCE}', printf('Ventas-%05d->', i), printf('ventas-%05d->', i), 'declared', 0 FROM count""",
        (-(-members // PER_CAMPAIGN),),
    )
    connection.execute(
        f"""{_COUNT} INSERT INTO members (campaign, membername, phone, interface, penalty, paused)
        SELECT i / {PER_CAMPAIGN} + 1, printf('Agente %03d', i % {PER_CAMPAIGN}), printf('sip/%09d', i),
        printf('SIP/%09d', i), 0, 0 FROM count""",
        (members,),
    )


def _add_batches(connection: sqlite3.Connection, lines: int, each: int) -> None:
    connection.execute(
        f"""{_COUNT} INSERT INTO batches
        (number, id, instance, actor, source, at, items, problems, revision, changes)
        SELECT i + 1, printf('%028x', i), '{INSTANCE}', 'bench', 'wire', (i + 1) * {SECONDS} * 1000000, {each}, '[]',
        min((i + 1) * {each}, {lines}), min({each}, {lines} - i * {each}) FROM count""",
        (-(-lines // each),),
    )
