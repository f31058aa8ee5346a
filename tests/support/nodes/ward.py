"""Several nodes on one store and one Asterisk, clients of all of them, and what must hold whatever goes wrong."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from plantel.access import Role, Token, digest, token_text
from plantel.ports import Transaction
from plantel.roster import Campaign
from plantel.store import open_store
from plantel.testing.ami_server import AmiServer
from tests.support.ami_proxy import AmiProxy
from tests.support.nodes.clients import CAMPAIGN, Clients
from tests.support.nodes.node import Node
from tests.support.nodes.record import Deed, backwards, blind
from tests.support.rosters import NOON

AGREEMENT_SECONDS = 15.0
"""Within which all nodes and the server agree once nothing is wrong any more: a lease that nobody gave back has run
out, and the longest of the pauses that a node takes by then."""

SECRET = "a-secret-of-the-tests"


class Ward:
    """`record`: all that reached the server, by node."""

    def __init__(self, asterisk: AmiServer, nodes: Sequence[Node], clients: Clients, record: list[Deed]) -> None:
        self.asterisk = asterisk
        self.nodes = nodes
        self.clients = clients
        self.record = record

    @property
    def shown(self) -> dict[str, int]:
        """Each agent's penalty on the server."""
        return {one.membername: one.penalty for one in self.asterisk.pbx.members()[CAMPAIGN]}

    async def agreement(self, url: str, seconds: float = AGREEMENT_SECONDS) -> float:
        """End the clients, and wait until the server shows the roster; how long that took. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        await self.clients.rest()
        start = loop.time()
        wanted = await self.roster(url)
        await until(lambda: self.shown == wanted, seconds)
        return loop.time() - start

    async def roster(self, url: str) -> dict[str, int]:
        """Each agent's penalty in the store."""
        store = await asyncio.to_thread(open_store, url)
        try:
            members = await store.read(lambda transaction: transaction.members("default"))
        finally:
            await store.close()
        return {one.membername: one.penalty for one in members}

    async def check(self, url: str) -> None:
        """Nothing that was answered is lost, the server shows what is stored, and no two nodes were ever at odds."""
        roster = await self.roster(url)
        lost = {agent for agent, penalty in self.clients.answered.items() if roster.get(agent, 0) < penalty}
        assert not lost, f"answered with 1, and not stored: {lost}"
        assert self.shown == roster
        older = [f"{before}\n    {after}" for before, after in backwards(self.record)]
        assert not older, "an intent was carried out after a newer one:\n" + "\n".join(older)
        both = [f"{other}\n    {deed}" for other, deed in blind(self.record)]
        assert not both, "two nodes were at work at one time:\n" + "\n".join(both)


@asynccontextmanager
async def ward(
    folder: Path, urls: Sequence[str], *, store: str = "", clients: int = 4, config: str = ""
) -> AsyncIterator[Ward]:
    """A node on each of `urls`, which lead to one database (`store`: the way of the test to it), running."""
    draw = random.Random(0)
    token = await prepared(store or urls[0])
    loop = asyncio.get_running_loop()
    record: list[Deed] = []
    async with AsyncExitStack() as stack:
        asterisk = await stack.enter_async_context(AmiServer([CAMPAIGN]))
        nodes: list[Node] = []
        for number, url in enumerate(urls):
            line = await stack.enter_async_context(AmiProxy(asterisk.port))
            name = f"node-{number}"
            line.heard = lambda action, name=name: record.append(Deed(loop.time(), name, action))  # type: ignore[misc]
            server = (
                f'[[asterisk]]\nname = "pbx1"\nhost = "127.0.0.1"\nport = {line.port}\n'
                f'username = "{asterisk.username}"\nsecret = "{asterisk.secret}"\n'
            )
            nodes.append(Node(folder / name, url, line, config + server))
        stack.push_async_callback(_ended, nodes)
        await asyncio.gather(*(node.up() for node in nodes))
        made = Clients(nodes, token, draw)
        made.start(clients)
        try:
            yield Ward(asterisk, nodes, made, record)
        finally:
            await made.rest()


async def _ended(nodes: Sequence[Node]) -> None:
    for node in nodes:
        if node.process is not None:
            await node.down()


async def prepared(url: str) -> str:
    """Make the store, and declare the campaign in it; a token's text."""

    def work(transaction: Transaction) -> None:
        transaction.add_campaign(Campaign("default", CAMPAIGN))
        key = transaction.token_key()
        transaction.add_token(Token("default", "tests", digest(key, SECRET), Role.ADMIN, (), NOON))

    store = await asyncio.to_thread(open_store, url)
    try:
        await store.write(work)
    finally:
        await store.close()
    return token_text("tests", SECRET)


async def until(fulfilled: Callable[[], bool], seconds: float) -> None:
    """Ask again and again: nothing announces what becomes of other processes. Raises TimeoutError."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not fulfilled():
        if loop.time() > end:
            raise TimeoutError
        await asyncio.sleep(0.01)


def note(what: str, seconds: float) -> None:
    """Print what was measured, such as docs/nodes.md states it: `pytest -rP` shows it."""
    print(f"{what} {seconds:.2f} s")  # noqa: T201 - pytest keeps it until it is asked for
