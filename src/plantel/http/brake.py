"""The brake on wrong credentials: how often somebody may be wrong, and how long to wait then.

A try is counted as wrong before it is looked at, and given back if it was right. So tries made at the same time cannot
all slip through. It is counted three times over:

    by             free  one forgotten in  stops
    pair              5             600 s  guessing a user's password from one address
    address          20              30 s  one password for many users; made-up users
    user            100              30 s  guessing a user's password from many addresses

After the free ones each further one doubles the wait, from 1 s to LONGEST_WAIT. Somebody who goes on for ever is down
to one try in 60, 30 and 30 s.

- An address is an IPv4 address or a /64 of IPv6, which is what one customer of a provider has. Office and proxy may be
  one address for many people: so it is forgiven fast, and a client with an old password in its configuration, which the
  brake by pair lets try once a minute, never fills it.
- The brakes by address and by user are there against strangers, and a stranger must not lock anybody out with them. So
  they do not hold for a pair that logged in within KNOWN_FOR: only its own brake does. A user who comes from a new
  address while strangers try that name may have to wait.
- A right password has to wait like a wrong one: else the answer would tell which it was.
- Everything is bounded in bytes: keys are hashes, of names of any size. Keys that have to wait are kept apart from
  those that were only wrong a few times, so that no number of made-up names pushes one of them out. If there are too
  many that have to wait, the one that was quiet for the longest time goes: since its last try 4,096 others were wrong
  five times each, which takes an hour of verifying, and what it buys is five more tries.
"""

import hashlib
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from plantel import errors

FREE_TRIES = 5
"""Wrong credentials of one user from one address before the brake takes hold."""

ADDRESS_TRIES = 20
"""Wrong credentials from one address, of whatever users, before the brake takes hold."""

USER_TRIES = 100
"""Wrong credentials of one user, from whatever addresses, before the brake takes hold."""

LONGEST_WAIT = 60.0
"""Seconds: the longest wait between two tries."""

KNOWN_FOR = 30 * 86400.0
"""Seconds for which a pair that logged in is known."""

KEPT = 4096
"""Keys of each kind, and as many again that have to wait. All are some 10 MiB at most."""

_NONE = (0.0, 0.0)

_DOUBLINGS = 6
"""Until LONGEST_WAIT is reached. More failures are not counted: else they would never be forgotten."""


class Tally:
    """Wrong tries by key. The first `free` cost nothing; one is forgotten every `forget` seconds."""

    def __init__(self, free: int, forget: float) -> None:
        self._free = free
        self._forget = forget
        # by key: how many wrong tries there were, fractions included, and at what time
        self._few: OrderedDict[bytes, tuple[float, float]] = OrderedDict()
        self._many: OrderedDict[bytes, tuple[float, float]] = OrderedDict()

    def count(self, key: bytes, now: float) -> float:
        """The wrong tries of `key` that are not forgotten yet."""
        count, at = self._found(key)
        return max(0.0, count - (now - at) / self._forget)

    def wait(self, key: bytes, now: float) -> float:
        """The seconds until `key` may try again; 0 or less: now."""
        count, at = self._many.get(key, _NONE)
        return at + self._pause(count) - now

    def add(self, key: bytes, now: float) -> None:
        """Count a wrong try."""
        self._put(key, min(self.count(key, now) + 1, self._free + _DOUBLINGS), now)

    def take_back(self, key: bytes, tries: float) -> None:
        """Count so many tries less, as of the last one."""
        count, at = self._found(key)
        self._put(key, count - tries, at)

    def _found(self, key: bytes) -> tuple[float, float]:
        return self._many.get(key) or self._few.get(key, _NONE)

    def is_over(self, count: float) -> bool:
        """Whether so many tries are more than the free ones; part of one may have been forgotten while they came."""
        return round(count) >= self._free

    def _pause(self, count: float) -> float:
        return min(2.0 ** (round(count) - self._free), LONGEST_WAIT) if self.is_over(count) else 0.0

    def _put(self, key: bytes, count: float, now: float) -> None:
        self._few.pop(key, None)
        self._many.pop(key, None)
        if count <= 0:
            return
        kept = self._many if self.is_over(count) else self._few
        kept[key] = (count, now)
        if len(kept) > KEPT:
            kept.popitem(last=False)


