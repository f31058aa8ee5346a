"""Deadlines for waits that are many and short: one timer looks after all of them.

`asyncio.timeout` makes a timer for each wait, which costs more than all else about a small request; where a deadline is
hardly ever reached, looking at all of them every tenth of a second does as well.
"""

import asyncio
from typing import Any

TICK = 0.1
"""Seconds between two looks: a wait may last this much longer than it should."""


class Watch:
    """Cancels tasks that wait too long, each in one wait at a time. For one event loop at a time.

    waiting = watch.begin(seconds)
    try:
        ...
    finally:
        if watch.end(waiting):
            raise TooLate
    """

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, seconds: float) -> asyncio.Task[Any]:
        """Watch the current task, which is returned, for so long."""
        loop = self._loop
        task = None if loop is None else asyncio.current_task(loop)
        if loop is None or task is None:
            # nobody was waiting, so there is no timer; or it ended with an earlier loop
            loop = self._loop = asyncio.get_running_loop()
            self._due.clear()
            loop.call_later(TICK, self._look, loop)
            task = asyncio.current_task(loop)
            assert task is not None
        self._due[task] = loop.time() + seconds
        return task

    def end(self, task: asyncio.Task[Any]) -> bool:
        """Let go of it; whether the task was cancelled for being late, which is then taken back."""
        if self._due.pop(task, None) is not None:
            return False
        task.uncancel()
        return True

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        if not self._due:
            self._loop = None
            return
        now = loop.time()
        for task in [task for task, due in self._due.items() if due <= now]:
            del self._due[task]
            task.cancel()
        loop.call_later(TICK, self._look, loop)
