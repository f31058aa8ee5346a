"""Deadlines for waits that are many and short: one timer looks after all of them.

`asyncio.timeout` makes a timer for each wait, which costs more than all else about a small request; where a deadline is
hardly ever reached, looking at all of them every tenth of a second does as well.
"""

import asyncio
from typing import Any

TICK = 0.1
"""Seconds between two looks: a wait may last this much longer than it should."""


class Wait:
    """One wait of one task."""

    __slots__ = ("due", "late", "task")

    def __init__(self, task: asyncio.Task[Any], due: float) -> None:
        self.task = task
        self.due = due
        self.late = False


class Watch:
    """Cancels tasks that wait too long. For one event loop at a time.

    wait = watch.begin(seconds)
    try:
        ...
    finally:
        if watch.end(wait):
            raise TooLate
    """

    def __init__(self) -> None:
        self._waits: set[Wait] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking = False

    def begin(self, seconds: float) -> Wait:
        """Watch the current task for so long."""
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        if loop is not self._loop:
            # an earlier loop has ended, and the timer with it
            self._loop = loop
            self._waits.clear()
            self._looking = False
        if not self._looking:
            self._looking = True
            loop.call_later(TICK, self._look, loop)
        wait = Wait(task, loop.time() + seconds)
        self._waits.add(wait)
        return wait

    def end(self, wait: Wait) -> bool:
        """Let go of it; whether the task was cancelled for being late, which is then taken back."""
        self._waits.discard(wait)
        if wait.late:
            wait.task.uncancel()
        return wait.late

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        now = loop.time()
        for wait in self._waits:
            if wait.due <= now and not wait.late:
                wait.late = True
                wait.task.cancel()
        self._looking = bool(self._waits)
        if self._looking:
            loop.call_later(TICK, self._look, loop)
