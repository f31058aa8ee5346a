"""Lines for a file descriptor that may be full, closed, or read by nobody: whoever has one to say never waits or fails.

1. `put` adds the line to a queue, which is bounded in bytes. A line that does not fit is dropped, and counted.
2. One thread writes what has come by then, in one piece. While the descriptor blocks (nobody reads), only this thread
   waits. If it takes nothing (a full disk, a closed pipe), what was to be written is dropped, and counted.
3. Once lines are taken again, one of them says how many were dropped.
"""

import contextlib
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import accumulate
from queue import Empty, SimpleQueue

ROOM = 2**20
"""Bytes that may wait. The same again may be in the hands of the thread."""

PAUSE = 0.01
"""Seconds between two writes: a thread that is woken for each line would fight for the interpreter with the loop."""

AGAIN = 1.0
"""Seconds between two lines that say how many were dropped, or two tries to say so."""


class Outlet:
    """For any threads, and for whoever is run amid another call (`__del__`, a signal's handler)."""

    def __init__(self, descriptor: int, dropped: Callable[[int], str]) -> None:
        """`dropped`: the line that says so of so many lines. The thread starts with the first line."""
        self.dropped = 0
        """Lines that were never written."""
        self._descriptor = descriptor
        self._say = dropped
        self._said = 0
        self._say_from = 0.0
        self._lock = threading.RLock()  # a line may be put while another one is, by the collector of garbage
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._news: SimpleQueue[None] = SimpleQueue()
        self._idle = True
        self._started = False
        self._torn = False
        """Whether the last line that was written lacks its end."""

    def put(self, line: str) -> None:
        """Have `line` written. Never waits, never raises."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            if not self._has_thread() or self._size + len(data) > ROOM:
                self.drop()
                return
            self._waiting.append(data)
            self._size += len(data)
            self._idle = False
            first = len(self._waiting) == 1
        if first:
            self._news.put(None)

    def drop(self) -> None:
        """Count a line that is not even put."""
        with self._lock:
            self.dropped += 1
            first = self.dropped == self._said + 1
        if first:
            self._news.put(None)

    def flush(self, seconds: float) -> None:
        """Wait until all is written, or dropped; no longer than `seconds`."""
        until = time.monotonic() + seconds
        while not self._idle and time.monotonic() < until:
            time.sleep(PAUSE)

    def _has_thread(self) -> bool:
        if not self._started:
            try:
                threading.Thread(target=self._run, name="plantel-outlet", daemon=True).start()
            except RuntimeError:  # no more threads, or the end of the program
                return False
            self._started = True
        return True

    def _run(self) -> None:
        while True:
            with contextlib.suppress(Empty):  # it is time to say what was dropped
                self._news.get(timeout=AGAIN if self.dropped > self._said else None)
            self._pass_on()
            time.sleep(PAUSE)

    def _pass_on(self) -> None:
        with self._lock:
            lines = list(self._waiting)
            self._waiting.clear()
            self._size = 0
        lost = len(lines) - self._written(lines)
        with self._lock:
            self.dropped += lost
        if not lost and self.dropped > self._said and time.monotonic() >= self._say_from:
            self._tell(self.dropped)
        with self._lock:
            self._idle = not self._waiting

    def _tell(self, dropped: int) -> None:
        self._say_from = time.monotonic() + AGAIN
        if self._written([self._say(dropped - self._said).encode() + b"\n"]):
            self._said = dropped

    def _written(self, lines: list[bytes]) -> int:
        """Write them; how many were written whole."""
        start = b"\n" if self._torn else b""
        data = memoryview(start + b"".join(lines))
        done = 0
        try:
            while done < len(data):
                done += self._write(data[done:])
        except OSError:
            pass
        ends = list(accumulate(map(len, lines), initial=len(start)))
        if done:
            self._torn = done not in ends
        return sum(done >= end for end in ends[1:])

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:  # whoever opened it may have set it so
            poll = select.poll()
            poll.register(self._descriptor, select.POLLOUT)
            poll.poll()
            return 0
