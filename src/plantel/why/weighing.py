"""Why a phone does not ring: a pure function from facts to findings, the most decisive first.

`weigh(facts)` looks at what the roster and its journal say of one agent in one campaign, and at a close look of every
server that carries it. What app_queue weighs before it rings a member is `ring_entry` and `calc_metric` there.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta

from plantel.batch import Kind
from plantel.device import DeviceState
from plantel.plan import Membership
from plantel.ports import Entry
from plantel.roster import fold
from plantel.why.closeup import Closeup, Seat
from plantel.why.facts import Facts, Sight, Trace
from plantel.why.findings import Cause, Effect, Finding
from plantel.why.report import Report, Verdict

WRAPUP_MOST = timedelta(minutes=10)
"""Where the wrap-up time is not to be seen: how long after a call it is worth a thought."""

NAMED_MOST = 5
"""Names of others in one finding."""


def weigh(facts: Facts) -> Report:
    """Weigh the facts."""
    sights = _sharing(facts.sights)
    seats = [(sight, sight.seen, _seat(facts.trace, sight)) for sight in sights]
    live = any(seat is not None for _, _, seat in seats)
    findings = list(_of_roster(facts.trace, live=live))
    if not facts.servers:
        findings.append(Finding(Cause.NO_SERVER))
    elif not sights and facts.trace.campaign is not None:
        findings.append(Finding(Cause.NOT_CARRIED, params={"campaign": facts.trace.campaign}))
    for sight, seen, seat in seats:
        findings += _of_server(facts.trace, sight, seen, seat)
    findings.sort(key=lambda finding: finding.rank)
    return Report(facts.trace, _verdict(findings, sights), tuple(findings))


def _verdict(findings: Iterable[Finding], sights: Iterable[Sight]) -> Verdict:
    stopped = {finding.server for finding in findings if finding.cause.effect is Effect.STOPS}
    if None in stopped or all(sight.server in stopped for sight in sights):
        return Verdict.NO
    if stopped:
        return Verdict.PARTLY
    return Verdict.MAYBE if any(one.cause.effect is Effect.LIMITS for one in findings) else Verdict.YES


def _sharing(sights: tuple[Sight, ...]) -> list[Sight]:
    """Without the servers whose share this campaign is not: they lack the queue, and another one has it."""
    if not any(sight.seen is not None for sight in sights):
        return list(sights)
    return [sight for sight in sights if sight.seen is not None or sight.error is not None or sight.obliged]


def _phone(trace: Trace, sight: Sight) -> str:
    """The agent's phone, as that server calls it."""
    return sight.interface or trace.interface


def _seat(trace: Trace, sight: Sight) -> Seat | None:
    """The agent's place in the queue; one who is not in the roster is looked for by name, too."""
    if sight.seen is None:
        return None
    # a phone that is somebody else's by now stands there for that one
    phone = _phone(trace, sight)
    seat = sight.seen.seat(phone) if phone and trace.holder is None else None
    if seat is None and trace.member is None:
        seat = next((one for one in sight.seen.seats if one.member.membername == trace.agent), None)
    return seat


# --- the roster ------------------------------------------------------------------------------------------------------


def _of_roster(trace: Trace, *, live: bool) -> Iterator[Finding]:
    member = trace.member
    if member is not None:
        since = next((line for line in reversed(trace.history) if line.change.before is None), None)
        yield Finding(
            Cause.IN_ROSTER,
            params={
                "membername": member.membername,
                "campaign": member.campaign,
                "at": since and since.at,
                "by": since and since.actor,
                "interface": member.interface,
                "penalty": member.penalty,
            },
        )
        if member.paused and not live:
            # where the phone is in a queue, the pause is judged there
            yield Finding(Cause.PAUSED_IN_ROSTER, params={**_pauser(trace), "reason": trace.reason})
        return
    if not live:
        # who is in the queue all the same is found there
        yield _absence(trace)
    if trace.holder is not None:
        yield Finding(Cause.PHONE_TAKEN, params={"interface": trace.interface, "holder": trace.holder})
    if trace.similar:
        yield Finding(Cause.SIMILAR_NAMES, params={"campaign": trace.campaign, "names": trace.similar})


def _absence(trace: Trace) -> Finding:
    """How it came that the agent is not in the campaign."""
    params: dict[str, object] = {"agent": trace.agent, "campaign": trace.campaign}
    if trace.campaign is None:
        return Finding(Cause.UNKNOWN_AGENT, params=params)
    if not trace.history:
        return Finding(Cause.NEVER_ADDED, params=params)
    last = trace.history[-1]
    params |= {"at": last.at, "by": last.actor, "batch": last.batch}
    match last.change.kind:
        case Kind.REPLACED:
            return Finding(Cause.REPLACED, params={**params, "interface": last.change.member.interface})
        case Kind.REMOVED:
            return Finding(Cause.REMOVED, params=params)
    # asked for by a phone, whose agent has left it
    left = next((line for line in reversed(trace.history) if _leaves(line, trace.interface)), last)
    member = left.change.member
    moved = {"membername": member.membername, "interface": trace.interface, "other": member.interface}
    return Finding(Cause.MOVED, params={**params, **moved, "at": left.at, "by": left.actor, "batch": left.batch})


def _leaves(line: Entry, interface: str) -> bool:
    before = line.change.before
    return line.change.kind is Kind.MOVED and before is not None and before.phone == fold(interface)


# --- one server ------------------------------------------------------------------------------------------------------


