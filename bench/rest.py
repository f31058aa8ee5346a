"""What it takes to keep a large roster true while nothing changes: processor time of a round, and memory."""

import asyncio
import contextlib
import time
from pathlib import Path

import msgspec

from bench import roster
from bench.ami import Ami
from bench.measure import BenchFailed, Row, Scale
from bench.plantel_server import Caller, PlantelServer
from bench.raw import INSTANCE
from bench.report import Report
from plantel.ami import AmiSwitch
from plantel.delivery import Delivery
from plantel.reconcile import Reconciler
from plantel.roster import Interfaces, Member
from plantel.server import spare_collector
from plantel.service import Service
from plantel.store import open_store
from plantel.testing.asterisk import PrivateAsterisk
from plantel.wiring import SystemClock

_LIVE_WAIT = 60
"""Seconds: the longest that Plantel lets an answer wait."""


def measure(scale: Scale, report: Report, folder: Path) -> None:
    """Rounds over a roster that is live: a look at everything that finds nothing to do, against reading it."""
    names = roster.campaigns(scale.queues)
    members = roster.members(names)
    what = f"{len(members):,} members at rest"
    row = Row(f"{what}: processor time of a round", "reading QueueStatus", "ms")
    memory = Row(f"{what}: memory that they take, each", "their JSON", "kB")
    queues: dict[str, list[str]] = {name: [] for name in names}
    with PrivateAsterisk(folder / "rest-asterisk", queues=queues) as asterisk:
        with PlantelServer(folder / "rest", names, asterisk) as plantel:
            plantel.wait_until_agreed()
            before = plantel.resident()
            with contextlib.closing(Caller(plantel.port, plantel.token)) as caller:
                caller.send(roster.form(members), wait=_LIVE_WAIT)
                caller.answer()
                if caller.delivery != "live":
                    raise BenchFailed(f"the delivery is {caller.delivery} after {_LIVE_WAIT} s")
            each = (plantel.resident() - before) / len(members) / 1e3
            report.add(memory, each, len(msgspec.json.encode(members)) / len(members) / 1e3)
        ours = asyncio.run(_rounds(asterisk, plantel.url, scale.rounds, members))
        with contextlib.closing(Ami(asterisk, asterisk.user)) as ami:
            for took in ours:
                started = time.process_time()
                if ami.members() != len(members):
                    raise BenchFailed("Asterisk does not have all the members")
                report.add(row, took * 1e3, (time.process_time() - started) * 1e3)


async def _rounds(asterisk: PrivateAsterisk, url: str, count: int, members: list[Member]) -> list[float]:
    """Processor seconds of each of so many rounds, by a reconciler here, on the store that the server left."""
    store = open_store(url)
    user = asterisk.user
    switch = AmiSwitch("pbx", asterisk.host, asterisk.ami_port, user.name, user.secret)
    delivery = Delivery(())
    service = Service(store, INSTANCE, SystemClock(), Interfaces(), delivery.wake)
    reconciler = Reconciler(store, switch, service, SystemClock())
    took = []
    spare_collector()  # as the service does, too
    try:
        for number in range(count + 1):
            started = time.process_time()
            found = await reconciler.run_once()
            if not found.agreed or reconciler.status.members != len(members):
                raise BenchFailed(f"there is something to do: {found}")
            if number:  # the first one connects
                took.append(time.process_time() - started)
    finally:
        await switch.close()
        await store.close()
    return took
