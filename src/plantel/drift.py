"""What was changed on a server behind Plantel's back, as it is kept: what, when, by which route, what was done."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterable
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

import msgspec

from plantel.plan import Claim, Drift, DriftKind
from plantel.roster import fold

ANNOUNCED_MOST = 10_000
"""Members of which events have told, and no look since. Of more it is not known by which route they changed."""

SLICE = 500
"""Drifts that are gone through without a break: a millisecond."""

EVENT_SECONDS = 0.5
"""How long the event may take that tells of a change which a look has shown: Asterisk makes the change first, and
leaves telling of it to another of its threads."""


T = TypeVar("T")


class Route(StrEnum):
    """How a drift came to be, as far as it shows. Asterisk never tells who it was."""

    EVENT = "event"
    """Asterisk announced the change as it was made: by AMI, its command line, the dialplan, a phone's feature code."""
    LOOK = "look"
    """Found by a look, without a word from Asterisk before it nor within EVENT_SECONDS after it."""
    RESTART = "restart"
    """Asterisk was started anew, which takes every dynamic member."""
    AWAY = "away"
    """It happened while Plantel did not watch this server."""


class Done(StrEnum):
    """What became of it."""

    REPAIRED = "repaired"
    REPORTED = "reported"
    """Left as it is: the server's policy is to observe, or it is nothing that Plantel could repair."""
    TAKEN_OVER = "taken_over"
    """A pause belongs to both sides: the roster has it now."""
    REFUSED = "refused"
    """Asterisk did not let it be repaired."""
    CONTESTED = "contested"
    """Somebody changes it again each time that it is put right."""


class DriftRecord(msgspec.Struct, frozen=True):
    """One drift of one member; with an empty `membername` and `interface`, `count` members of the campaign at once.

    `expected` and `found` are the penalty, or the pause (0 or 1), as the roster and as the server had it; else empty.
    """

    at: datetime
    server: str
    campaign: str
    membername: str
    interface: str
    kind: DriftKind
    expected: str
    found: str
    route: Route
    done: Done
    count: int = 1


Place = tuple[str, str]
"""Folded queue and interface."""

_Key = tuple[str, str, DriftKind]
"""Folded queue, folded interface, kind: by which a drift is recognised from one look to the next."""


def _key(drift: Drift) -> _Key:
    return fold(drift.member.campaign), fold(drift.interface), drift.kind


