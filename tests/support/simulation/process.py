"""One simulated Plantel."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from plantel.delivery import Delivery
from plantel.neighbours import Neighbours
from plantel.reconcile import Reconciler
from plantel.roster import Interfaces
from plantel.service import Service
from plantel.testing.fake_switch import FakeSwitch
from plantel.testing.memory_store import MemoryData
from tests.support.simulation.server import Server
from tests.support.simulation.shaky_store import ShakyStore
from tests.support.simulation.story import LoopClock, Story
from tests.support.simulation.weather import Weather

INTERVAL = 20.0


class Process:
    """A Plantel with a connection to each server and a store of its own on the shared data. Can be killed and started.

    `calls` are requests under way: they end with the process.
    """

    def __init__(
        self, number: int, servers: Sequence[Server], data: MemoryData, weather: Weather, story: Story
    ) -> None:
        self.name = f"plantel{number}"
        self._story = story
        self.store = ShakyStore(data, weather)
        self._servers = servers
        self.lines = [FakeSwitch(server.name, pbx=server.pbx) for server in servers]
        for line in self.lines:
            line.pace = line.lag = weather.seconds
            line.aftermath = weather.aftermath
        self.calls: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._assemble()

    def _assemble(self) -> None:
        self.delivery = Delivery(())
        clock = LoopClock()
        self.service = Service(
            self.store, "default", clock, Interfaces(), self.delivery.wake, names=self.delivery.names
        )
        self.delivery.reconcilers = tuple(
            Reconciler(
                self.store,
                line,
                self.service,
                clock,
                sole=len(self.lines) == 1,
                repair=server.repair,
                phones=server.phones,
                interval=INTERVAL,
            )
            for line, server in zip(self.lines, self._servers, strict=True)
        )

    @property
    def looks(self) -> int:
        """How often it has looked at a server."""
        return sum(line.looks for line in self.lines)

    @property
    def running(self) -> bool:
        return bool(self._tasks)

    def start(self) -> None:
        for line in self.lines:
            line.restarts = 0  # a new process has seen none
        self._assemble()
        self._tasks = [asyncio.create_task(one.run()) for one in self.delivery.reconcilers]
        neighbours = Neighbours(self.store, {"default": self.delivery}, [])
        self._tasks.append(asyncio.create_task(neighbours.watch()))

    async def kill(self) -> None:
        """End in the middle of whatever it is at."""
        ending = [*self._tasks, *self.calls]
        self._tasks = []
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for line in self.lines:
            await line.close()

    def call(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Take a request."""
        task = asyncio.create_task(work)
        self.calls.add(task)
        task.add_done_callback(self._called)
        return task

    def _called(self, task: asyncio.Task[None]) -> None:
        self.calls.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._story.blame(f"{self.name}: {error!r}")

    def mend(self) -> None:
        """Whatever was wrong with the store and the connections is right again."""
        self.store.failing = False
        for line in self.lines:
            line.mend()
            line.partial_failure = None
            line.cut_after = None
            line.privileged = True
            line.deaf = False

    def check(self) -> None:
        """Raise what ended a task that should never end."""
        for task in self._tasks:
            if task.done():
                task.result()
