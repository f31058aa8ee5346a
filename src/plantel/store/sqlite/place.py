"""Whether the files of a store are still those that were opened.

SQLite goes on with files that were deleted or replaced below it: what it commits there is gone with the process. So the
writer looks their names up again and again; from the first look that finds other files, or none, all work is refused.
If the files are moved back, it goes on.

A file that somebody wrote over keeps its name and number. Only its time tells, which also changes when another process
copies the log into it; so what a new connection reads there is compared with what ours does.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from plantel import errors

LOOK_SECONDS = 0.25
"""Between two looks: one takes 20 µs, and three times the wait for the interpreter."""

Contents = Callable[[], object]
"""What is in the store, as one connection reads it."""

_Identity = tuple[int, int]


class Place:
    """The files of one store, for all connections of one process."""

    def __init__(self, path: str) -> None:
        self._names = (path, f"{path}-wal", f"{path}-shm")
        self._opened: list[_Identity] = []
        self._written = 0
        self._next = 0.0
        self._wrong = ""
        """What was wrong at the last look; empty: nothing."""
        self._over = False
        """Whether the file was written over: nothing brings that back."""

    def opening(self) -> None:
        """A connection is to be opened. To other files, its end would copy our log into them. Raises as `refuse`."""
        if self._opened:
            self._next = 0
            self.look()

    def opened(self) -> None:
        """A connection has all of its files open; the first one's are the store's. Raises StoreUnavailable."""
        if not self._opened:
            self._opened, self._written = self._found()
        self.opening()

    def look(self) -> bool:
        """Whether somebody else wrote into the file, if it is time to look. Raises as `refuse`."""
        now = time.monotonic()
        foreign = False
        if now >= self._next and not self._over:
            self._next = now + LOOK_SECONDS
            foreign = self._differs()
        self.refuse()
        return foreign

    def _differs(self) -> bool:
        try:
            found, written = self._found()
        except OSError as error:
            self._wrong = f"{error.filename}: {error.strerror}"
            return False
        pairs = zip(self._names, found, self._opened, strict=True)
        replaced = [name for name, one, before in pairs if one != before]
        self._wrong = f"{replaced[0]}: replaced" if replaced else ""
        return written != self._written

    def refuse(self) -> None:
        """Raise StoreUnavailable if something was wrong at the last look."""
        if self._wrong:
            raise errors.StoreUnavailable(
                detail=f"{self._wrong}, while it was in use: bring it back, or restart to use what is there"
            )

    def compare(self, ours: Contents, theirs: Contents) -> None:
        """Raise StoreUnavailable unless both read the same. To be called while nobody can commit."""
        _, written = self._found()
        if ours() != theirs():
            self._over, self._wrong = True, f"{self._names[0]}: written over"
            self.refuse()
        self._written = written

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The block writes into the file itself. What somebody wrote before stays to be compared. Raises OSError."""
        _, before = self._found()
        yield
        if before == self._written:
            _, self._written = self._found()

    def _found(self) -> tuple[list[_Identity], int]:
        found = [os.stat(name) for name in self._names]  # noqa: PTH116 - a Path takes twice the time
        return [(one.st_dev, one.st_ino) for one in found], found[0].st_mtime_ns
