"""Following an agent through the roster and its journal."""

import difflib
from collections.abc import Iterable
from itertools import islice

from plantel import errors
from plantel.access import Actor
from plantel.ports import Transaction
from plantel.roster import NAME_BYTES, Member, fold, is_interface
from plantel.why.facts import Trace

SIMILAR_MOST = 3
"""Names offered in place of one that nobody has."""

CAMPAIGNS_MOST = 200
"""Campaigns of one agent that are told about: for each, the journal and every server are asked."""

LINES_MOST, LINES_EACH = 10_000, 1_000
"""Journal lines about an agent that are read: of all campaigns together, and of one."""

COMPARED_MOST = 1_000
"""Names that are compared letter by letter, which takes 50 µs each: of more, the first by the alphabet."""


def trace(
    transaction: Transaction, instance: str, actor: Actor, agent: str, campaign: str | None = None
) -> list[Trace]:
    """What is known of an agent, named by membername or by interface: in `campaign`, or in each campaign with it.

    For one who is in none, in each that the newest 1000 journal lines about it name; if there are none either, one
    Trace without a campaign. Only campaigns that `actor` reaches, of which `campaign` has to be one. Raises
    UnknownCampaign, TooManyCampaigns.
    """
    known = transaction.campaigns(instance)
    if campaign is not None and fold(campaign) not in known:
        raise errors.UnknownCampaign(campaign=campaign)
    present = [
        member
        for member in transaction.members(instance, actor.reached(known.values()) if campaign is None else [campaign])
        if member.membername == agent or member.phone == fold(agent)
    ]
    if present:
        lines = _lines(agent, len(present))
        return [_present(transaction, instance, agent, member, lines) for member in present]
    past = _past(transaction, instance, actor, agent, campaign)
    campaigns = [known[fold(campaign)].name] if campaign is not None else sorted(past)
    campaigns = [name for name in campaigns if fold(name) in known]
    lines = _lines(agent, len(campaigns))
    traces = [_absent(transaction, instance, agent, name, past.get(name), lines) for name in campaigns]
    return traces or [Trace(agent, None, agent if is_interface(agent) else "")]


def _lines(agent: str, campaigns: int) -> int:
    """How many journal lines about the agent are read of each of so many campaigns. Raises TooManyCampaigns."""
    if campaigns > CAMPAIGNS_MOST:
        raise errors.TooManyCampaigns(agent=agent, count=campaigns)
    return min(LINES_EACH, LINES_MOST // max(campaigns, 1))


def _present(transaction: Transaction, instance: str, agent: str, member: Member, lines: int) -> Trace:
    history = transaction.journal(instance, campaign=member.campaign, membername=member.membername, limit=lines)
    reason = "".join(transaction.reasons(instance, [member]).values())
    return Trace(agent, member.campaign, member.interface, member, tuple(history), reason)


def _absent(
    transaction: Transaction, instance: str, agent: str, campaign: str, past: Member | None, lines: int
) -> Trace:
    members = transaction.members(instance, [campaign])
    if past is None:
        interface = agent if is_interface(agent) else ""
        return Trace(agent, campaign, interface, similar=_similar(agent, members))
    history = transaction.journal(instance, campaign=campaign, membername=past.membername, limit=lines)
    holder = next((member.membername for member in members if member.phone == past.phone), None)
    return Trace(agent, campaign, past.interface, history=tuple(history), holder=holder)


def _similar(agent: str, members: Iterable[Member]) -> tuple[str, ...]:
    """The names of members that `agent` may be a slip for."""
    meant = agent[:NAME_BYTES].casefold()
    # a slip leaves the length about as it is, and the first two letters or the last two
    near = {
        name: member.membername
        for member in members
        if abs(len(name := member.membername.casefold()) - len(meant)) <= len(meant) // 2 + 1
        and (name[:2] == meant[:2] or name[-2:] == meant[-2:])
    }
    compared = list(islice(near, COMPARED_MOST))
    return tuple(near[name] for name in difflib.get_close_matches(meant, compared, n=SIMILAR_MOST, cutoff=0.8))


def _past(transaction: Transaction, instance: str, actor: Actor, agent: str, campaign: str | None) -> dict[str, Member]:
    """By campaign, the last member of that name, or on that phone, that the journal knows."""
    phone = is_interface(agent)
    past: dict[str, Member] = {}
    name = None if phone else agent
    for line in transaction.journal(instance, campaign=campaign, membername=name, within=actor.within):
        for side in (line.change.before, line.change.after):
            if side is not None and (side.phone == fold(agent) if phone else side.membername == agent):
                past[side.campaign] = side
    return past
