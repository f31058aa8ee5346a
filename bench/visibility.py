"""From a single add to the member in the queue, against one raw QueueAdd; in small queues, and in one that is not."""

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import roster
from bench.ami import OBSERVER, Ami, queue_add
from bench.measure import BenchFailed, Goal, Row, Scale, percentile
from bench.plantel_server import Caller, PlantelServer
from bench.report import Report
from plantel.roster import Member
from plantel.testing.asterisk import PrivateAsterisk

_PAUSE = 0.02
"""Seconds between one member's appearance and the next add: these are single adds, not a burst."""

_QUEUES = 20

_AGAINST = "raw QueueAdd"
_MEDIAN = Row("add to visible in Asterisk, p50", _AGAINST, "ms")
_TAIL = Row("add to visible in Asterisk, p99", _AGAINST, "ms")

_CROWDED = "Multitud->"
_SETTLED = 60
"""Seconds within which the crowd has to be live."""


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """Rounds of: Plantel, raw; each with an Asterisk of its own, so that neither hears of the other's members."""
    names = roster.campaigns(_QUEUES)
    what = f"add to visible in a campaign of {scale.crowd:,}"
    crowded = Row(f"{what}, p50", _AGAINST, "ms", Goal(most=3.0))
    crowded_tail = Row(f"{what}, p99", _AGAINST, "ms")
    queues: dict[str, list[str]] = {name: [] for name in (*names, _CROWDED)}
    with contextlib.ExitStack() as stack:
        ours, theirs = (
            stack.enter_context(PrivateAsterisk(folder / name, queues=queues, users=[OBSERVER]))
            for name in ("visible-ours", "visible-raw")
        )
        plantel = stack.enter_context(PlantelServer(folder / "visible", [*names, _CROWDED], ours))
        plantel.wait_until_agreed()
        crowd = [Member(_CROWDED, f"Gente {place:05d}", f"SIP/{900_000 + place}") for place in range(scale.crowd)]
        caller = stack.enter_context(contextlib.closing(Caller(plantel.port, plantel.token)))
        raw = stack.enter_context(contextlib.closing(Ami(theirs, theirs.user)))
        caller.send(roster.form(crowd), wait=_SETTLED)
        caller.answer()
        if caller.delivery != "live":
            raise BenchFailed(f"the delivery of {scale.crowd} members is {caller.delivery} after {_SETTLED} s")
        raw.pipeline([queue_add(member) for member in crowd])
        our_eyes, raw_eyes = (
            stack.enter_context(contextlib.closing(Ami(one, OBSERVER, events="agent"))) for one in (ours, theirs)
        )

        def add(member: Member) -> Callable[[], object]:
            caller.send(roster.form([member]))
            return caller.answer

        def add_raw(member: Member) -> Callable[[], object]:
            raw.send(queue_add(member))
            return lambda: raw.wait_for(b"Response: Success")

        for number in range(scale.rounds):
            members = _members(names, number, scale.adds)
            mine = _latencies(members, add, our_eyes)
            its = _latencies(members, add_raw, raw_eyes)
            report.add(_MEDIAN, percentile(mine, 50), percentile(its, 50))
            report.add(_TAIL, percentile(mine, 99), percentile(its, 99))
            members = _members([_CROWDED], number, scale.adds // 2)
            mine = _latencies(members, add, our_eyes)
            its = _latencies(members, add_raw, raw_eyes)
            report.add(crowded, percentile(mine, 50), percentile(its, 50))
            report.add(crowded_tail, percentile(mine, 99), percentile(its, 99))


def _members(names: Sequence[str], number: int, count: int) -> list[Member]:
    """`count` agents, new in each round, from queue to queue."""
    return [
        Member(names[place % len(names)], f"Agente {number}-{place}", f"SIP/{1000 * (number + 1) + place}")
        for place in range(count)
    ]


def _latencies(members: Sequence[Member], add: Callable[[Member], Callable[[], object]], eyes: Ami) -> list[float]:
    """Milliseconds from the beginning of each add to its event. `add` returns what waits for the answer."""
    took = []
    for member in members:
        time.sleep(_PAUSE)
        started = time.perf_counter()
        answer = add(member)
        eyes.wait_for(f"Interface: {member.interface}\r\n".encode())
        took.append((time.perf_counter() - started) * 1e3)
        answer()
    return took
