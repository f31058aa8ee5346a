"""Whole nodes on one database and one Asterisk, under constant adds, while one thing after another goes wrong.

Afterwards nothing answered with `1` is lost, the server shows the roster, no node ever acted on a look older than what
another had done since, and no older intent followed a newer one. What is stated as a time is held here.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from plantel.store.session_lease import LEASE_SECONDS
from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql
from tests.conftest import MEMORY
from tests.support.nodes.link import Link
from tests.support.nodes.node import Node, strike
from tests.support.nodes.record import Deed
from tests.support.nodes.standby import Standby
from tests.support.nodes.ward import Ward, note, until, ward

pytestmark = pytest.mark.anyio

TAKE_OVER_SECONDS = LEASE_SECONDS + 3.0
"""Within which another node goes on with the work of one that has stopped in the middle of it."""

KILLED_SECONDS = 2.0
"""The same where it was killed: the database sees its connections end."""

LIVE = '[delivery]\nconfirm = "live"\ndeadline = "5s"\n'


@pytest.fixture(params=["postgresql", "mariadb"])
def shared_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=[PrivatePostgresql, PrivateMariadb])
def database(request: pytest.FixtureRequest) -> Iterator[tuple[str, Callable[[], None], Callable[[], None]]]:
    """A server of the test's own: the URL of an empty database, how it is killed and how it is started."""
    with request.param(within=MEMORY if MEMORY.is_dir() else None) as server:
        if isinstance(server, PrivatePostgresql):
            yield server.database("plantel"), server.kill, server.start
        else:
            yield server.make_database(), server.kill, server.start


async def first_deed(site: Ward, node: str, after: float, seconds: float) -> float:
    """How long after that moment the node first changed something on the server. Raises TimeoutError."""

    def found() -> list[Deed]:
        return [deed for deed in site.record if deed.node == node and deed.change and deed.at > after]

    await until(lambda: bool(found()), seconds)
    return found()[0].at - after


def longest_pause(site: Ward, node: str, since: float) -> float:
    """How long at most the node changed nothing on the server, from that moment to its newest change."""
    times = [since, *(deed.at for deed in site.record if deed.node == node and deed.change and deed.at > since)]
    return max(after - before for before, after in pairwise(times))


async def test_any_node_takes_any_request_and_makes_it_true(store_url: str, tmp_path: Path) -> None:
    """With `confirm = "live"` too: an answer through either node means that Asterisk shows the member."""
    async with ward(tmp_path, [store_url, store_url], config=LIVE) as site:
        await site.clients.more(40)
        await site.clients.rest()
        async with httpx.AsyncClient(trust_env=False) as http:
            for number, node in enumerate([*site.nodes, *site.nodes], 90_000):
                answer = await site.clients.call(http, node, number, 1)
                assert answer.text == "1"
                assert answer.headers["plantel-delivery"] == "live"
                assert site.shown[f"agent {number}"] == 1
                for other in site.nodes:
                    assert await _live(site, http, other, answer.headers["plantel-batch"])
        await site.check(store_url)


async def _live(site: Ward, http: httpx.AsyncClient, node: Node, batch: str) -> bool:
    """Whether a node that was not asked comes to see that the batch is live."""
    end = asyncio.get_running_loop().time() + 10
    while asyncio.get_running_loop().time() < end:
        view = await site.clients.batch(http, node, batch)
        if [one["state"] for one in view["delivery"]] == ["live"]:
            return True
        await asyncio.sleep(0.01)  # it has a look of its own
    return False


async def test_what_one_node_cannot_deliver_another_does(postgresql_url: str, tmp_path: Path) -> None:
    """The line between one node and Asterisk is cut; both go on taking requests."""
    async with ward(tmp_path, [postgresql_url, postgresql_url], clients=0) as site:
        away, other = site.nodes
        away.line.darken()
        async with httpx.AsyncClient(trust_env=False) as http:
            assert await site.clients.add(http, away, 1, 1)
            await until(lambda: site.shown == {"agent 1": 1}, 12)  # an action of AMI is waited for 10 s
            loop = asyncio.get_running_loop()
            for number in range(2, 12):
                before = loop.time()
                assert await site.clients.add(http, away, number, 1)
                await first_deed(site, other.name, before, 8)  # the other would be waited for longer
        await site.agreement(postgresql_url)
        await site.check(postgresql_url)


async def test_a_node_is_killed_in_the_midst_of_its_work(shared_url: str, tmp_path: Path) -> None:
    async with ward(tmp_path, [shared_url, shared_url]) as site:
        killed, other = site.nodes
        await site.clients.more(20)
        await strike([killed], signal.SIGKILL, 5)
        took = await first_deed(site, other.name, asyncio.get_running_loop().time(), KILLED_SECONDS)
        note("taken over after", took)
        await killed.down()
        await site.clients.more(20)
        await killed.up()
        await site.agreement(shared_url)
        await site.check(shared_url)