class DriftWatch:
    """Follows the drifts of one server from look to look, and makes a record of each once."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._seen: dict[_Key, tuple[Drift, Route]] = {}
        """Not recorded yet: in the round under way, or in those before it that failed."""
        self._standing: dict[_Key, Drift] = {}
        """Recorded, and left as they are."""
        self._announced: dict[Place, int] = {}
        """Of which looks each was the last to begin before an event told of it."""
        self._looks = 0
        self._unheard: set[_Key] = set()
        """Just seen, and not told of by any event so far."""
        self._all_heard = asyncio.Event()
        self._away = True
        self._presumed = False
        self._restarts = 0
        self.restarts = 0
        """As `ports.Switch.restarts` has it at the last look."""

    @property
    def restarted(self) -> bool:
        """Whether the server was started anew since the last round over all queues that came to its end."""
        return self._presumed or self.restarts > self._restarts

    def presume_restart(self, claims: Iterable[Claim], drifts: Iterable[Drift]) -> bool:
        """Presume a restart where nobody watched, and not one member that Plantel added is left of all `claims`."""
        if self._away:
            ours = {claim.key for claim in claims if claim.added and claim.paused is not None}
            gone = {key[:2] for key in map(_key, drifts) if key[2] is DriftKind.REMOVED}
            self._presumed = bool(ours) and ours <= gone
        return self._presumed

    def lost(self) -> None:
        """The server cannot be watched."""
        self._away = True

    def announced(self, queue: str, interface: str) -> None:
        """An event told that this member changes."""
        place = fold(queue), fold(interface)
        if place in self._announced or len(self._announced) < ANNOUNCED_MOST:
            self._announced[place] = self._looks
        for key in self._unheard.intersection((*place, kind) for kind in DriftKind):
            self._unheard.remove(key)
            self._seen[key] = self._seen[key][0], Route.EVENT
        if not self._unheard:
            self._all_heard.set()

    def looks(self) -> None:
        """A look begins: it shows whatever was announced so far, and perhaps what is announced from now on."""
        self._looks += 1

    async def saw(self, drifts: Iterable[Drift]) -> None:
        """Take the drifts of the last look, and wait until Asterisk has had its time to tell of each."""
        async for drift in _with_breaks(drifts):
            key = _key(drift)
            if key in self._seen:
                continue
            self._seen[key] = drift, (route := self._route(key))
            if route is Route.LOOK and self._is_news(key, drift):
                self._unheard.add(key)
        if not self._unheard:
            return
        self._all_heard.clear()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVENT_SECONDS):
                    await self._all_heard.wait()
        finally:
            self._unheard.clear()

    async def concluded(
        self,
        at: datetime,
        queues: Collection[str] | None,
        left: Iterable[Drift],
        *,
        repaired: bool,
        refused: Collection[Place] = (),
    ) -> list[DriftRecord]:
        """The round over these queues (None: all) has ended, and `left` still stand; returns what is to be recorded.

        `repaired`: whether it was the policy to put them right; `refused`: where Asterisk did not let it be done.
        """
        standing = {_key(drift): drift async for drift in _with_breaks(left)}
        looked_at = None if queues is None else {fold(queue) for queue in queues}
        records = []
        ended = [key for key in self._seen if looked_at is None or key[0] in looked_at]
        async for key in _with_breaks(ended):
            drift, route = self._seen.pop(key)
            if key not in standing:
                done = Done.TAKEN_OVER if drift.kind is DriftKind.PAUSED else Done.REPAIRED
            elif repaired and drift.kind is not DriftKind.DUPLICATED:
                done = Done.REFUSED if key[:2] in refused else Done.CONTESTED
            else:
                done = Done.REPORTED
            if key not in standing or self._is_news(key, drift):
                records.append(_record(at, self._server, drift, route, done))
        if looked_at is None:
            self._standing = standing
            self._restarts = self.restarts
            self._away = self._presumed = False
        else:
            kept = {key: drift for key, drift in self._standing.items() if key[0] not in looked_at}
            self._standing = kept | standing
        self._announced = {
            place: look
            for place, look in self._announced.items()
            if look == self._looks or (looked_at is not None and place[0] not in looked_at)
        }
        return await _condensed(records)

    def _is_news(self, key: _Key, drift: Drift) -> bool:
        """Whether no record tells of it; the phone's state and the like, which change all day, are not in one."""
        before = self._standing.get(key)
        return before is None or _sides(before) != _sides(drift)

    def _route(self, key: _Key) -> Route:
        if self.restarted:
            return Route.RESTART
        if key[:2] in self._announced:
            return Route.EVENT
        return Route.AWAY if self._away else Route.LOOK


def _record(at: datetime, server: str, drift: Drift, route: Route, done: Done) -> DriftRecord:
    """The record of one member's drift."""
    member = drift.member
    expected, found = _sides(drift)
    return DriftRecord(
        at, server, member.campaign, member.membername, drift.interface, drift.kind, expected, found, route, done
    )


def _sides(drift: Drift) -> tuple[str, str]:
    """What a record says of the roster's side, and of the server's."""
    member, there = drift.member, drift.found
    if there is not None and drift.kind is DriftKind.PENALTY:
        return str(member.penalty), str(there.penalty)
    if there is not None and drift.kind is DriftKind.PAUSED:
        return str(int(member.paused)), str(int(there.paused))
    return "", ""


async def _with_breaks(items: Iterable[T]) -> AsyncIterator[T]:
    """The items; everybody else on the event loop has a turn after each SLICE of them."""
    for number, item in enumerate(items, 1):
        yield item
        if number % SLICE == 0:
            await asyncio.sleep(0)


async def _condensed(records: Iterable[DriftRecord]) -> list[DriftRecord]:
    """The same with one record for each campaign in place of those that a restart gave every member of it."""
    kept: list[DriftRecord] = []
    restarted: dict[tuple[str, DriftKind, Done], DriftRecord] = {}
    async for one in _with_breaks(records):
        if one.route is not Route.RESTART:
            kept.append(one)
            continue
        whose = (one.campaign, one.kind, one.done)
        first = restarted.get(whose)
        count = 1 if first is None else first.count + 1
        restarted[whose] = msgspec.structs.replace(one, membername="", interface="", count=count)
    return kept + list(restarted.values())
