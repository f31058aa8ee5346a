"""A batch and what it changes: decided here, purely, from the items asked for and the members that are there."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import repeat

import msgspec

from plantel import errors
from plantel.roster import Member, fold
from plantel.tally import Tally

CLOCKS_APART = timedelta(hours=1)
"""As far as the clocks of nodes differ by no more, and none is set back by more, times follow the order of the batches:
see `ports.Transaction.record`."""


class Kind(StrEnum):
    """What happened to one agent in one campaign."""

    ADDED = "added"
    UPDATED = "updated"
    """Same phone, other penalty or pause."""
    MOVED = "moved"
    """Another phone."""
    REPLACED = "replaced"
    """Gone, because another agent was put on this phone."""
    REMOVED = "removed"


class Change(msgspec.Struct, frozen=True, gc=False):
    """One agent of one campaign, before and after. `before` is None for ADDED, `after` for REPLACED and REMOVED.

    `reason`: what was given for the pause that it begins. Where nothing else changes (`before == after`), it is the new
    reason of a pause that goes on, empty where that has none any more.
    """

    kind: Kind
    before: Member | None
    after: Member | None
    reason: str = ""

    @property
    def member(self) -> Member:
        """Whichever side there is, the newer first: it names campaign and agent."""
        member = self.after or self.before
        assert member is not None
        return member


class Source(StrEnum):
    """The door through which a batch came."""

    WIRE = "wire"
    API = "api"
    CLI = "cli"
    SERVER = "server"
    """Observed on an Asterisk: somebody changed it there."""


class Problem(msgspec.Struct, frozen=True):
    """One reason for a refusal, as it is kept: enough to say it again in any language."""

    code: str
    item: int | None = None
    key: str = ""
    params: dict[str, str | int] = {}

    @classmethod
    def of(cls, error: errors.PlantelError) -> "Problem":
        item, key = (error.item, error.key) if isinstance(error, errors.InvalidItem) else (None, "")
        return cls(error.code, item, key, error.params)

    def error(self) -> errors.PlantelError:
        """The error it was made from."""
        kind = errors.every_error()[self.code]
        if issubclass(kind, errors.InvalidItem):
            return kind(key=self.key, item=self.item, **self.params)
        return kind(**self.params)


class Batch(msgspec.Struct, frozen=True):
    """One request's changes: all stored or none.

    `id` is unique and sorts by time. `at` is UTC. `items` is how many the request held. A refused batch has `problems`
    and no changes; in a list, which leaves them out, it is only `refused`.
    """

    id: str
    instance: str
    actor: str
    source: Source
    at: datetime
    items: int
    problems: tuple[Problem, ...] = ()
    refused: bool = False

    @property
    def stored(self) -> bool:
        return not (self.refused or self.problems)


def settle(items: Sequence[Member]) -> tuple[list[Member], list[errors.InvalidItem]]:
    """Fold equal items into one; name those that contradict an earlier one (same agent or same phone, other values).

    Returns the distinct items in order and one Contradiction for each that clashes, as `Tally` tells them; its numbers
    count from 1.
    """
    if _distinct(items):
        return list(items), []
    by_agent: dict[tuple[str, str], int] = {}
    by_phone: dict[tuple[str, str], int] = {}
    distinct: list[Member] = []
    clashes = Tally()
    for number, item in enumerate(items, 1):
        campaign = fold(item.campaign)
        agent, phone = (campaign, item.membername), (campaign, item.phone)
        first = by_agent.setdefault(agent, number)
        on_phone = by_phone.setdefault(phone, number)
        if first == number and on_phone == number:
            distinct.append(item)
            continue
        other = min(first, on_phone)
        earlier = items[other - 1]
        if _values(item) != _values(earlier):
            key = "interface1" if on_phone == other and item.membername != earlier.membername else "membername"
            clashes.make(errors.Contradiction, key=key, item=number, other=other)
    return distinct, clashes.told()


def _distinct(items: Sequence[Member]) -> bool:
    """Whether no agent and no phone comes twice in a campaign, as in nearly every batch."""
    by_name: dict[str, list[Member]] = {}
    for item in items:
        by_name.setdefault(item.campaign, []).append(item)
    crews: dict[str, list[Member]] = {}
    for name, some in by_name.items():
        crews.setdefault(fold(name), []).extend(some)
    return all(
        len({one.membername for one in crew}) == len(crew) == len({one.interface.lower() for one in crew})
        for crew in crews.values()
    )


def _values(member: Member) -> tuple[str, str, str, int, bool]:
    return fold(member.campaign), member.membername, member.phone, member.penalty, member.paused


def decide_add(items: Iterable[Member], present: Iterable[Member]) -> list[Change]:
    """The changes that bring every one of `items` about.

    `items` must be distinct (see `settle`); `present` must hold at least every member that shares an agent or a phone
    with an item. An agent already there is updated or moved; another agent on the phone is replaced, unless the batch
    itself puts that agent on another phone. Items that are already so give no change.
    """
    by_agent: dict[tuple[str, str], Member] = {}
    by_phone: dict[tuple[str, str], Member] = {}
    for member in present:
        campaign = fold(member.campaign)
        by_agent[campaign, member.membername] = member
        by_phone[campaign, member.phone] = member
    if not by_agent:
        return list(map(Change, repeat(Kind.ADDED), repeat(None), items))
    items = list(items)
    placed = {(fold(item.campaign), item.membername) for item in items}
    changes: list[Change] = []
    for item in items:
        campaign = fold(item.campaign)
        before = by_agent.get((campaign, item.membername))
        if before == item:
            continue
        holder = by_phone.get((campaign, item.phone))
        if holder is not None and (campaign, holder.membername) not in placed:
            changes.append(Change(Kind.REPLACED, holder, None))
        if before is None:
            changes.append(Change(Kind.ADDED, None, item))
        elif before.interface != item.interface:
            changes.append(Change(Kind.MOVED, before, item))
        else:
            changes.append(Change(Kind.UPDATED, before, item))
    return changes
