"""The proof for `delivery = "realtime"`: a real Asterisk reads the roster from the database, and writes into it."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from plantel.testing import sipp
from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.testing.installation import Installation
from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql
from tests.support.realtime_bases import Base, MariadbBase, PostgresqlBase
from tests.support.server import PlantelServer, served
from tests.support.site import Site, item

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

VENTAS, POWER = "Ventas->", "POWER<-"
LONGEST = "José Ñandú " + "ñ" * 32 + "z"  # 79 bytes

OPERATOR = AmiUser("operator", "dos", write="agent,reporting")


def configured(asterisk: PrivateAsterisk, delivery: str, rules: str = "") -> str:
    return f"""
        [[asterisk]]
        name = "pbx1"
        host = "{asterisk.host}"
        port = {asterisk.ami_port}
        username = "{OPERATOR.name}"
        secret = "{OPERATOR.secret}"
        delivery = "{delivery}"
        {rules}
        """


def old_names(asterisk: PrivateAsterisk) -> str:
    """The rule for a server that does not know the phones as `SIP/1001`."""
    there = asterisk.interface("")
    return "" if there == "SIP/" else f'map = {{ "SIP/" = "{there}" }}'


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
    config = configured(asterisk, "realtime", old_names(asterisk))
    server = PlantelServer(tmp_path_factory.mktemp("plantel"), config=config, store=base.url)
    server.declare([VENTAS, POWER])
    with served(server) as running:
        base.grant()
        asterisk.start()
        yield running


@pytest.fixture
def site(plantel: PlantelServer, asterisk: PrivateAsterisk) -> Iterator["Floor"]:
    with Floor(plantel, asterisk).tidied() as made:
        yield made


class Floor(Site):
    """With the one Asterisk, and a client that knows `SIP/1001` only, whatever the server calls it."""

    def __init__(self, plantel: PlantelServer, asterisk: PrivateAsterisk) -> None:
        super().__init__(plantel, (VENTAS, POWER))
        self.asterisk = asterisk

    def add(self, membername: str, campaign: str = VENTAS, phone: str = "1001", **keys: object) -> str:
        """The published call; the answer and, in a word, whether it is live."""
        answer = self.call(item(membername, campaign, f"SIP/{phone}", **keys))
        return f"{answer.text} {answer.headers['plantel-delivery']}"

    def member(self, campaign: str = VENTAS) -> dict[str, Any]:
        """The only member of the roster's campaign."""
        (member,) = self.members(campaign)
        return member

    def journal(self, limit: int) -> list[dict[str, Any]]:
        """The newest changes, oldest first."""
        return list(self.http.get("/api/v1/journal", params={"limit": limit}).json())

    def live(self, campaign: str = VENTAS) -> str:
        """What Asterisk itself shows of the queue."""
        return self.asterisk.cli(f'queue show "{campaign}"')


@pytest.mark.parametrize("campaign", [VENTAS, POWER])
async def test_an_agent_is_rung_after_the_add_and_not_before_nor_while_paused_nor_after_the_removal(
    site: Floor, campaign: str
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


async def test_what_is_done_on_asterisk_is_in_roster_and_journal_and_outlives_a_restart(site: Floor) -> None:
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


async def test_another_phone_and_another_name_take_the_place_of_the_first(site: Floor) -> None:
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


@pytest.mark.parametrize("version", ["22"], indirect=True)  # which does not call the phones as they are sent
async def test_one_phone_for_two_rings_for_one_and_the_other_is_told(site: Floor) -> None:
    here = site.asterisk.interface("1001")
    assert site.add("ana") == "1 live"
    assert site.call(item("eva", VENTAS, here)).headers["plantel-delivery"] == "live"
    assert f"eva ({here})" in site.live()
    assert "ana" not in site.live()
    assert f"SIP/1001 -> {here} in Ventas-> is another member's phone there" in site.plantel.run("sync", code=1)
    site.asterisk.cli(f'queue pause member {here} queue "{VENTAS}"')
    assert {one["membername"]: one["paused"] for one in site.members(VENTAS)} == {"ana": False, "eva": True}
    site.order("members/remove", campaign=VENTAS, agents=["eva"])
    assert f"ana ({here})" in site.live()


async def test_members_are_gone_while_the_database_is(site: Floor, base: Base) -> None:
    site.add("ana")
    await anyio.to_thread.run_sync(base.stop)
    assert "No Members" in site.live()
    await anyio.to_thread.run_sync(base.start)
    assert "ana" in site.live()
    assert "agrees" in site.plantel.run("plan")


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
        back = PlantelServer(tmp_path, config=configured(asterisk, "dynamic"), store=base.url)
        assert "view queue_members\n" in back.run("store", "leftovers")
        back.run("store", "leftovers", "--remove")
        assert back.run("store", "leftovers") == ""
        assert "No Members" in asterisk.cli(show), "until it reads, Asterisk goes on with what it has"
        with served(back) as server:
            server.run("sync")
            assert "agrees" in server.run("plan")
            assert "(dynamic)" in asterisk.cli(show)
            assert "(realtime)" not in asterisk.cli(show)
