"""What clients ask for, drawn from a seed: few agents, few phones, so that they are always in each other's way."""

import random
from collections.abc import Callable

import msgspec

from plantel.roster import Member
from tests.support.history.operation import Add, Ask, Declare, Dissolve, Pause, Read, Remove

CAMPAIGNS = ("Ventas->", "POWER<-", "Línea 100%")
CROWD = "Multitud"
"""A campaign of many, for large batches."""
PASSING = "Navidad"
"""A campaign that comes and goes."""
DECLARED = (*CAMPAIGNS, CROWD)
AGENTS = ("ana", "Ana", "bea", "José Ñandú", "eva", "ivo")
PHONES = ("SIP/1", "sip/1", "SIP/2", "PJSIP/3", "SIP/4", "SIP/5", "SIP/6")
CROWD_MOST = 60
LARGE = 0.02
"""How often it is a large batch."""


class Workload:
    """One client's wishes."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._last: Add | None = None

    def next(self, number: int) -> Ask:
        """`number` is one that no other operation has: it is the penalty of what is added, by which states differ."""
        draw = self._draw
        kind = draw.choices(("add", "again", "remove", "pause", "read"), (40, 5, 15, 15, 25))[0]
        campaign = draw.choice((*CAMPAIGNS, *CAMPAIGNS, "ventas->", CROWD, PASSING))
        match kind:
            case "add":
                self._last = self._add(number)
                return self._last
            case "again" if self._last is not None:
                return self._last
            case "remove":
                return Remove(campaign, self._agents(campaign))
            case "pause":
                return Pause(campaign, self._agents(campaign), draw.random() < 0.5)
            case _:
                return Read(campaign if draw.random() < 0.98 else "nowhere")

    def _add(self, number: int) -> Add:
        draw = self._draw
        if draw.random() < LARGE:
            crowd = draw.randrange(2, CROWD_MOST)
            first = draw.randrange(CROWD_MOST)
            return Add(
                tuple(Member(CROWD, f"agent {first + one}", f"SIP/c{2 * first + one}", number) for one in range(crowd))
            )
        items: list[Member] = []
        for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
            name = draw.choice((*CAMPAIGNS, "ventas->", PASSING)) if draw.random() < 0.99 else "nowhere"
            items.append(Member(name, draw.choice(AGENTS), draw.choice(PHONES), number, draw.random() < 0.3))
        if draw.random() < 0.1:
            items.append(msgspec.structs.replace(draw.choice(items)))
        return Add(tuple(items))

    def _agents(self, campaign: str) -> tuple[str, ...]:
        crowd = [f"agent {number}" for number in range(CROWD_MOST)]
        names = crowd if campaign == CROWD else (*AGENTS, *PHONES)
        return tuple(self._draw.choice(names) for _ in range(self._draw.choice((1, 1, 1, 2))))


class Coming:
    """The wishes of whoever makes the passing campaign come and go; `wait` is called before each."""

    def __init__(self, wait: Callable[[], None]) -> None:
        self._wait = wait
        self._there = False

    def next(self, _number: int) -> Ask:
        self._wait()
        self._there = not self._there
        return Declare(PASSING) if self._there else Dissolve(PASSING)
