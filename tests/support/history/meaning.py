"""What each operation means, said a second time: nothing here is taken from the code that is checked.

An add, for one, is decided there item by item. Here it is one sentence: whoever is named, or is on a phone that is
named, is gone; then everybody named is there. What differs from before is what changed.
"""

from collections.abc import Iterable, Mapping

import msgspec

from plantel.batch import Kind
from plantel.roster import Member, fold
from tests.support.history.operation import Add, Ask, Declare, Dissolve, Pause, Read, Remove

Key = tuple[str, str]
"""Folded campaign and membername."""

Roster = Mapping[Key, Member]

Difference = dict[Key, tuple[Member | None, Member | None]]
"""Before and after, of each agent for whom they differ."""


def key_of(member: Member) -> Key:
    return fold(member.campaign), member.membername


def phone_of(member: Member) -> Key:
    """Folded campaign and folded interface."""
    return fold(member.campaign), fold(member.interface)


class Rules:
    """Where just these campaigns are, spelled as they were declared."""

    def __init__(self, campaigns: Iterable[str]) -> None:
        self._spelled = {fold(name): name for name in campaigns}

    def problems(self, ask: Ask, roster: Roster) -> frozenset[str]:
        """The codes with which `ask` may be refused where `roster` is so; none where it has to be done."""
        if isinstance(ask, Add):
            found = {"unknown_campaign" for one in ask.members if fold(one.campaign) not in self._spelled}
            return frozenset(found | ({"contradiction"} if _contradicts_itself(ask) else set()))
        there = fold(ask.campaign) in self._spelled
        match ask:
            case Declare():
                return frozenset({"name_taken"} if there else ())
            case Dissolve():
                return frozenset(() if there else {"no_such_thing"})
            case Read():
                return frozenset(() if there else {"unknown_campaign"})
        if not there:
            return frozenset({"unknown_campaign"})
        named = [_named(roster, ask.campaign, agent) for agent in ask.agents]
        return frozenset({"unknown_member"}) if None in named else frozenset()

    def difference(self, ask: Ask, roster: Roster) -> Difference:
        """What `ask`, for which there are no problems, changes in `roster`."""
        match ask:
            case Read() | Declare():
                return {}
            case Add():
                after = self._add(ask, roster)
            case Dissolve(campaign):
                after = dict.fromkeys(key for key in roster if key[0] == fold(campaign))
            case _:
                after = _change(ask, roster)
        both = {key: (roster.get(key), member) for key, member in after.items()}
        return {key: (before, now) for key, (before, now) in both.items() if before != now}

    def _add(self, ask: Add, roster: Roster) -> dict[Key, Member | None]:
        items = {key_of(one): one for one in reversed(ask.members)}  # of equal ones, the first counts
        phones = {phone_of(one) for one in items.values()}
        after: dict[Key, Member | None] = {key: None for key, one in roster.items() if phone_of(one) in phones}
        for key, one in items.items():
            after[key] = msgspec.structs.replace(one, campaign=self._spelled[key[0]])
        return after


def kind_of(ask: Ask, before: Member | None, after: Member | None) -> Kind:
    """What the journal calls this change."""
    if before is None:
        return Kind.ADDED
    if after is None:
        return Kind.REPLACED if isinstance(ask, Add) else Kind.REMOVED
    return Kind.MOVED if before.interface != after.interface else Kind.UPDATED


def _change(ask: Remove | Pause, roster: Roster) -> dict[Key, Member | None]:
    after: dict[Key, Member | None] = {}
    for agent in ask.agents:
        member = _named(roster, ask.campaign, agent)
        assert member is not None
        after[key_of(member)] = None if isinstance(ask, Remove) else msgspec.structs.replace(member, paused=ask.paused)
    return after


def _named(roster: Roster, campaign: str, agent: str) -> Member | None:
    """Whoever is called so in the campaign; else whoever has that phone."""
    named = roster.get((fold(campaign), agent))
    on_phone = (one for one in roster.values() if phone_of(one) == (fold(campaign), fold(agent)))
    return named or next(on_phone, None)


def _contradicts_itself(ask: Add) -> bool:
    wanted = {(fold(one.campaign), one.membername, fold(one.interface), one.penalty, one.paused) for one in ask.members}
    agents = {(campaign, agent) for campaign, agent, *_ in wanted}
    phones = {(campaign, phone) for campaign, _, phone, *_ in wanted}
    return not len(wanted) == len(agents) == len(phones)
