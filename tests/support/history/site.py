"""Several nodes on one store, their clients, and what goes wrong meanwhile; in the end, the history of it all."""

import asyncio
import itertools
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from plantel.access import Role, Token, digest, token_text
from plantel.ports import Store, Transaction
from plantel.roster import Campaign
from plantel.store import open_store
from tests.support.history.client import PATIENCE, Client
from tests.support.history.ground import Ground
from tests.support.history.history import History
from tests.support.history.node import Node
from tests.support.history.pasts import pasts
from tests.support.history.progress import Progress
from tests.support.history.workload import DECLARED, PASSING, Coming, Workload

T = TypeVar("T")

NODES = 2
CLIENTS = 12
INSTANCE = "default"

PASTS = 100
"""Past rosters asked for in the end."""

COMING = 40
"""Operations between two changes of the passing campaign."""

QUIET_MOST = 300
"""Operations before each thing that goes wrong, and as long as it does."""

HARM_MOST = 3.0
"""Seconds that it goes wrong: longer than a client waits."""


class Site:
    """Runs once. What the clients ask for and what goes wrong is drawn from the seed; how it meets is not."""

    def __init__(self, folder: Path, ground: Ground, seed: int, seconds: float) -> None:
        self.faults: Counter[str] = Counter()
        """What was done, and how often."""
        self._url = ground.url
        self._seed = seed
        self._seconds = seconds
        self._draw = random.Random(seed)
        self._nodes = [Node(folder / f"node-{number}", ground.url) for number in range(NODES)]
        self._harms: dict[str, Callable[[], AbstractContextManager[None]]] = {
            "a node killed": self._one_killed,
            "all nodes killed": self._all_killed,
            "a node frozen": self._one_frozen,
            "a node frozen, then killed": self._one_frozen_and_killed,
            "a node restarted": self._one_restarted,
            **ground.faults,
        }
        self._progress = Progress()
        self._done = threading.Event()
        self._numbers = itertools.count()
        lives = int(20 + 3 * seconds)
        self._processes = {number: [f"{number}-{life}" for life in range(lives)] for number in range(CLIENTS + 1)}
        self._secrets = {name: secrets.token_urlsafe(9) for names in self._processes.values() for name in names}
        coming = Coming(lambda: self._progress.wait(COMING, 1))
        draws = [random.Random(f"{seed} {number}") for number in self._processes]
        wishes: list[Workload | Coming] = [coming, *map(Workload, draws[1:])]
        *self._clients, self._reader = (
            self._client(number, draw, wish) for number, draw, wish in zip(self._processes, draws, wishes, strict=True)
        )

    def _client(self, number: int, draw: random.Random, wishes: Workload | Coming) -> Client:
        processes = ((name, token_text(name, self._secrets[name])) for name in self._processes[number])
        return Client(self._nodes, processes, draw, wishes, self._numbers, self._progress, self._done)

    def run(self) -> History:
        """All of it: takes about `seconds`, and the starts of the nodes."""
        _within(self._url, lambda store: store.write(self._prepare))
        try:
            for node in self._nodes:
                node.start()
            for client in self._clients:
                client.start()
            self._harm()
            self._done.set()
            for client in self._clients:
                client.join(10 * PATIENCE)
                assert not client.is_alive(), "a client does not come to an end"
                if client.failure is not None:
                    raise client.failure
            self._reader.read_everything(DECLARED)
            for node in self._nodes:
                assert node.stop() == 0, node.log.read_text(encoding="utf-8")
        finally:
            self._done.set()
            for node in self._nodes:
                if node.process is not None:
                    node.kill()
        return _within(self._url, lambda store: store.read(self._written_down))

    # --- the store, before and afterwards ----------------------------------------------------------------------------

    def _prepare(self, transaction: Transaction) -> None:
        """Declare the campaigns, and make a token for each process."""
        for name in DECLARED:
            transaction.add_campaign(Campaign(INSTANCE, name))
        key, now = transaction.token_key(), datetime.now(UTC)
        for name, secret in self._secrets.items():
            transaction.add_token(Token(INSTANCE, name, digest(key, secret), Role.ADMIN, (), now))

    def _written_down(self, transaction: Transaction) -> History:
        operations = [one for client in (*self._clients, self._reader) for one in client.operations]
        start = min(one.invoked for one in operations)
        return History(
            str(self._seed),
            DECLARED,
            tuple(
                msgspec.structs.replace(one, invoked=one.invoked - start, returned=one.returned - start)
                for one in operations
            ),
            tuple(reversed(transaction.batches(INSTANCE, 10**9))),
            tuple(transaction.journal(INSTANCE, limit=10**9)),
            tuple(transaction.members(INSTANCE)),
            pasts(transaction, INSTANCE, self._draw, PASTS),
            PASSING,
        )

    # --- what goes wrong ---------------------------------------------------------------------------------------------

    def _harm(self) -> None:
        """One thing after another, until the time is over; the clients go on before each, and during it."""
        end = time.monotonic() + self._seconds
        while time.monotonic() < end:
            self._progress.wait(self._draw.randrange(QUIET_MOST), 1)
            harm = self._draw.choice(list(self._harms))
            with self._harms[harm]():
                self._progress.wait(self._draw.randrange(QUIET_MOST), self._draw.uniform(0, HARM_MOST))
            self.faults[harm] += 1

    @contextmanager
    def _one_killed(self) -> Iterator[None]:
        node = self._draw.choice(self._nodes)
        node.kill()
        yield
        node.start()

    @contextmanager
    def _all_killed(self) -> Iterator[None]:
        for node in self._nodes:
            node.kill()
        yield
        for node in self._nodes:
            node.start()

    @contextmanager
    def _one_frozen(self) -> Iterator[None]:
        node = self._draw.choice(self._nodes)
        node.freeze()
        yield
        node.thaw()

    @contextmanager
    def _one_frozen_and_killed(self) -> Iterator[None]:
        node = self._draw.choice(self._nodes)
        node.freeze()
        yield
        node.kill()
        node.start()

    @contextmanager
    def _one_restarted(self) -> Iterator[None]:
        node = self._draw.choice(self._nodes)
        assert node.stop() == 0, node.log.read_text(encoding="utf-8")
        yield
        node.start()


def _within(url: str, use: Callable[[Store], Awaitable[T]]) -> T:
    """What `use` makes of the store, which is opened for it alone."""

    async def used() -> T:
        store = open_store(url)
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(used())
