"""Forgetting what is older than the journal has to be kept."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import structlog

from plantel import errors
from plantel.batch import CLOCKS_APART
from plantel.ports import Clock, Needless, Store, Transaction

ROUND_SECONDS = 3600.0
"""Between two looks for what has become old."""

SHARE = 0.1
"""Of the writer's time at most, so that nobody waits long behind it."""

LEASE = "retention"

LEASE_SECONDS = 5.0
"""How long to wait for another node that is at it; it will do for all."""

log = structlog.get_logger()


class Retention:
    """Keeps the journal of one store as long as `keep` says."""

    def __init__(self, store: Store, clock: Clock, keep: timedelta, known: Callable[[datetime], None]) -> None:
        """`known` is told since when everything is known, where something was forgotten."""
        self._known = known
        self._store = store
        self._clock = clock
        self._keep = keep

    async def run(self) -> None:
        """Forget, now and whenever something has become old, until cancelled."""
        while True:
            try:
                with contextlib.suppress(TimeoutError):  # another node is at it
                    await self.run_once()
                since = await self._store.read(lambda transaction: transaction.known_since())
                if since is not None:
                    self._known(since)
            except errors.PlantelError as error:
                log.warning("retention", code=error.code, reason=str(error))
            await asyncio.sleep(ROUND_SECONDS)

    async def run_once(self) -> None:
        """Forget all that is old enough by the node's clock and by the database's: one that is wrong must not cost the
        history. Raises TimeoutError where another node is at it; StoreError."""
        here, there = self._clock.now(), await self._store.read(lambda transaction: transaction.time())
        if abs(here - there) > CLOCKS_APART:
            log.warning("clocks_differ", node=here.isoformat(), database=there.isoformat())
        cutoff = min(here, there) - self._keep
        steps = 0
        async with self._store.lease(LEASE, LEASE_SECONDS) as lease:
            while True:
                needless = await self._store.read(lambda transaction: transaction.needless(cutoff))
                if needless is None:
                    break
                lease.check()
                began = time.monotonic()
                await self._store.write(partial(_prune, needless))
                steps += 1
                await asyncio.sleep((time.monotonic() - began) * (1 - SHARE) / SHARE)
        if steps:
            log.info("retention", steps=steps, cutoff=cutoff.isoformat())


def _prune(needless: Needless, transaction: Transaction) -> None:
    transaction.prune(needless)
