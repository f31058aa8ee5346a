"""Tells when the event loop was late: something held it up, and all who were waiting had to wait.

1. A task on the loop sleeps for TICK, again and again. By as much as it wakes too late, the loop was late.
2. A thread looks at the same clock. While the loop is late, it notes once where the loop's thread is: file and line,
   never values.
3. The task logs what the thread noted, at most every LOG_SECONDS; the metrics have every lateness.
"""

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import structlog

TICK = 0.05
"""Seconds between two looks. They cost 20 wake-ups of loop and thread a second, about a thousandth of a processor."""

LATE = 0.05
"""Seconds from which it is told. What the loop does at one time is meant to take 5 ms at most."""

LOG_SECONDS = 10.0
"""Between two lines in the log: a loop that is late all the time shall not be so because of them."""

FRAMES = 6
"""Places that are told, the innermost first: the way from there to what called it."""

log = structlog.get_logger()


class LateLoop:
    """Watches the loop that `run` is on; `told` gets each lateness in seconds, also those that are no news."""

    def __init__(self, told: Callable[[float], None]) -> None:
        self._told = told
        self._due = 0.0
        self._noted = (0.0, "")
        self._quiet_until = 0.0
        self._unlogged = 0
        self._over = threading.Event()

    async def run(self) -> None:
        """Until cancelled."""
        self._due = time.monotonic() + TICK
        watcher = threading.Thread(
            target=self._watch, args=(threading.get_ident(),), name="plantel-late-loop", daemon=True
        )
        watcher.start()
        try:
            while True:
                await asyncio.sleep(max(0.0, self._due - time.monotonic()))
                self._look()
        finally:
            self._over.set()

    def _look(self) -> None:
        now, due = time.monotonic(), self._due
        self._due = now + TICK
        late = max(0.0, now - due)
        self._told(late)
        if late < LATE:
            return
        if now < self._quiet_until:
            self._unlogged += 1
            return
        noted, where = self._noted
        at = where if noted == due else "unknown"
        log.warning("late_loop", seconds=round(late, 3), at=at, unlogged=self._unlogged)
        self._quiet_until, self._unlogged = now + LOG_SECONDS, 0

    def _watch(self, thread: int) -> None:
        while not self._over.wait(TICK / 2):
            due = self._due
            if self._noted[0] != due and time.monotonic() - due > LATE / 2:
                self._noted = due, _places(sys._current_frames().get(thread))  # noqa: SLF001  # it is documented


def _places(frame: FrameType | None) -> str:
    places: list[str] = []
    while frame is not None and len(places) < FRAMES:
        code = frame.f_code
        places.append(f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return " < ".join(places)
