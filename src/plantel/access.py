"""Who may do what: roles, campaign patterns, and the tokens that integrators carry."""

import base64
import binascii
import hashlib
import re
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

import msgspec

from plantel import errors
from plantel.roster import NAME_BYTES, Campaign, ascii_lower, check_name, fold
from plantel.secret import Secret

PASSWORD_BYTES = 2 * 1024
"""Of UTF-8: no longer password can be set, nor is one looked at. Percent-encoded it is 6 KiB: a log-in can send it."""


class Role(StrEnum):
    """What the holder of a token may do within its campaigns."""

    READER = "reader"
    """Look at members, batches and the journal."""
    INTEGRATOR = "integrator"
    """The same, and add, remove and pause members."""
    ADMIN = "admin"
    """The same, and declare and remove those campaigns."""


class Actor(msgspec.Struct, frozen=True):
    """Whoever asks. `name` is what the journal shows. No pattern in `campaigns` means every campaign."""

    name: str
    role: Role
    campaigns: tuple[str, ...] = ()

    def reaches(self, campaign: str) -> bool:
        """Whether one of the patterns covers `campaign`."""
        return not self.campaigns or covers(self.campaigns, campaign)

    @property
    def within(self) -> Callable[[str], bool] | None:
        """`reaches`, None for every campaign: what the store is asked with."""
        return self.reaches if self.campaigns else None

    def reached(self, campaigns: Iterable[Campaign]) -> list[str] | None:
        """The names of those of `campaigns` that one of the patterns covers; None where there is no pattern."""
        return [one.name for one in campaigns if self.reaches(one.name)] if self.campaigns else None

    def check_campaign(self, campaign: str) -> None:
        """Raise CampaignForbidden unless one of the patterns covers `campaign`.

        To be asked before the store is: neither the answer nor the time that it takes may tell whether there is one.
        """
        if not self.reaches(campaign):
            raise errors.CampaignForbidden(campaign=campaign)

    def check_write(self) -> None:
        """Raise ActionForbidden unless the role may change members."""
        if self.role is Role.READER:
            raise errors.ActionForbidden(role=str(self.role))

    def check_admin(self) -> None:
        """Raise ActionForbidden unless the role may change campaigns."""
        if self.role is not Role.ADMIN:
            raise errors.ActionForbidden(role=str(self.role))


class Token(msgspec.Struct, frozen=True):
    """A right to act. Its secret is not here: only `digest`, a keyed hash of it, is ever stored.

    `campaigns` are patterns (`*` and `?`) compared without ASCII case; empty means every campaign. `user` is empty for
    a token made by an operator, the user's name for one made by logging in. `expires` None means never.
    """

    instance: str
    name: str
    digest: bytes
    role: Role
    campaigns: tuple[str, ...]
    created: datetime
    expires: datetime | None = None
    user: str = ""

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return _told(self, "digest")

    def __repr__(self) -> str:
        return _line(self)

    def actor(self) -> Actor:
        return Actor(self.name, self.role, self.campaigns)


class User(msgspec.Struct, frozen=True):
    """Somebody who logs in with a password. `password` is an argon2id hash."""

    instance: str
    name: str
    password: str
    role: Role
    campaigns: tuple[str, ...]
    created: datetime

    def __rich_repr__(self) -> list[tuple[str, object]]:
        return _told(self, "password")

    def __repr__(self) -> str:
        return _line(self)


def _told(account: Token | User, hidden: str) -> list[tuple[str, object]]:
    """The fields of an account that may be seen. Programs that print structs ask for them, others for `repr`."""
    return [(name, getattr(account, name)) for name in account.__struct_fields__ if name != hidden]


def _line(account: Token | User) -> str:
    fields = ", ".join(f"{name}={value!r}" for name, value in account.__rich_repr__())
    return f"{type(account).__name__}({fields})"


@lru_cache(maxsize=1024)  # only who runs the server gives patterns, to tokens, users and Asterisk servers
def _patterns(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(_pattern(ascii_lower(pattern)) for pattern in patterns), re.DOTALL)


def _pattern(pattern: str) -> str:
    # fnmatch would give `[` a meaning, and brackets are ordinary in queue names
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in pattern)


def covers(patterns: Iterable[str], campaign: str) -> bool:
    """Whether one of `patterns` (`*` any text, `?` one character, ASCII case aside) matches the whole of `campaign`.

    None does if no campaign can have that name, since it is too long.
    """
    return len(campaign) <= NAME_BYTES and _patterns(tuple(patterns)).fullmatch(fold(campaign)) is not None


def check_account_name(name: str) -> None:
    """Raise InvalidItem unless `name` can stand before the colon of Basic credentials (RFC 7617: no colon)."""
    check_name(name, "name")
    if ":" in name:
        raise errors.ForbiddenCharacter(key="name", character='":"')


def check_password(password: Secret, least: int) -> None:
    """Raise PasswordUnfit unless `password`, a new one, has at least `least` characters, and not too many bytes.

    What it is made of is free: rules about digits and signs make passwords that are alike.
    """
    if len(password.reveal()) < least or len(password.to_bytes()) > PASSWORD_BYTES:
        raise errors.PasswordUnfit(least=least, most=PASSWORD_BYTES)


def new_secret() -> Secret:
    """A random UUID: 122 random bits, the form that clients of the original know."""
    return Secret(str(uuid.uuid4()))


def digest(key: bytes, secret: str) -> bytes:
    """The keyed hash under which a secret is stored: 32 bytes. The secret is random, so a fast hash is enough."""
    return hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), key=key, digest_size=32).digest()


def token_text(name: str, secret: str) -> str:
    """What goes behind `Basic ` in the Authorization header."""
    return base64.b64encode(f"{name}:{secret}".encode()).decode("ascii")


def read_token_text(text: str | bytes) -> tuple[str, str] | None:
    """`(name, secret)` from what `token_text` makes, or None where it is no such thing.

    A client that logs in receives a whole token as its secret; one that wraps it once more (`user:TOKEN`) is
    understood.
    """
    pair = _split(text)
    if pair is None:
        return None
    inner = _split(pair[1])
    return inner if inner is not None and inner[0] == pair[0] else pair


def _split(text: str | bytes) -> tuple[str, str] | None:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        decoded = raw.decode()
    except UnicodeDecodeError:
        decoded = raw.decode("iso-8859-1")
    name, colon, secret = decoded.partition(":")
    return (name, secret) if colon and name and secret else None
