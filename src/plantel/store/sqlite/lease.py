"""What only one may do at a time, of all processes that use one SQLite file: locks on a file beside it.

Each name locks one byte. The kernel gives a lock back when its process ends, however it ends; nothing has to expire.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import struct
from collections.abc import AsyncIterator

from plantel import errors
from plantel.ports import Lease

_FLOCK = struct.Struct("hhqqi")
"""struct flock of 64-bit Linux: type, whence, start, length, pid."""

_FIRST_WAIT, _LONGEST_WAIT = 0.01, 0.2
"""Seconds between two tries while somebody else holds it; a lock that could be waited for would block a thread."""


class Leases:
    """The leases of one store. For one event loop at a time."""

    def __init__(self, path: str) -> None:
        """`path`: the file to lock; made, for its owner only, when it is first needed."""
        self._path = path
        self._file = -1
        self.opened = 0
        """How many times the file was opened: with each, all locks of before are gone."""
        self._here: dict[str, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def hold(self, name: str, seconds: float) -> AsyncIterator[Lease]:
        """Hold `name`. Raises TimeoutError where another holds it for `seconds`; StoreUnavailable."""
        place = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest())
        here = self._here.setdefault(name, asyncio.Lock())
        async with asyncio.timeout(seconds):
            # a file's locks are the process's: among its own tasks they exclude nobody
            await here.acquire()
            try:
                await self._take(place)
            except BaseException:
                here.release()
                raise
        try:
            yield _Held(self, name)
        finally:
            try:
                if not self.lost:  # the lock goes with the file
                    self._lock(place, fcntl.F_UNLCK)
            finally:
                here.release()

    async def _take(self, place: int) -> None:
        wait = _FIRST_WAIT
        while not self._lock(place, fcntl.F_WRLCK):
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _lock(self, place: int, kind: int) -> bool:
        try:
            if self.lost:
                self.close()
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                self.opened += 1
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, place, 1, 0))
        except BlockingIOError:
            return False
        except OSError as error:
            raise errors.StoreUnavailable(detail=f"{self._path}: {error.strerror}") from error
        return True

    @property
    def lost(self) -> bool:
        """Whether the file is not that of its name: others lock another one."""
        if self._file < 0:
            return True
        try:
            return not os.path.samestat(os.fstat(self._file), os.stat(self._path))  # noqa: PTH116 - no Path is needed
        except OSError:
            return True

    def close(self) -> None:
        """Give everything back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _Held(Lease):
    """Only its own process can give it up: one that is stopped keeps it. Unless somebody takes the file away."""

    def __init__(self, leases: Leases, name: str) -> None:
        self._leases = leases
        self._name = name
        self._opened = leases.opened

    def check(self) -> None:
        if self._leases.opened != self._opened or self._leases.lost:
            raise errors.LeaseLost(name=self._name)
