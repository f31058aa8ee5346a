"""SQLite as the peers use it: a store's own tables, its own settings, and plain statements."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from bench.measure import BenchFailed
from plantel.access import Role, Token, digest, new_secret, token_text
from plantel.ports import Transaction
from plantel.roster import Campaign
from plantel.store import open_store
from plantel.store.sqlite import CACHE_KIB
from plantel.wiring import SystemClock

INSTANCE = "default"

INSERT_MEMBER = (
    "INSERT INTO members (campaign, membername, phone, interface, penalty, paused) VALUES (?, ?, ?, ?, ?, ?)"
)

UPSERT_MEMBER = f"""{INSERT_MEMBER} ON CONFLICT (campaign, membername) DO UPDATE SET
    phone = excluded.phone, interface = excluded.interface, penalty = excluded.penalty, paused = excluded.paused"""

INSERT_LINE = """INSERT INTO journal
    (batch, campaign, membername, kind, after_interface, after_penalty, after_paused) VALUES (?, ?, ?, ?, ?, ?, ?)"""

INSERT_BATCH = """INSERT INTO batches (number, id, instance, actor, source, at, items, problems, revision, changes)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_ASTRAY = """SELECT count(*) FROM
    (SELECT campaign, membername, after_penalty, max(revision) FROM journal GROUP BY campaign, membername) AS newest
    LEFT JOIN members USING (campaign, membername) WHERE members.penalty IS NOT newest.after_penalty"""


def make(path: Path, campaigns: Sequence[str]) -> str:
    """A new store at `path` with these campaigns; returns the text of a token for it."""

    async def fill() -> str:
        store = open_store(f"sqlite:///{path}")
        secret = new_secret()

        def work(transaction: Transaction) -> None:
            for name in campaigns:
                transaction.add_campaign(Campaign(INSTANCE, name))
            key = transaction.token_key()
            now = SystemClock().now()
            transaction.add_token(Token(INSTANCE, "bench", digest(key, secret), Role.INTEGRATOR, (), now))

        try:
            await store.write(work)
        finally:
            await store.close()
        return token_text("bench", secret)

    return asyncio.run(fill())


def connect(path: Path) -> sqlite3.Connection:
    """A connection with the settings of a store's own; transactions are begun and ended by hand."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def campaign_ids(connection: sqlite3.Connection) -> dict[str, int]:
    """The number of each campaign, by name."""
    return dict(connection.execute("SELECT name, id FROM campaigns").fetchall())


def journal_lines(path: Path) -> int:
    """How many changes are stored."""
    with contextlib.closing(connect(path)) as connection:
        lines: int = connection.execute("SELECT count(*) FROM journal").fetchone()[0]
        return lines


def check_consistent(path: Path) -> None:
    """Raise BenchFailed unless no batch was refused and every member is as its newest change left it."""
    with contextlib.closing(connect(path)) as connection:
        refused = connection.execute("SELECT count(*) FROM batches WHERE problems <> '[]'").fetchone()[0]
        astray = connection.execute(_ASTRAY).fetchone()[0]
    if refused or astray:
        raise BenchFailed(f"{refused} batches were refused, {astray} members are not as they were sent")
