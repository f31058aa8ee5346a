"""Deadlines for waits that are many and short: one timer looks after all of them.

`asyncio.timeout` makes a timer for each wait, which costs more than all else about a small request; where a deadline is
hardly ever reached, looking at all of them every tenth of a second does as well.
"""

import asyncio
from typing import Any

TICK = 0.1
"""Seconds between two looks: a wait may last this much longer than it should."""


class Watch:
    """Cancels tasks that wait too long, each in one wait at a time.

    It serves one event loop at a time: where another begins a wait, those of the first have no deadline any more.

    waiting = watch.begin(seconds)
    try:
        ...
    finally:
        if watch.end(waiting):
            raise TooLate
    """

    def __init__(self) -> None:
        self._due: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, seconds: float) -> asyncio.Task[Any]:
        """Watch the current task, which is returned, for so long."""
        task = asyncio.current_task()
        assert task is not None
        loop = task.get_loop()
        if loop is not self._loop:
            # nobody was waiting, so there is no timer; or it belongs to another loop, whose waits are let go
            self._loop = loop
            self._due.clear()
            loop.call_later(TICK, self._look, loop)
        self._due[task] = loop.time() + seconds
        return task

    def end(self, task: asyncio.Task[Any]) -> bool:
        """Let go of it; whether the task was cancelled for being late, which is then taken back."""
        self._due.pop(task, None)
        if task not in self._late:
            return False
        self._late.remove(task)
        task.uncancel()
        return True

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        if not self._due:
            self._loop = None
            return
        now = loop.time()
        for task, due in list(self._due.items()):
            if due <= now:
                self._due.pop(task, None)
                self._late.add(task)
                task.cancel()
        loop.call_later(TICK, self._look, loop)
