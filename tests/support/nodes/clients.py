"""Integrators of several nodes, each of whom raises the penalty of one agent again and again."""

import asyncio
import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import httpx

from tests.support.nodes.node import Node

CAMPAIGN = "Ventas->"

PATIENCE = 1.5
"""Seconds that a client waits for an answer."""

PAUSE = 0.02


class Clients:
    """`answered`: of each agent the highest penalty for which `1` came. A client that is not told what became of a
    request goes on with another agent, so that nobody's penalty ever has to fall."""

    def __init__(self, nodes: Sequence[Node], token: str, draw: random.Random) -> None:
        self.answered: dict[str, int] = {}
        self.refused = self.lost = 0
        self._nodes = nodes
        self._authorization = {"Authorization": f"Basic {token}"}
        self._draw = draw
        self._numbers = itertools.count(1)
        self._progress = asyncio.Condition()
        self._stop = asyncio.Event()
        self._running: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, count: int) -> None:
        """`count` of them, until `rest`."""
        self._running = asyncio.create_task(self._run(count))

    async def rest(self) -> None:
        """Ask for nothing more; returns when the last has been answered."""
        self._stop.set()
        await self._running

    async def _run(self, count: int) -> None:
        async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as http, asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(self._client(http))

    async def more(self, answers: int, seconds: float = 30) -> None:
        """Return when so many more have been answered with `1`. Raises TimeoutError."""
        wanted = sum(self.answered.values()) + answers
        async with asyncio.timeout(seconds), self._progress:
            await self._progress.wait_for(lambda: sum(self.answered.values()) >= wanted)

    async def _client(self, http: httpx.AsyncClient) -> None:
        number, penalty = next(self._numbers), 1
        while not self._stop.is_set():
            stored = await self.add(http, self._draw.choice(self._nodes), number, penalty)
            if stored:
                async with self._progress:
                    self.answered[f"agent {number}"] = penalty
                    self._progress.notify_all()
                penalty += 1
            elif stored is None:
                self.lost += 1
                number, penalty = next(self._numbers), 1
            else:
                self.refused += 1
            await asyncio.sleep(PAUSE)  # as a client does between two calls

    async def add(self, http: httpx.AsyncClient, node: Node, number: int, penalty: int) -> bool | None:
        """Whether it was answered with `1`; None where nobody knows whether it is stored."""
        try:
            answer = await self.call(http, node, number, penalty)
        except httpx.ConnectError:
            return False
        except httpx.TransportError:
            return None
        if answer.text == "1":
            return True
        # what the store says of a commit that it lost is that it knows nothing
        return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else False

    async def call(self, http: httpx.AsyncClient, node: Node, number: int, penalty: int) -> httpx.Response:
        """The published call."""
        item = {
            "membername": f"agent {number}",
            "queueName": CAMPAIGN,
            "interface1": f"SIP/{1000 + number}",
            "penalty": penalty,
            "paused": 0,
        }
        return await http.post(
            f"http://127.0.0.1:{node.port}/Integra/resources/queues/addqueuemember",
            data={"queuemember": json.dumps([item])},
            headers=self._authorization,
        )

    async def batch(self, http: httpx.AsyncClient, node: Node, batch: str) -> Any:
        """What a node says of a batch."""
        url = f"http://127.0.0.1:{node.port}/api/v1/batches/{batch}"
        return (await http.get(url, headers=self._authorization)).raise_for_status().json()
