"""Who is asking: Basic tokens, and logins with a password."""

import asyncio
import contextlib
import time
from datetime import timedelta

from plantel import errors
from plantel.access import (
    PASSWORD_BYTES,
    Actor,
    Token,
    User,
    check_account_name,
    digest,
    new_secret,
    read_token_text,
    token_text,
)
from plantel.http.brake import Brake
from plantel.http.limits import AUTHORIZATION, NAME, SESSIONS, SPELLING, TOKENS
from plantel.http.passwords import Passwords
from plantel.ports import Clock, Store, Transaction
from plantel.secret import Secret

REMEMBERED = 2.0
"""Seconds for which a token that was found good is taken as good without asking the store again."""

TOKEN_TRIES = 100
"""As ADDRESS_TRIES, of tokens: they cannot be guessed, and an office may have many clients whose token was revoked."""

STAYS = timedelta(days=1)
"""How long a session is kept when it has ended. Its token is told from one that was made up: it is no guess."""

SWEEP = 60.0
"""Seconds between two looks for sessions that have ended, so that log-ins do not all look for the same."""

SWEPT = 1000
"""Sessions that have ended and are deleted in one go: some milliseconds of the writer's time."""


class Known:
    """Tokens that were found good, each for REMEMBERED seconds, by the header that carries them.

    A token can be spelled in as many ways as one likes (blanks, case, wrapped again). Of each only the last spelling is
    kept, and only if it is short, so that nobody can fill the memory with them.
    """

    def __init__(self) -> None:
        self.by_header: dict[str, tuple[Actor, float]] = {}
        self._by_token: dict[tuple[str, bytes], tuple[Actor, float, str]] = {}
        """By name and digest; with the spelling of the header."""
        self.round = 0
        """Another number after each `forget`."""

    def forget(self) -> None:
        self.by_header.clear()
        self._by_token.clear()
        self.round += 1

    def actor(self, header: str, token: tuple[str, bytes]) -> Actor | None:
        """Who carries `token` (its name and digest), spelled as `header` this time."""
        found = self._by_token.get(token)
        if found is None or found[1] <= time.monotonic():
            return None
        actor, until, spelled = found
        self._spell(header, token, actor, until, spelled)
        return actor

    def remember(self, header: str, token: tuple[str, bytes], actor: Actor, seconds: float, begun: int) -> None:
        """Unless something was forgotten since `round` was `begun`: it may have been this very token."""
        if begun != self.round:
            return
        if len(self._by_token) >= TOKENS:
            self.forget()
        _, _, spelled = self._by_token.get(token, (None, None, ""))
        self._spell(header, token, actor, time.monotonic() + seconds, spelled)

    def _spell(self, header: str, token: tuple[str, bytes], actor: Actor, until: float, before: str) -> None:
        if len(header) > SPELLING:
            header = ""
        if header != before:
            self.by_header.pop(before, None)
        self._by_token[token] = (actor, until, header)
        if header:
            self.by_header[header] = (actor, until)