def _of_server(trace: Trace, sight: Sight, seen: Closeup | None, seat: Seat | None) -> Iterator[Finding]:
    server = sight.server
    if sight.error is not None:
        yield Finding(Cause.SERVER_AWAY, server, {"reason": sight.error})
    elif trace.campaign is None:
        if trace.interface:
            yield from _of_phone(_phone(trace, sight), sight, None, None)
    elif seen is None:
        yield Finding(Cause.QUEUE_MISSING, server, {"campaign": trace.campaign})
    elif seat is None:
        if trace.member is not None:
            yield _missing(trace, sight)
            yield from _of_phone(_phone(trace, sight), sight, seen, None)
    else:
        yield Finding(Cause.LIVE, server, {"at": seat.joined})
        yield from _of_drift(trace, sight, seat)
        yield from _of_pause(trace, server, seat)
        yield from _of_phone(seat.member.interface, sight, seen, seat)
        yield from _of_rest(server, seen, seat)
        yield from _of_others(server, seen, seat)
        yield from _of_callers(server, seen)


def _missing(trace: Trace, sight: Sight) -> Finding:
    params: dict[str, object] = {"interface": _phone(trace, sight)}
    if sight.lag is None:
        return Finding(Cause.NOT_LIVE, sight.server, params)
    return Finding(Cause.NOT_DELIVERED, sight.server, {**params, "reason": sight.lag})


def _of_drift(trace: Trace, sight: Sight, seat: Seat) -> Iterator[Finding]:
    server, there, member = sight.server, seat.member, trace.member
    ours = sight.ours and there.membership is Membership.DYNAMIC
    who: dict[str, object] = {
        "interface": there.interface,
        "membername": there.membername,
        "membership": str(there.membership),
    }
    if member is None:
        yield Finding(Cause.LEAVING if ours else Cause.STRAY, server, who)
        return
    if there.membername != member.membername:
        yield Finding(Cause.RENAMING if ours else Cause.OTHER_NAME, server, who)
    if there.penalty != member.penalty:
        yield Finding(Cause.PENALTY_DIFFERS, server, {"live": there.penalty, "wanted": member.penalty})


def _of_pause(trace: Trace, server: str, seat: Seat) -> Iterator[Finding]:
    wanted = trace.member is not None and trace.member.paused
    who = _pauser(trace) if wanted else {}
    if seat.member.paused and wanted:
        yield Finding(Cause.PAUSED, server, {**who, "reason": seat.member.paused_reason or trace.reason})
    elif seat.member.paused:
        yield Finding(Cause.PAUSED_AT_SERVER, server, {"at": seat.paused_at, "reason": seat.member.paused_reason})
    elif wanted:
        yield Finding(Cause.PAUSE_DIFFERS, server, who)


def _pauser(trace: Trace) -> dict[str, object]:
    pausing = _pausing(trace.history)
    return {"at": pausing and pausing.at, "by": pausing and pausing.actor}


def _pausing(history: tuple[Entry, ...]) -> Entry | None:
    """The line that began the pause in which the agent is."""
    began = None
    for line in history:
        before, after = line.change.before, line.change.after
        if after is not None and after.paused and (before is None or not before.paused):
            began = line
    return began


def _of_phone(interface: str, sight: Sight, seen: Closeup | None, seat: Seat | None) -> Iterator[Finding]:
    # what the queue believes is what it goes by
    state = seat.state if seat is not None else sight.device
    params: dict[str, object] = {"interface": interface}
    match state:
        case None:
            cause = Cause.STATE_UNSEEN
        case DeviceState.INVALID:
            cause = Cause.PHONE_INVALID
        case DeviceState.UNAVAILABLE:
            cause = Cause.PHONE_UNAVAILABLE
        case DeviceState.RINGING:
            cause = Cause.PHONE_RINGING
        case DeviceState.UNKNOWN:
            cause = Cause.STATE_UNKNOWN
        case DeviceState.NOT_INUSE:
            cause = Cause.PHONE_FREE
        case _:
            params["state"] = state.name
            known = None if seen is None else seen.ring_in_use
            cause = {False: Cause.PHONE_IN_USE, True: Cause.RINGS_IN_USE, None: Cause.PHONE_MAYBE_IN_USE}[known]
    yield Finding(cause, sight.server, params)


def _of_rest(server: str, seen: Closeup, seat: Seat) -> Iterator[Finding]:
    until = seen.resting_until(seat)
    if until is not None:
        yield Finding(Cause.WRAPPING_UP, server, {"until": until})
    elif seen.rules is None:
        if not seat.wrapup and seat.last_call is not None and seen.now - seat.last_call < WRAPUP_MOST:
            yield Finding(Cause.MAYBE_WRAPPING_UP, server, {"at": seat.last_call})
        yield Finding(Cause.RULES_UNSEEN, server)


def _of_others(server: str, seen: Closeup, seat: Seat) -> Iterator[Finding]:
    mine, penalty = fold(seat.member.interface), seat.member.penalty
    free = [
        one.member
        for one in seen.seats
        if fold(one.member.interface) != mine
        and not one.member.paused
        and one.state.free
        and seen.resting_until(one) is None
    ]
    first = tuple(one.membername for one in free if one.penalty < penalty)
    equal = tuple(one.membername for one in free if one.penalty == penalty)
    if first:
        names = first[:NAMED_MOST]
        yield Finding(Cause.LOWER_PENALTY_FIRST, server, {"penalty": penalty, "count": len(first), "names": names})
    elif equal and seen.strategy != "ringall":
        params = {"strategy": seen.strategy, "count": len(equal), "names": equal[:NAMED_MOST]}
        yield Finding(Cause.ONE_AT_A_TIME, server, params)


def _of_callers(server: str, seen: Closeup) -> Iterator[Finding]:
    if seen.turns_away():
        assert seen.rules is not None
        yield Finding(Cause.CALLERS_TURNED_AWAY, server, {"rule": seen.rules.join_empty})
    if not seen.callers:
        yield Finding(Cause.NOBODY_WAITING, server)
