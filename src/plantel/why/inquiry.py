"""Asking the roster and every server why a phone does not ring."""

import asyncio
from functools import partial

from plantel import errors
from plantel.access import Actor
from plantel.delivery import Delivery
from plantel.reconcile import Reconciler, State
from plantel.roster import Member
from plantel.service import Service
from plantel.why.facts import Facts, Sight, Trace
from plantel.why.report import Report
from plantel.why.weighing import weigh
from plantel.workers import Workers

PATIENCE = 5.0
"""Seconds that each server has to answer."""

WEIGHED_AT_ONCE = 1_000
"""Members of the queues looked at that the event loop weighs itself: about 2 ms."""

_aside = Workers("weighing", 1, 100)


async def inquire(
    service: Service, delivery: Delivery, actor: Actor, agent: str, campaign: str | None = None
) -> list[Report]:
    """Why the phone of `agent` (a membername or an interface) does not ring: in `campaign`, or in each where it is.

    One report for each campaign, at least one. A server that is away is part of the answer. Who may not see every
    campaign is not told about phones that are in none of theirs. Raises UnknownCampaign, TooManyCampaigns,
    AccessRefused (who may not change members is not told of servers), StoreError.
    """
    actor.check_write()
    traces = await service.trace(actor, agent, campaign)
    away: dict[str, errors.SwitchError] = {}
    return [await _report(delivery, actor, trace, away) for trace in traces]


async def _report(delivery: Delivery, actor: Actor, trace: Trace, away: dict[str, errors.SwitchError]) -> Report:
    if trace.campaign is not None:
        carriers = [one for one in delivery.reconcilers if one.carries(trace.campaign)]
    else:
        carriers = [] if actor.campaigns else list(delivery.reconcilers)
    sights = await asyncio.gather(*(_look(one, trace, away) for one in carriers))
    facts = Facts(trace, tuple(sights), len(delivery.reconcilers))
    seats = sum(len(sight.seen.seats) for sight in sights if sight.seen is not None)
    return weigh(facts) if seats <= WEIGHED_AT_ONCE else await _aside.run(partial(weigh, facts))


async def _look(reconciler: Reconciler, trace: Trace, away: dict[str, errors.SwitchError]) -> Sight:
    """`away`: why servers could not be asked about other campaigns; nobody waits for one twice."""
    server, campaign = reconciler.name, trace.campaign
    phone = reconciler.phones.called(trace.interface) if trace.interface else ""
    obliged = campaign is not None and reconciler.obliged(campaign)
    if (known := away.get(server)) is not None:
        return Sight(server, known, obliged=obliged)
    try:
        async with asyncio.timeout(PATIENCE):
            seen = None if campaign is None else await reconciler.switch.examine(campaign, phone)
            states = await reconciler.switch.devices([phone] if phone else [])
            lag = None if seen is None or trace.member is None else await _lag(reconciler, trace.member)
    except TimeoutError:
        away[server] = errors.SwitchTimeout(server=server, seconds=PATIENCE)
        return Sight(server, away[server], obliged=obliged)
    except errors.SwitchError as error:
        if not isinstance(error, errors.SwitchRefused):
            away[server] = error
        return Sight(server, error, obliged=obliged)
    ours = seen is not None and await reconciler.owns(seen.queue, phone)
    return Sight(server, None, seen, states.get(phone), ours, obliged, lag, phone)


async def _lag(reconciler: Reconciler, member: Member) -> errors.PlantelError | None:
    """What keeps the member from being delivered, if there is something."""
    match reconciler.status.state:
        case State.LAGGING:
            why = reconciler.behind(member.campaign, [member])
            return None if isinstance(why, errors.SwitchBehind) else why
        case State.STARTING:  # as in a process that only asks
            return await reconciler.hindrance(member)
    return None