Keys = tuple[bytes, bytes, bytes]
"""Those of a pair, of its address and of its user."""


class Try:
    """A try that was counted as wrong, until it is known to be right."""

    def __init__(self, brake: "Brake", keys: Keys, rank: float) -> None:
        self._brake = brake
        self._keys = keys
        self.rank = rank
        """Whose turn is first: the lower. A known pair has 0, all else the number of wrong tries from its address."""

    def passed(self) -> None:
        """It was right: forget this pair's wrong tries, and know it from now on."""
        self._brake.forgive(self._keys)

    def undone(self) -> None:
        """Nobody looked whether it was right: it does not count."""
        self._brake.take_back(self._keys)


class Brake:
    """Slows wrong credentials down, as the head of this file says."""

    def __init__(self, now: Callable[[], float] = time.monotonic, address_tries: int = ADDRESS_TRIES) -> None:
        self._now = now
        self._secret = secrets.token_bytes(32)  # nobody can make up names that fall together
        self._pairs = Tally(FREE_TRIES, 600.0)
        self._addresses = Tally(address_tries, 30.0)
        self._users = Tally(USER_TRIES, 30.0)
        self._known: OrderedDict[bytes, float] = OrderedDict()

    def take(self, instance: str, user: str, address: str) -> Try:
        """Count a try, for now as a wrong one. Raises TooManyAttempts if this pair, address or user has to wait."""
        now, network = self._now(), network_of(address)
        pair, place, person = keys = self._keys(instance, user, network)
        known = self._known.get(pair, 0.0) > now
        wait = self._pairs.wait(pair, now)
        if not known:
            wait = max(wait, self._addresses.wait(place, now), self._users.wait(person, now))
        _refuse(wait)
        self._pairs.add(pair, now)
        self._addresses.add(place, now)
        self._users.add(person, now)
        return Try(self, keys, 0.0 if known else self._addresses.count(place, now))

    def take_impossible(self, address: str) -> None:
        """Count what cannot be right, e.g. a name that nobody can have. Raises TooManyAttempts if it has to wait."""
        now, place = self._now(), self._hash(network_of(address))
        _refuse(self._addresses.wait(place, now))
        self._addresses.add(place, now)

    def passed(self, instance: str, user: str, address: str) -> None:
        """As Try.passed, for what was looked at before it was counted."""
        self.forgive(self._keys(instance, user, network_of(address)))

    def slows(self, address: str) -> bool:
        """Whether so much from this address was wrong that its next tries have to wait."""
        return self._addresses.is_over(self._addresses.count(self._hash(network_of(address)), self._now()))

    def forgive(self, keys: Keys) -> None:
        """See Try.passed. What this pair did wrong is no longer counted for its address and its user either."""
        now, (pair, place, person) = self._now(), keys
        tries = self._pairs.count(pair, now)
        for tally, key in ((self._pairs, pair), (self._addresses, place), (self._users, person)):
            tally.take_back(key, tries)
        self._known.pop(pair, None)
        self._known[pair] = now + KNOWN_FOR
        if len(self._known) > KEPT:
            self._known.popitem(last=False)

    def take_back(self, keys: Keys) -> None:
        """See Try.undone."""
        for tally, key in zip((self._pairs, self._addresses, self._users), keys, strict=True):
            tally.take_back(key, 1.0)

    def _keys(self, instance: str, user: str, network: str) -> Keys:
        return self._hash(instance, user, network), self._hash(network), self._hash(instance, user)

    def _hash(self, *parts: str) -> bytes:
        # no two lists of parts are the same text: each tells its length
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=16).digest()


def network_of(address: str) -> str:
    """What counts as one address: IPv4 as it is, also within IPv6; of IPv6 the first 64 bits.

    Some proxies forward the port too, a new one each time: `192.0.2.1:40000`, `[2001:db8::1]:40000`. What is no address
    is taken as it stands.
    """
    bare = address
    if address.startswith("["):
        bare = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        bare = address.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return parsed.packed[:8].hex()
    return str(getattr(parsed, "ipv4_mapped", parsed))


def _refuse(wait: float) -> None:
    if wait > 0:
        raise errors.TooManyAttempts(seconds=math.ceil(wait))
