"""Passwords are verified here: one at a time, in a thread of its own, for all instances of the process.

One verification takes 64 MiB and, on each of up to four cores, 50 ms and more: that is what makes guessing dear. So it
must not be had for nothing. Nothing else waits for its thread; few log-ins wait for each other, the rest is refused at
once; and who has been wrong less often is served first, so that a stranger's log-ins wait behind everybody's.
"""

import asyncio
import bisect
from functools import partial
from operator import itemgetter

import argon2

from plantel import errors
from plantel.http.brake import Brake, Try
from plantel.http.limits import LOGINS_WAITING
from plantel.secret import Secret
from plantel.workers import Workers

NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$aDUJ2t0joSLCzIP0oAO3eQ$F6hNnRq4ySTtzqQfzKc9NvezzqfIiaQ4B/BSxDw6BQg"
"""A hash to verify against if there is no such user, so that both take as long. No password is right for nobody."""

FULL_SECONDS = 2
"""Seconds that a client is told to wait if too many log-ins wait: half of them are done then."""


class Turns:
    """One at a time. Of those who wait the lowest rank is next; if too many wait, the highest is refused."""

    def __init__(self, most: int) -> None:
        """`most` may wait."""
        self._most = most
        self._busy = False
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []

    async def begin(self, rank: float) -> None:
        """Return when it is our turn, which `end` ends. Raises LoginsBusy."""
        if not self._busy:
            self._busy = True
            return
        turn = asyncio.get_running_loop().create_future()
        bisect.insort_right(self._waiting, (rank, turn), key=itemgetter(0))
        if len(self._waiting) > self._most:
            self._waiting.pop()[1].set_exception(errors.LoginsBusy(seconds=FULL_SECONDS))
        try:
            await turn
        except asyncio.CancelledError:
            self._waiting = [one for one in self._waiting if one[1] is not turn]
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.end()  # it was given to us at the same moment
            raise

    def end(self) -> None:
        """Let the next one begin."""
        while self._waiting:
            _, turn = self._waiting.pop(0)
            if not turn.done():
                turn.set_result(None)
                return
        self._busy = False


class Passwords:
    """Who has the right password, and the brake on wrong ones. One for all instances of a process."""

    def __init__(self) -> None:
        self.brake = Brake()
        self._hasher = argon2.PasswordHasher()
        self._turns = Turns(LOGINS_WAITING)
        self._workers = Workers("login", 1, 0)

    async def verify(self, hashed: str | None, password: Secret, attempt: Try) -> bool:
        """Whether `password` is that of `hashed`; False, as late, if that is None. Raises LoginsBusy.

        If the caller is cancelled, work that has not begun is dropped.
        """
        await self._turns.begin(attempt.rank)
        job = asyncio.ensure_future(self._workers.run(partial(self._matches, hashed or NOBODY, password)))
        job.add_done_callback(lambda _: self._turns.end())
        return await asyncio.shield(job) and hashed is not None

    def _matches(self, hashed: str, password: Secret) -> bool:
        try:
            return self._hasher.verify(hashed, password.to_bytes())
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False

    def close(self) -> None:
        """Wait for the one that is verified."""
        self._workers.close()
