"""The databases that Plantel is measured on, and what the peers do to the same tables through a plain driver.

To add one: a file like `sqlite.py`, and a line in `DATABASES`.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from bench.filler import Filler
from bench.mariadb import Mariadb
from bench.postgresql import Postgresql
from bench.raw import INSTANCE, Raw
from bench.sqlite import Sqlite
from plantel.access import Role, Token, digest, new_secret, token_text
from plantel.ports import Transaction
from plantel.roster import Campaign
from plantel.store import open_store
from plantel.wiring import SystemClock


class Database(Protocol):
    """One database."""

    @property
    def name(self) -> str: ...

    @property
    def schemes(self) -> tuple[str, ...]:
        """What the URLs of its stores begin with, up to the colon."""
        ...

    def private(self, folder: Path) -> AbstractContextManager[Callable[[str], str]]:
        """A database of our own with its data in `folder`: gives the URL of a new, empty store by a name."""
        ...

    def connect(self, url: str) -> Raw:
        """A plain connection to the store at `url`."""
        ...

    def filler(self) -> Filler: ...


DATABASES: tuple[Database, ...] = (Sqlite(), Postgresql(), Mariadb())


def of(url: str) -> Database:
    """The one that `url` leads to."""
    scheme = url.partition(":")[0]
    return next(one for one in DATABASES if scheme in one.schemes)


def connect(url: str) -> Raw:
    """A plain connection to the store at `url`, with the settings of a store's own."""
    return of(url).connect(url)


def make(url: str, campaigns: Sequence[str]) -> str:
    """A new store at `url` with these campaigns; returns the text of a token for it."""

    async def fill() -> str:
        store = open_store(url)
        secret = new_secret().reveal()

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
