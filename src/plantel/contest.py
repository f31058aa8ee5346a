"""Penalties that somebody else keeps setting back: another Plantel on the same server by mistake, a script, a dialler.

Each side hears of the other's change at once and would undo it at once, without end. So what had to be set several
times in a row is set again more and more rarely, and named as the reason why the server does not agree.
"""

from collections.abc import Iterable

from plantel.doubt import Key, key
from plantel.plan import Action, Penalise

FREE = 3
"""So many times in a row a penalty is set at once."""

FIRST_HOLD, LONGEST_HOLD = 1.0, 30.0
"""Seconds to wait before the next time, doubled each time."""

FORGOTTEN_SECONDS = 120.0
"""What held for so long is no longer contested."""


class _Count:
    """How often in a row a member was given one penalty, and how it goes on; times are of one clock."""

    __slots__ = ("last", "penalty", "times")

    def __init__(self, penalty: int, last: float) -> None:
        self.penalty = penalty
        self.times = 1
        self.last = last

    @property
    def hold(self) -> float:
        over = self.times - FREE
        return min(FIRST_HOLD * 2.0**over, LONGEST_HOLD) if over >= 0 else 0.0


class Contests:
    """Those of one server."""

    def __init__(self) -> None:
        self._counts: dict[Key, _Count] = {}
        self._swept = 0.0

    def part(self, actions: Iterable[Action], now: float) -> tuple[tuple[Action, ...], tuple[Penalise, ...], float]:
        """The actions to carry out now, those to hold back, and the seconds until the first of these may go."""
        self._sweep(now)
        go: list[Action] = []
        held: list[Penalise] = []
        wait = LONGEST_HOLD
        for action in actions:
            left = self._left(action, now) if isinstance(action, Penalise) else 0.0
            if isinstance(action, Penalise) and left > 0:
                held.append(action)
                wait = min(wait, left)
            else:
                go.append(action)
        return tuple(go), tuple(held), wait

    def _left(self, action: Penalise, now: float) -> float:
        """The seconds left to hold it back; where there are none, it is counted as done now."""
        count = self._counts.get(key(action))
        if count is None or count.penalty != action.penalty:
            self._counts[key(action)] = _Count(action.penalty, now)
            return 0.0
        left = count.last + count.hold - now
        if left <= 0:
            count.times += 1
            count.last = now
        return left

    def _sweep(self, now: float) -> None:
        if now - self._swept < FORGOTTEN_SECONDS:
            return
        self._swept = now
        self._counts = {at: one for at, one in self._counts.items() if now - one.last < FORGOTTEN_SECONDS}