class Authenticator:
    """The credentials of one instance."""

    def __init__(self, store: Store, instance: str, clock: Clock, session: float, passwords: Passwords) -> None:
        """`session`: seconds for which a login's token is good."""
        self._store = store
        self._instance = instance
        self._clock = clock
        self._session = timedelta(seconds=session)
        self._passwords = passwords
        # apart from that for passwords: clients whose session has ended must be able to log in again
        self._brake = Brake(address_tries=TOKEN_TRIES)
        self._key = b""
        self._slowed = asyncio.Lock()
        self._known = Known()
        self._swept = -SWEEP

    def forget(self) -> None:
        """Ask the store again about every token."""
        self._known.forget()

    # --- tokens ------------------------------------------------------------------------------------------------------

    async def actor(self, authorization: str, address: str) -> Actor:
        """Who carries this Authorization header. Raises NotAuthenticated, TooManyAttempts."""
        # a dictionary looks up by a hash keyed at random for each process: the time that it takes tells of no secret
        known = self._known.by_header.get(authorization)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        header = Secret(authorization)
        del authorization  # no frame of what follows holds it
        return await self._look_up(header, address)

    async def _look_up(self, header: Secret, address: str) -> Actor:
        if not header:
            raise errors.NotAuthenticated  # many clients ask so first, and with their token afterwards
        pair = _pair_of(header)
        if pair is None:
            self._brake.take_impossible(address)
            raise errors.NotAuthenticated
        name, secret = pair
        hashed = digest(await self._token_key(), secret.reveal())
        known = self._known.actor(header.reveal(), (name, hashed))
        if known is not None:
            return known
        begun = self._known.round
        # somebody who guesses and guesses takes one reader at most
        async with self._slowed if self._brake.slows(address) else contextlib.nullcontext():
            token = await self._store.look_up(lambda transaction: transaction.token(self._instance, name, hashed))
        if token is None:
            # a right token never waits, it cannot be guessed; a wrong one does
            self._brake.take(self._instance, name, address)
            raise errors.NotAuthenticated
        good_for = REMEMBERED
        if token.expires is not None:
            good_for = min(good_for, (token.expires - self._clock.now()).total_seconds())
        if good_for <= 0:
            raise errors.NotAuthenticated
        self._brake.passed(self._instance, name, address)
        self._known.remember(header.reveal(), (name, hashed), token.actor(), good_for, begun)
        return token.actor()

    async def _token_key(self) -> bytes:
        if not self._key:
            self._key = await self._store.look_up(lambda transaction: transaction.token_key())
        return self._key

    # --- logins ------------------------------------------------------------------------------------------------------

    async def log_in(self, name: str, password: Secret, address: str) -> str:
        """A new session's token text. Raises NotAuthenticated, TooManyAttempts, LoginsBusy."""
        brake = self._passwords.brake
        if not _can_exist(name) or len(password.to_bytes()) > PASSWORD_BYTES:
            brake.take_impossible(address)
            raise errors.NotAuthenticated
        attempt = brake.take(self._instance, name, address)
        try:
            user = await self._store.look_up(lambda transaction: transaction.user(self._instance, name))
            right = await self._passwords.verify(None if user is None else user.password, password, attempt)
        except errors.PlantelError:
            attempt.undone()
            raise
        if user is None or not right:
            raise errors.NotAuthenticated
        attempt.passed()
        return await self._begin(user)

    async def _begin(self, user: User) -> str:
        """A new session of `user`. Raises NotAuthenticated if the user was changed or removed meanwhile."""
        secret = new_secret()
        now = self._clock.now()
        hashed = digest(await self._token_key(), secret.reveal())
        token = Token(
            *(self._instance, user.name, hashed, user.role, user.campaigns),
            *(now, now + self._session, user.name),
        )
        sweeps = time.monotonic() - self._swept >= SWEEP
        if sweeps:
            self._swept = time.monotonic()

        def work(transaction: Transaction) -> None:
            if transaction.user(self._instance, user.name) != user:
                raise errors.NotAuthenticated
            if sweeps:
                transaction.sweep_sessions(self._instance, now - STAYS, SWEPT)
            transaction.add_token(token)
            transaction.trim_sessions(self._instance, user.name, SESSIONS)

        await self._store.write(work)
        return token_text(user.name, secret.reveal())

    async def log_out(self, name: str, text: Secret, address: str) -> bool:
        """End a session, its token given as `log_in` returned it or as its bare secret; False if there is none.

        Raises TooManyAttempts.
        """
        if not _can_exist(name) or len(text.to_bytes()) > AUTHORIZATION:
            self._brake.take_impossible(address)
            return False
        attempt = self._brake.take(self._instance, name, address)
        pair = read_token_text(text.reveal())
        secret = Secret(pair[1]) if pair is not None and pair[0] == name else text
        del pair
        try:
            ended = await self._end(name, digest(await self._token_key(), secret.reveal()))
        except errors.PlantelError:
            attempt.undone()
            raise
        if ended:
            attempt.passed()
            self._known.forget()
        return ended

    async def _end(self, name: str, hashed: bytes) -> bool:
        token = await self._store.look_up(lambda transaction: transaction.token(self._instance, name, hashed))
        # an operator's token is not a session: only `plantel token revoke` ends it
        if token is None or not token.user:
            return False
        return await self._store.write(lambda transaction: transaction.remove_tokens(self._instance, name, hashed)) > 0


def _pair_of(header: Secret) -> tuple[str, Secret] | None:
    """Name and secret of an Authorization header; None if it cannot be that of a token."""
    if len(header.reveal()) > AUTHORIZATION:
        return None
    scheme, _, text = header.reveal().partition(" ")
    if scheme.lower() != "basic":
        return None
    pair = read_token_text(text.strip())
    return (pair[0], Secret(pair[1])) if pair is not None and _can_exist(pair[0]) else None


def _can_exist(name: str) -> bool:
    """Whether a user or a token can have this name, whatever was sent."""
    if len(name) > NAME:
        return False
    try:
        check_account_name(name)
    except (errors.InvalidItem, UnicodeEncodeError):
        return False
    return True
