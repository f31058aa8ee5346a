"""The proof for `delivery = "realtime"`: a real Asterisk reads the roster from the database, and writes into it."""

import itertools
import json
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest

from plantel.testing import sipp
from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.testing.installation import Installation
from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql
from tests.support.asterisks import on_one_version
from tests.support.realtime_bases import Base, MariadbBase, PostgresqlBase
from tests.support.server import PlantelServer, served

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

VENTAS, POWER = "Ventas->", "POWER<-"
LONGEST = "José Ñandú " + "ñ" * 32 + "z"  # 79 bytes
LIVE = 20
"""Seconds within which a change has to be live, back-off after a restart included."""


OPERATOR = AmiUser("operator", "dos", write="agent,reporting")


def configured(asterisk: PrivateAsterisk, delivery: str) -> str:
    return f"""
        [[asterisk]]
        name = "pbx1"
        host = "{asterisk.host}"
        port = {asterisk.ami_port}
        username = "{OPERATOR.name}"
        secret = "{OPERATOR.secret}"
        delivery = "{delivery}"
        """


BASES = {
    "postgresql": (PrivatePostgresql, PostgresqlBase),
    "mariadb": (PrivateMariadb, MariadbBase),
}
_names = itertools.count()


@pytest.fixture(scope="module", params=BASES)
def make_base(request: pytest.FixtureRequest) -> Iterator[Callable[[], Base]]:
    """Makes a database, on a server of this folder's own: tests stop it."""
    server, kind = BASES[request.param]
    with server() as running:
        yield lambda: kind(running, f"roster_{next(_names)}")


@pytest.fixture(scope="module")
def base(make_base: Callable[[], Base], version: str) -> Base:
    return make_base()


@pytest.fixture(scope="module")
def asterisk(
    tmp_path_factory: pytest.TempPathFactory, installation: Installation, base: Base
) -> Iterator[PrivateAsterisk]:
    made = PrivateAsterisk(
        tmp_path_factory.mktemp("ast"),
        queues={VENTAS: (), POWER: ()},
        phones=["1001", "1002"],
        users=[OPERATOR],
        installation=installation,
        ring_seconds=1,
        realtime=base.realtime,
    )
    try:
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def plantel(tmp_path_factory: pytest.TempPathFactory, asterisk: PrivateAsterisk, base: Base) -> Iterator[PlantelServer]:
    """As the documentation has it: the view is there, and granted, before Asterisk is started."""
    server = PlantelServer(tmp_path_factory.mktemp("plantel"), config=configured(asterisk, "realtime"), store=base.url)
    server.declare([VENTAS, POWER])
    with served(server) as running:
        base.grant()
        asterisk.start()
        yield running


@pytest.fixture
def site(plantel: PlantelServer, asterisk: PrivateAsterisk) -> Iterator["Site"]:
    made = Site(plantel, asterisk)
    yield made
    made.tidy()


class Site:
    """What an integrator and an operator do with the two of them."""

    def __init__(self, plantel: PlantelServer, asterisk: PrivateAsterisk) -> None:
        self.plantel = plantel
        self.asterisk = asterisk
        self.http = httpx.Client(
            base_url=plantel.url, headers={"authorization": f"Basic {plantel.token}"}, timeout=2 * LIVE
        )

    def add(self, membername: str, campaign: str = VENTAS, phone: str = "1001", **keys: object) -> str:
        """The published call; the answer and, in a word, whether it is live."""
        item = {
            "membername": membername,
            "queueName": campaign,
            "interface1": self.asterisk.interface(phone),
            "penalty": "0",
            "paused": "0",
            **keys,
        }
        answer = self.http.post(
            "/Integra/resources/queues/addqueuemember",
            content=urllib.parse.urlencode({"queuemember": json.dumps([item])}),
            headers={"content-type": "application/x-www-form-urlencoded", "prefer": f"wait={LIVE}"},
        )
        return f"{answer.text} {answer.headers['plantel-delivery']}"

    def order(self, path: str, **keys: object) -> None:
        """An order of the JSON API. What it changes is there when Asterisk next reads, which is before each call."""
        assert self.http.post(f"/api/v1/{path}", json=keys).status_code == 200

    def member(self, campaign: str = VENTAS) -> dict[str, Any]:
        """The only member of the roster's campaign."""
        (member,) = self.http.get("/api/v1/members", params={"campaign": campaign}).json()
        return dict(member)

    def journal(self, limit: int) -> list[dict[str, Any]]:
        """The newest changes, oldest first."""
        return list(self.http.get("/api/v1/journal", params={"limit": limit}).json())

    def tidy(self) -> None:
        for campaign in (VENTAS, POWER):
            there = self.http.get("/api/v1/members", params={"campaign": campaign}).json()
            if there:
                self.order("members/remove", campaign=campaign, agents=[one["membername"] for one in there])
        self.http.close()

    def live(self, campaign: str = VENTAS) -> str:
        """What Asterisk itself shows of the queue."""
        return self.asterisk.cli(f'queue show "{campaign}"')


