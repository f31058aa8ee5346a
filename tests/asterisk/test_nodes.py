"""Two real nodes on one database before a real Asterisk: one is killed, or stands still, in the midst of a batch.

What tells is Asterisk itself: its queues, and the story of each member as its events tell it to a witness of our own. A
change that is made twice, or made by the old node after the other has taken over, is a line too many in a story.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from plantel.reconcile import CHUNK
from plantel.roster import Member
from plantel.store import open_store
from tests.asterisk.conftest import USERS
from tests.support.ami_proxy import AmiProxy
from tests.support.asterisks import server_table
from tests.support.door import ADD, item
from tests.support.floor import FOREIGN, VENTAS, Floor, shown
from tests.support.nodes.node import Node, strike
from tests.support.nodes.ward import note, prepared
from tests.support.nodes.witness import Witness

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.asterisk,
    pytest.mark.parametrize("version", ["16"], indirect=True),  # it is about Plantel: one Asterisk is as good as two
]

SECONDS = 25.0
"""Within which another node has completed what one left: its lease has run out, a look, and the changes."""

CREW = 3 * CHUNK
"""Three blocks of changes, of which two are on their way at a time."""

MIDST = 100
"""Changes that have reached Asterisk when a node is struck: two blocks have left it by then."""

LEFT = CREW - 2 * CHUNK
"""What is left for the other at least."""


class Pair:
    """Two nodes before the floor's Asterisk, and what an integrator asks of them."""

    def __init__(
        self, floor: Floor, url: str, nodes: Sequence[Node], witness: Witness, http: httpx.AsyncClient
    ) -> None:
        self.nodes = nodes
        self.witness = witness
        self._floor = floor
        self._url = url
        self._http = http

    async def add(self, node: Node, members: Sequence[Member], wait: int = 0) -> str:
        """The published call, answered with `1`; how the delivery stood then. It is waited for for `wait` seconds."""
        items = [item(one.membername, one.campaign, one.interface, penalty=one.penalty, paused=0) for one in members]
        answer = await self._http.post(
            node.url + ADD,
            data={"queuemember": json.dumps(items)},
            headers={"prefer": f"wait={wait}"} if wait else None,
        )
        assert answer.text == "1", answer.headers
        return answer.headers["plantel-delivery"]

    async def remove(self, node: Node, members: Sequence[Member]) -> None:
        order = {"campaign": VENTAS, "agents": [one.membername for one in members]}
        (await self._http.post(node.url + "/api/v1/members/remove", json=order)).raise_for_status()

    async def live(self, members: Sequence[Member]) -> None:
        """Return when Asterisk shows these, whom the roster has, and others' members. Raises AssertionError."""
        store = await asyncio.to_thread(open_store, self._url)
        try:
            roster = await store.read(lambda transaction: transaction.members("default"))
        finally:
            await store.close()
        assert shown(roster) == shown(members)
        await self._floor.observer.until(shown(members) | FOREIGN, SECONDS)


@asynccontextmanager
async def paired(floor: Floor, url: str, folder: Path) -> AsyncIterator[Pair]:
    token = await prepared(url)
    headers = {"authorization": f"Basic {token}"}
    async with (
        AmiProxy(floor.asterisk.ami_port) as other,
        httpx.AsyncClient(trust_env=False, headers=headers, timeout=SECONDS) as http,
        Witness.of(floor.asterisk, USERS[1]) as witness,
    ):
        lines = (floor.proxy, other)
        nodes = [
            Node(folder / f"node-{number}", url, line, server_table(floor.asterisk, port=line.port))
            for number, line in enumerate(lines)
        ]
        try:
            await asyncio.gather(*(node.up() for node in nodes))
            yield Pair(floor, url, nodes, witness, http)
        finally:
            for node in nodes:
                if node.process is not None:
                    await node.down()


def crew(penalty: int, first: int = 0, count: int = CREW) -> list[Member]:
    """Delivered in this order."""
    return [Member(VENTAS, f"agent {one:04}", f"SIP/{20_000 + one}", penalty) for one in range(first, first + count)]


KEPT, GONE = crew(2, 0, 2 * CHUNK), crew(1, 2 * CHUNK, CHUNK)
"""The newer intent, once all of `crew(1)` is there: the last block has to go, and the others' penalty is another."""

(NEW,) = crew(3, CREW, 1)

STORIES = {
    **{one.membername: ["added 1", "penalty 2"] for one in KEPT},
    **{one.membername: ["added 1", "removed 1"] for one in GONE},
    NEW.membername: ["added 3"],
}


async def other_goes_on(pair: Pair, other: Node, begun: float) -> None:
    """The other completes the batch of the node that was struck at `begun`, and then the roster changes through it."""
    await pair.live(crew(1))
    note("completed after", asyncio.get_running_loop().time() - begun)
    assert len(other.line.changes) >= LEFT, "the other completed it"
    await pair.add(other, KEPT)
    await pair.remove(other, GONE)
    await pair.live(KEPT)


async def all_told(pair: Pair, asked: Node) -> None:
    """One more agent, through `asked`; with whom every story is what it has to be, not a line more."""
    assert await pair.add(asked, [NEW], wait=20) == "live"
    await pair.live([*KEPT, NEW])
    assert await pair.witness.stories() == STORIES


async def test_a_node_is_killed_in_the_midst_of_a_batch(floor: Floor, postgresql_url: str, tmp_path: Path) -> None:
    async with paired(floor, postgresql_url, tmp_path) as pair:
        striking = asyncio.create_task(strike(pair.nodes, signal.SIGKILL, MIDST))
        adding = asyncio.create_task(pair.add(pair.nodes[0], crew(1)))
        killed = await striking
        begun = asyncio.get_running_loop().time()
        (other,) = {*pair.nodes} - {killed}
        await asyncio.wait({adding})  # it may have been killed before it answered, but not before it stored
        assert isinstance(adding.exception(), httpx.TransportError | None)
        await other_goes_on(pair, other, begun)
        await all_told(pair, other)


@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
async def test_a_node_stands_still_in_the_midst_of_a_batch_and_wakes_up(
    floor: Floor, database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """While it stood, the other took over, and the roster changed: it must not go on where it was."""
    async with paired(floor, request.getfixturevalue(f"{database}_url"), tmp_path) as pair:
        striking = asyncio.create_task(strike(pair.nodes, signal.SIGSTOP, MIDST))
        adding = asyncio.create_task(pair.add(pair.nodes[0], crew(1)))
        stopped = await striking
        begun = asyncio.get_running_loop().time()
        (other,) = {*pair.nodes} - {stopped}
        await other_goes_on(pair, other, begun)
        stopped.thaw()
        await adding
        await all_told(pair, stopped)
