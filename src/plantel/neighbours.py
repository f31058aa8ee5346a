"""The other processes on the same store: other nodes, and the command line. What they commit is ours to deliver too."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import structlog

from plantel import errors
from plantel.delivery import Delivery
from plantel.ports import Entry, Store, Transaction

ELSEWHERE = 0.5
"""Seconds between two looks for commits of others, where the store does not tell of them."""

LINES_MOST = 1000
"""So many journal lines of others are gone through; where there are more, everything is looked at."""

log = structlog.get_logger()


class Neighbours:
    """Those of one process, which serves these instances."""

    def __init__(
        self, store: Store, deliveries: Mapping[str, Delivery], forget: Collection[Callable[[], None]]
    ) -> None:
        """`deliveries`: by instance. Each of `forget` is called when tokens may have changed."""
        self._store = store
        self._deliveries = deliveries
        self._forget = forget
        self._one = asyncio.Lock()
        self._told: int | None = None
        """The revision up to which all lines are known; None: nobody knows."""
        self._key: bytes | None = None
        """The store's own; another one is of another store."""
        self.trouble: errors.StoreError | None = None
        """What stood in the way of the last look, while it is watched: requests fail for the same reason."""

    async def watch(self) -> None:
        """Go on catching up, until cancelled. A store that fails is waited for."""
        while True:
            await self._store.wait_elsewhere(ELSEWHERE)
            try:
                await self.catch_up()
            except errors.ServerBusy:
                self._told = None  # much work is no trouble: nodes that all have it must not all be given up
            except errors.StoreError as error:
                # what was committed meanwhile may never be told again
                self._told = None
                self._note(error)
            else:
                self._note(None)

    def _note(self, trouble: errors.StoreError | None) -> None:
        """Remember it, and log it where it is news: it is looked twice a second, and a store may be away all night."""
        before, self.trouble = self.trouble, trouble
        if trouble is None:
            if before is not None:
                log.info("store", state="available")
        elif before is None or before.code != trouble.code:
            log.warning("store", code=trouble.code, reason=str(trouble))

    async def catch_up(self) -> None:
        """Wake whoever delivers what others have committed by now. Raises StoreError."""
        async with self._one:
            await self._catch_up()

    async def _catch_up(self) -> None:
        own = max((one.newest for one in self._deliveries.values()), default=0)
        changed = await self._store.changed_elsewhere()
        if self._told is not None and not changed:
            if own > self._told:  # whatever there is up to it is known
                self._tell(own, {})
            return
        for forget in self._forget:
            forget()
        revision, lines = await self._store.read(self._since)
        self._tell(revision, lines or {})
        if lines is None:
            for delivery in self._deliveries.values():
                delivery.wake(None)

    def _tell(self, revision: int, lines: Mapping[str, Sequence[Entry]]) -> None:
        for instance, delivery in self._deliveries.items():
            delivery.wake_elsewhere(revision, lines.get(instance, ()))
        self._told = revision

    def _since(self, transaction: Transaction) -> tuple[int, Mapping[str, list[Entry]] | None]:
        """The store's revision, and the lines after the last one known; None where nobody knows it, or of too many.

        Raises StoreUnavailable if another store is in the database by now, e.g. since it was dropped and made anew.
        """
        key = transaction.token_key()
        self._key = self._key or key
        if key != self._key:
            raise errors.StoreUnavailable(detail="the database has another store than at the start; restart to use it")
        revision = transaction.revision()
        if self._told is None or revision - self._told > LINES_MOST:
            return revision, None
        return revision, {
            instance: transaction.journal(instance, after=self._told, limit=LINES_MOST) if revision > self._told else []
            for instance in self._deliveries
        }