@pytest.mark.parametrize("campaign", [VENTAS, POWER])
async def test_an_agent_is_rung_after_the_add_and_not_before_nor_while_paused_nor_after_the_removal(
    site: Site, campaign: str
) -> None:
    async with sipp.Phone(site.asterisk, "1001") as phone:
        assert not (await sipp.call(site.asterisk, campaign)).answered
        assert phone.rings == 0

        assert site.add(LONGEST, campaign) == "1 live"
        assert (await sipp.call(site.asterisk, campaign)).answered
        await phone.answered()

        site.order("members/pause", campaign=campaign, agents=[LONGEST], paused=True)
        assert not (await sipp.call(site.asterisk, campaign)).answered
        assert phone.rings == 1

        site.order("members/pause", campaign=campaign, agents=[LONGEST], paused=False)
        assert (await sipp.call(site.asterisk, campaign)).answered
        await phone.answered(times=2)

        site.order("members/remove", campaign=campaign, agents=[LONGEST])
        assert not (await sipp.call(site.asterisk, campaign)).answered
        assert phone.rings == 2


async def test_what_is_done_on_asterisk_is_in_roster_and_journal_and_outlives_a_restart(site: Site) -> None:
    site.add("Ana", penalty="3")
    interface = site.asterisk.interface("1001")
    site.asterisk.cli(f'queue pause member {interface} queue "{VENTAS}" reason café')
    site.asterisk.cli(f'queue set penalty 8 on {interface} in "{VENTAS}"')
    assert (site.member()["paused"], site.member()["penalty"]) == (True, 8)
    site.plantel.run("sync")
    lines = site.journal(3)
    assert {one["actor"] for one in lines} == {"server:pbx1"}
    written = [(one["after"]["paused"], one["after"]["penalty"]) for one in lines if "reason" not in one]
    assert written == [(True, 3), (True, 8)]
    assert "café" in [one.get("reason") for one in lines], "Asterisk does not write it: it is asked for it"
    await anyio.to_thread.run_sync(site.asterisk.restart)
    async with sipp.Phone(site.asterisk, "1001") as phone:
        assert not (await sipp.call(site.asterisk, VENTAS)).answered
        assert phone.rings == 0
        site.asterisk.cli(f'queue unpause member {interface} queue "{VENTAS}"')
        assert not site.member()["paused"]
        assert (await sipp.call(site.asterisk, VENTAS)).answered
        await phone.answered()
    assert site.add("Ana", penalty="1") == "1 live"
    assert "with penalty 1" in site.live()


async def test_another_phone_and_another_name_take_the_place_of_the_first(site: Site) -> None:
    first, second = (site.asterisk.interface(phone) for phone in ("1001", "1002"))
    assert site.add("ana") == "1 live"
    assert f"ana ({first})" in site.live()
    assert site.add("ana", phone="1002") == "1 live"
    assert f"ana ({second})" in site.live()
    assert first not in site.live()
    assert site.add("Zoë", phone="1002") == "1 live"
    assert f"Zoë ({second})" in site.live()
    assert "ana" not in site.live()
    async with sipp.Phone(site.asterisk, "1001") as left, sipp.Phone(site.asterisk, "1002") as phone:
        assert (await sipp.call(site.asterisk, VENTAS)).answered
        await phone.answered()
        assert left.rings == 0


async def test_members_are_gone_while_the_database_is(site: Site, base: Base) -> None:
    site.add("ana")
    await anyio.to_thread.run_sync(base.stop)
    assert "No Members" in site.live()
    await anyio.to_thread.run_sync(base.start)
    assert "ana" in site.live()
    assert "agrees" in site.plantel.run("plan")


@on_one_version
def test_a_server_is_switched_over_and_back(
    tmp_path: Path, installation: Installation, make_base: Callable[[], Base]
) -> None:
    base = make_base()
    with PrivateAsterisk(
        tmp_path, queues={VENTAS: ()}, users=[OPERATOR], installation=installation, realtime=base.realtime
    ) as asterisk:
        interface = asterisk.interface("1001")
        show = f'queue show "{VENTAS}"'
        with served(PlantelServer(tmp_path, config=configured(asterisk, "dynamic"), store=base.url)) as server:
            server.run("member", "add", VENTAS, "ana", interface)
            server.run("sync")
            assert "(dynamic)" in asterisk.cli(show)
        with served(PlantelServer(tmp_path, config=configured(asterisk, "realtime"), store=base.url)) as server:
            server.run("sync", code=1)
            assert "extconfig.conf" in server.run("check", code=1)
            assert "(dynamic)" in asterisk.cli(show), "it stays until Asterisk may read the view"
            base.grant()
            server.run("sync")
            assert "reads its members from the view queue_members" in server.run("check")
            assert "agrees" in server.run("plan")
            assert "(realtime)" in asterisk.cli(show)
            assert "(dynamic)" not in asterisk.cli(show)
        base.administer("DROP VIEW queue_members")
        assert "No Members" in asterisk.cli(show), "until it reads, Asterisk goes on with what it has"
        with served(PlantelServer(tmp_path, config=configured(asterisk, "dynamic"), store=base.url)) as server:
            server.run("sync")
            assert "agrees" in server.run("plan")
            assert "(dynamic)" in asterisk.cli(show)
            assert "(realtime)" not in asterisk.cli(show)
