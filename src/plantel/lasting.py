"""Telling only news that lasts: what changes to and fro under load would fill a log that nobody reads any more."""

import asyncio
from collections.abc import Callable, Hashable

LASTING_SECONDS = 5.0
"""How long something has to be otherwise than it was told, to be told again."""


class Lasting:
    """Remembers what was told last, and calls `tell` once it has been otherwise for LASTING_SECONDS without a break."""

    def __init__(self, told: Hashable, tell: Callable[[], None]) -> None:
        self._told = self._now = told
        self._tell = tell
        self._due: asyncio.TimerHandle | None = None

    def see(self, now: Hashable, *, at_once: bool = False) -> None:
        """It is so by now. `at_once`: this does not wait. Needs a running event loop."""
        self._now = now
        if now == self._told or at_once:
            self._let_go()
        if now == self._told:
            return
        if at_once:
            self._say()
        elif self._due is None:
            # not begun anew by another change: it is otherwise than told, however it changes
            self._due = asyncio.get_running_loop().call_later(LASTING_SECONDS, self._say)

    def _say(self) -> None:
        self._let_go()
        self._told = self._now
        self._tell()

    def _let_go(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
