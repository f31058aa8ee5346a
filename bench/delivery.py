"""A whole roster into an empty Asterisk, against raw pipelined QueueAdd."""

import contextlib
import time
from pathlib import Path

from bench import roster
from bench.ami import OBSERVER, Ami, Watcher, check, queue_add
from bench.measure import BenchFailed, Goal, Row, Scale
from bench.plantel_server import Caller, PlantelServer
from bench.report import Report
from plantel.testing.asterisk import PrivateAsterisk

_LONGEST = 120
"""Seconds that a delivery may take."""

_LIVE_WAIT = 60
"""Seconds: the longest that Plantel lets an answer wait."""


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """Rounds of: Plantel, raw; each with a new Asterisk, whose queues are empty.

    Both add campaign by campaign, and by name within each. So for both, the last is visible when the last member of
    every campaign is; that there are as many members as there should be is checked afterwards.
    """
    names = roster.campaigns(scale.queues)
    members = roster.members(names)
    what = f"{len(members):,} members into an empty Asterisk"
    visible_row = Row(f"{what}: until the last is visible", "raw pipelined QueueAdd", "/s", Goal(least=0.9))
    live_row = Row(f"{what}: until Plantel has seen them all", "raw pipelined QueueAdd", "/s")
    last = [one for one in members if roster.is_last(one)]
    bodies = roster.form(members), roster.form(last)
    actions = [queue_add(one) for one in members]
    queues: dict[str, list[str]] = {name: [] for name in names}
    for number in range(scale.rounds):
        with PrivateAsterisk(folder / f"delivery-ours-{number}", queues=queues, users=[OBSERVER]) as asterisk:
            watcher = Watcher(asterisk, last[0].membername, len(last))
            with PlantelServer(folder / f"delivery-{number}", names, asterisk) as plantel:
                plantel.wait_until_agreed()
                stored, live = _deliver(plantel, *bodies)
            visible = watcher.seen(_LONGEST)
            check(asterisk, len(members))
        with PrivateAsterisk(folder / f"delivery-raw-{number}", queues=queues, users=[OBSERVER]) as asterisk:
            watcher = Watcher(asterisk, last[0].membername, len(last))
            with contextlib.closing(Ami(asterisk, asterisk.user)) as raw:
                started = time.perf_counter()
                raw.pipeline(actions)
            raw_rate = len(members) / (watcher.seen(_LONGEST) - started)
            check(asterisk, len(members))
        report.add(visible_row, len(members) / (visible - stored), raw_rate)
        report.add(live_row, len(members) / (live - stored), raw_rate)


def _deliver(plantel: PlantelServer, roster_body: bytes, same_again: bytes) -> tuple[float, float]:
    """The moments at which the roster was answered and at which it was live.

    The second is the answer to a batch that changes nothing: it names every campaign, and waits until all are live.
    """
    with contextlib.closing(Caller(plantel.port, plantel.token)) as caller:
        stored = caller.add(roster_body)
        caller.send(same_again, wait=_LIVE_WAIT)
        live = caller.answer()
        if caller.delivery != "live":
            raise BenchFailed(f"the delivery is {caller.delivery} after {_LIVE_WAIT} s")
    return stored, live
