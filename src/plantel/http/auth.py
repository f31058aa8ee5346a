"""Who is asking: Basic tokens, logins with a password, and the brake on wrong credentials."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

import argon2

from plantel import errors
from plantel.access import (
    Actor,
    Token,
    User,
    digest,
    new_secret,
    read_token_text,
    token_text,
)
from plantel.ports import Clock, Store, Transaction

REMEMBERED = 2.0
"""Seconds for which a token that was found good is taken as good without asking the store again."""

FREE_TRIES = 5
"""Wrong credentials of one user from one address before the brake takes hold."""

LONGEST_WAIT = 60.0
"""Seconds: the longest wait between two tries."""

_KEPT = 10_000


class Brake:
    """Slows wrong credentials down, per user and address, so that nobody else waits.

    After FREE_TRIES failures each further one doubles the wait, from 1 s to LONGEST_WAIT; a success forgets them. At
    most 10,000 pairs are kept, the least recent ones are forgotten first.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def check(self, user: str, address: str) -> None:
        """Raise TooManyAttempts where this pair has to wait."""
        _, until = self._failures.get((user, address), (0, 0.0))
        if (left := until - self._now()) > 0:
            raise errors.TooManyAttempts(seconds=math.ceil(left))

    def failed(self, user: str, address: str) -> None:
        """Count a failure."""
        count, _ = self._failures.pop((user, address), (0, 0.0))
        count += 1
        # the exponent is bounded too: a float overflows after a thousand doublings
        wait = min(2.0 ** min(count - FREE_TRIES, 10), LONGEST_WAIT) if count >= FREE_TRIES else 0.0
        self._failures[user, address] = (count, self._now() + wait)
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)

    def passed(self, user: str, address: str) -> None:
        """Forget the failures."""
        self._failures.pop((user, address), None)


class Authenticator:
    """The credentials of one instance."""

    def __init__(self, store: Store, instance: str, clock: Clock, session: float) -> None:
        """`session`: seconds for which a login's token is good."""
        self._store = store
        self._instance = instance
        self._clock = clock
        self._session = timedelta(seconds=session)
        self._brake = Brake()
        self._hasher = argon2.PasswordHasher()
        # a hash to verify against when the user does not exist, so that both take as long
        self._nobody = ""
        self._key = b""
        self._known: dict[str, tuple[Actor, float]] = {}

    def forget(self) -> None:
        """Ask the store again about every token."""
        self._known.clear()

    async def actor(self, authorization: str, address: str) -> Actor:
        """Who carries this Authorization header. Raises NotAuthenticated, TooManyAttempts."""
        # a dictionary looks up by a hash keyed at random for each process: the time that it takes tells of no secret
        known = self._known.get(authorization)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "basic" or not text:
            raise errors.NotAuthenticated
        credentials = read_token_text(text.strip())
        if credentials is None:
            self._brake.check("", address)
            self._brake.failed("", address)
            raise errors.NotAuthenticated
        name, secret = credentials
        token = await self._find(name, secret)
        if token is None:
            # a right token never waits, it cannot be guessed; a wrong one does
            self._brake.check(name, address)
            self._brake.failed(name, address)
            raise errors.NotAuthenticated
        self._brake.passed(name, address)
        if len(self._known) >= _KEPT:
            self._known.clear()
        good_for = REMEMBERED
        if token.expires is not None:
            good_for = min(good_for, (token.expires - self._clock.now()).total_seconds())
        self._known[authorization] = (token.actor(), time.monotonic() + good_for)
        return token.actor()

    async def log_in(self, name: str, password: str, address: str) -> str:
        """A new session's token text. Raises NotAuthenticated, TooManyAttempts."""
        self._brake.check(name, address)
        user = await self._store.look_up(lambda transaction: transaction.user(self._instance, name))
        # counted before the answer is known: tries made at the same time must not all slip through
        self._brake.failed(name, address)
        if not await asyncio.to_thread(self._verify, user, password) or user is None:
            raise errors.NotAuthenticated
        self._brake.passed(name, address)
        secret = new_secret()
        now = self._clock.now()
        token = Token(
            self._instance,
            user.name,
            digest(await self._token_key(), secret),
            user.role,
            user.campaigns,
            now,
            now + self._session,
            user.name,
        )
        await self._store.write(lambda transaction: transaction.add_token(token))
        return token_text(user.name, secret)

    async def log_out(self, name: str, text: str, address: str) -> bool:
        """End a session, its token given as `log_in` returned it or as its bare secret; False where there is none."""
        self._brake.check(name, address)
        pair = read_token_text(text)
        secret = pair[1] if pair is not None and pair[0] == name else text
        hashed = digest(await self._token_key(), secret)

        def work(transaction: Transaction) -> bool:
            token = transaction.token(self._instance, name, hashed)
            # an operator's token is not a session: only `plantel token revoke` ends it
            return (
                token is not None and bool(token.user) and transaction.remove_tokens(self._instance, name, hashed) > 0
            )

        ended = await self._store.write(work)
        self._known.clear()
        if not ended:
            self._brake.failed(name, address)
        return ended

    async def _token_key(self) -> bytes:
        if not self._key:
            self._key = await self._store.write(lambda transaction: transaction.token_key())
        return self._key

    async def _find(self, name: str, secret: str) -> Token | None:
        hashed = digest(await self._token_key(), secret)
        token = await self._store.look_up(lambda transaction: transaction.token(self._instance, name, hashed))
        if token is None or (token.expires is not None and token.expires <= self._clock.now()):
            return None
        return token

    def _verify(self, user: User | None, password: str) -> bool:
        if user is None and not self._nobody:
            self._nobody = self._hasher.hash(new_secret())
        try:
            return self._hasher.verify(self._nobody if user is None else user.password, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
