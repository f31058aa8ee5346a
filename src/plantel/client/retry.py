"""How often, and how long, a call is tried."""

import random
import time
from email.utils import parsedate_to_datetime

import msgspec

_MOST_TRIES = 100
_LONGEST = 64
"""Characters of a Retry-After; a date has 29."""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """All times in seconds; `deadline` holds for one call (one batch) with all its tries and the waits between them.

    Trying again is safe because the call is idempotent: adding a member that is there sets the same values again, so a
    batch whose answer was lost may be sent twice. It is done after what tells nothing of the batch (no connection, a
    timeout, 408, 429, 502, 503, 504) and never after a verdict: `0`, 401, 403 and 413 would come back the same, and
    wrong credentials repeated can lock a user out.

    Before try n+1 it waits what Retry-After asks, plus a random time of up to `first` * 2**(n-1), at most `longest`:
    random, so that many clients cut off together do not come back together. Raises ValueError where made with nonsense.
    """

    tries: int = 5
    deadline: float = 90.0
    timeout: float = 20.0
    """For one try."""
    first: float = 0.5
    longest: float = 10.0

    def __post_init__(self) -> None:
        if not 1 <= self.tries <= _MOST_TRIES:
            raise ValueError(f"tries must be 1 to {_MOST_TRIES}")
        if not (self.timeout > 0 and self.deadline > 0 and 0 <= self.first <= self.longest):
            raise ValueError("timeout and deadline must be above 0, first 0 or more and at most longest")

    def wait(self, tried: int, retry_after: float | None) -> float:
        """The seconds to wait after try number `tried` (from 1)."""
        ceiling = min(self.longest, self.first * 2 ** (tried - 1))
        return (retry_after or 0.0) + random.uniform(0, ceiling)  # noqa: S311  # spreads load, guards nothing


def read_retry_after(value: str | None) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date); None if it says nothing."""
    if value is None or len(value) > _LONGEST:
        return None
    if value.isascii() and value.isdigit() and len(value) < 10:  # noqa: PLR2004  # 30 years, and a float still
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
