"""Asking the roster and every server why a phone does not ring."""

import asyncio

from plantel import errors
from plantel.access import Actor
from plantel.delivery import Delivery
from plantel.reconcile import Reconciler, State
from plantel.roster import Member
from plantel.service import Service
from plantel.why.facts import Facts, Sight, Trace
from plantel.why.report import Report
from plantel.why.weighing import weigh

PATIENCE = 5.0
"""Seconds that each server has to answer."""


async def inquire(
    service: Service, delivery: Delivery, actor: Actor, agent: str, campaign: str | None = None
) -> list[Report]:
    """Why the phone of `agent` (a membername or an interface) does not ring: in `campaign`, or in each where it is.

    One report for each campaign, at least one. A server that is away is part of the answer. Who may not see every
    campaign is not told about phones that are in none of theirs. Raises UnknownCampaign, AccessRefused (who may not
    change members is not told of servers), StoreError.
    """
    actor.check_write()
    traces = await service.trace(actor, agent, campaign)
    return [await _report(delivery, actor, trace) for trace in traces]


async def _report(delivery: Delivery, actor: Actor, trace: Trace) -> Report:
    if trace.campaign is not None:
        carriers = [one for one in delivery.reconcilers if one.carries(trace.campaign)]
    else:
        carriers = [] if actor.campaigns else list(delivery.reconcilers)
    sights = await asyncio.gather(*(_look(one, trace) for one in carriers))
    return weigh(Facts(trace, tuple(sights), len(delivery.reconcilers)))


async def _look(reconciler: Reconciler, trace: Trace) -> Sight:
    server, campaign = reconciler.name, trace.campaign
    phone = reconciler.phones.called(trace.interface) if trace.interface else ""
    obliged = campaign is not None and reconciler.obliged(campaign)
    try:
        async with asyncio.timeout(PATIENCE):
            seen = None if campaign is None else await reconciler.switch.examine(campaign, phone)
            states = await reconciler.switch.devices([phone] if phone else [])
            lag = None if seen is None or trace.member is None else await _lag(reconciler, trace.member)
    except TimeoutError:
        return Sight(server, errors.SwitchTimeout(server=server, seconds=PATIENCE), obliged=obliged)
    except errors.SwitchError as error:
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