async def test_a_node_stands_still_past_its_lease_and_wakes_up_again(shared_url: str, tmp_path: Path) -> None:
    """In the middle of acting. When it goes on it has to ask anew before it does anything."""
    async with ward(tmp_path, [shared_url, shared_url]) as site:
        loop = asyncio.get_running_loop()
        stopped, other = site.nodes
        await site.clients.more(20)
        await strike([stopped], signal.SIGSTOP, 5)
        note("taken over after", await first_deed(site, other.name, loop.time(), TAKE_OVER_SECONDS))
        await site.clients.more(5)
        woken = loop.time()
        stopped.thaw()
        await first_deed(site, stopped.name, woken, 20)
        await site.agreement(shared_url)
        await site.check(shared_url)


async def test_the_database_is_killed_and_started(
    database: tuple[str, Callable[[], None], Callable[[], None]], tmp_path: Path
) -> None:
    url, kill, start = database
    async with ward(tmp_path, [url, url]) as site:
        await site.clients.more(20)
        await asyncio.to_thread(kill)
        await asyncio.sleep(0.5)  # the clients are refused for a while
        await asyncio.to_thread(start)
        await site.clients.more(40)
        await site.agreement(url)
        await site.check(url)


@asynccontextmanager
async def linked(url: str, folder: Path) -> AsyncIterator[tuple[Link, Ward]]:
    """Two nodes, of which the first has this link between itself and the database."""
    port = urlsplit(url).port
    assert port is not None
    async with Link(port) as link:
        way = url.replace(f":{port}/", f":{link.port}/")
        async with ward(folder, [way, url], store=url) as site:
            yield link, site


async def goes_on_once_mended(link: Link, site: Ward, cut: Node, begun: float, url: str) -> None:
    """The node that is cut off since `begun` has done nothing for all but the first second of it, and goes on after."""
    late = [deed for deed in site.record if deed.node == cut.name and deed.change and deed.at > begun + 1]
    assert not late, "it acts though it is cut off"
    link.mend()
    await first_deed(site, cut.name, asyncio.get_running_loop().time(), 30)
    await site.agreement(url)
    await site.check(url)


async def test_a_node_is_cut_off_from_the_database(shared_url: str, tmp_path: Path) -> None:
    """Its lines are half-open. It takes no requests meanwhile, and does nothing; when they are mended it goes on."""
    async with linked(shared_url, tmp_path) as (link, site):
        loop = asyncio.get_running_loop()
        cut, other = site.nodes
        await site.clients.more(20)
        link.cut()
        begun = loop.time()
        await first_deed(site, other.name, begun + LEASE_SECONDS, TAKE_OVER_SECONDS + LEASE_SECONDS)
        note("taken over after", longest_pause(site, other.name, begun))
        await goes_on_once_mended(link, site, cut, begun, shared_url)


async def told_balancer(nodes: Sequence[Node], wanted: Sequence[int]) -> None:
    """Return once each tells a load balancer so much; a node looks for its database every half second."""
    async with asyncio.timeout(20), httpx.AsyncClient(trust_env=False) as http:
        while [  # noqa: ASYNC110  # it can only be asked again
            (await http.get(f"{node.url}/health")).status_code for node in nodes
        ] != wanted:
            await asyncio.sleep(0.1)


async def test_the_lines_between_a_node_and_the_database_end(mariadb_url: str, tmp_path: Path) -> None:
    """And every new one, too: at once the node knows nothing, and the database has its leases back."""
    async with linked(mariadb_url, tmp_path) as (link, site):
        loop = asyncio.get_running_loop()
        cut, other = site.nodes
        await site.clients.more(20)
        link.break_off()
        begun = loop.time()
        note("taken over after", await first_deed(site, other.name, begun, KILLED_SECONDS))
        await site.clients.more(10)
        await told_balancer(site.nodes, [503, 200])
        await goes_on_once_mended(link, site, cut, begun, mariadb_url)
        await told_balancer(site.nodes, [200, 200])


async def test_the_primary_is_lost_and_the_standby_promoted(tmp_path: Path) -> None:
    """With synchronous replication: what was answered is there, and the nodes find the new primary by themselves."""
    async with standing_by() as (primary, standby):
        url = standby.url("plantel")
        async with ward(tmp_path, [url, url]) as site:
            await site.clients.more(30)
            await asyncio.to_thread(primary.kill)
            await asyncio.to_thread(standby.promote)
            await site.clients.more(30)
            await site.agreement(url)
            await site.check(url)


@asynccontextmanager
async def standing_by() -> AsyncIterator[tuple[PrivatePostgresql, Standby]]:
    with PrivatePostgresql(within=MEMORY if MEMORY.is_dir() else None) as primary:
        primary.database("plantel")
        with Standby(primary) as standby:
            yield primary, standby
