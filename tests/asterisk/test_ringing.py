"""The proof: an agent added by the published call is rung by a real call on a real Asterisk, and only then."""

import json
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import pytest

from plantel.testing import sipp
from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.testing.installation import Installation
from tests.support.asterisks import on_one_version, server_table, until_shown
from tests.support.server import PlantelServer, served
from tests.support.site import Site, item

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

VENTAS, POWER = "Ventas->", "POWER<-"
PHONE = "1001"
LONGEST = "José Ñandú " + "ñ" * 32 + "z"  # 79 bytes


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> Iterator[PrivateAsterisk]:
    with PrivateAsterisk(
        tmp_path_factory.mktemp("ast"),
        queues={VENTAS: (), POWER: ()},
        phones=[PHONE, "1002"],
        installation=installation,
        ring_seconds=1,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def plantel(tmp_path_factory: pytest.TempPathFactory, asterisk: PrivateAsterisk) -> Iterator[PlantelServer]:
    with served(PlantelServer(tmp_path_factory.mktemp("plantel"), config=server_table(asterisk))) as running:
        yield running


@pytest.fixture
def site(plantel: PlantelServer, asterisk: PrivateAsterisk) -> Iterator["Floor"]:
    with Floor(plantel, asterisk).tidied() as made:
        yield made
    for campaign in (VENTAS, POWER):
        until_shown(asterisk, campaign, "No Members")


class Floor(Site):
    """With the one Asterisk."""

    def __init__(self, plantel: PlantelServer, asterisk: PrivateAsterisk) -> None:
        super().__init__(plantel, (VENTAS, POWER))
        self.asterisk = asterisk

    def item(self, membername: str, campaign: str = VENTAS, phone: str = PHONE, **keys: object) -> dict[str, object]:
        return item(membername, campaign, self.asterisk.interface(phone), **keys)

    def live_order(self, path: str, **keys: object) -> None:
        """An order, and then a wait until it is live."""
        self.order(path, **keys)
        self.wait_until_live()

    def wait_until_live(self) -> None:
        """Adding nobody's change waits for what is stored already."""
        other = [self.item("somebody", campaign, "1999", penalty=9) for campaign in (POWER, VENTAS)]
        assert self.call(*other).headers["plantel-delivery"] == "live"

    def live(self, campaign: str) -> str:
        """What Asterisk itself shows of the queue."""
        return self.asterisk.cli(f'queue show "{campaign}"')


@pytest.mark.parametrize("campaign", [VENTAS, POWER])
async def test_an_agent_is_rung_after_the_add_and_not_before_nor_while_paused_nor_after_the_removal(
    site: Floor, campaign: str
) -> None:
    async with sipp.Phone(site.asterisk, PHONE) as phone:
        assert not (await sipp.call(site.asterisk, campaign)).answered
        assert phone.rings == 0

        answer = site.call(site.item(LONGEST, campaign))
        assert (answer.text, answer.headers["plantel-delivery"]) == ("1", "live")
        assert (await sipp.call(site.asterisk, campaign)).answered
        await phone.answered()

        site.live_order("members/pause", campaign=campaign, agents=[LONGEST], paused=True)
        assert not (await sipp.call(site.asterisk, campaign)).answered
        assert phone.rings == 1

        site.live_order("members/pause", campaign=campaign, agents=[LONGEST], paused=False)
        assert (await sipp.call(site.asterisk, campaign)).answered
        await phone.answered(times=2)

        site.live_order("members/remove", campaign=campaign, agents=[LONGEST])
        assert not (await sipp.call(site.asterisk, campaign)).answered
        assert phone.rings == 2


async def test_the_agent_is_rung_again_after_asterisk_was_killed_and_started(site: Floor) -> None:
    assert site.call(site.item("ana")).text == "1"
    await anyio.to_thread.run_sync(site.asterisk.kill)
    away = site.call(site.item("eva", phone="1002"), prefer="respond-async")
    assert (away.text, away.headers["plantel-delivery"]) == ("1", "pending"), "stored although Asterisk is away"
    await anyio.to_thread.run_sync(site.asterisk.start)
    site.wait_until_live()
    assert "/1002" in site.live(VENTAS)
    async with sipp.Phone(site.asterisk, PHONE) as phone:
        assert (await sipp.call(site.asterisk, VENTAS)).answered
        await phone.answered()


async def test_a_penalty_is_seen_live_and_a_stranger_is_left_alone(site: Floor) -> None:
    site.asterisk.cli(f'queue add member {site.asterisk.interface("1002")} to "{VENTAS}" penalty 4 as "Stranger"')
    site.call(site.item("ana"))
    site.call(site.item("ana", penalty="7"))
    assert "penalty: 7" in _line(site, "ana")
    assert "penalty: 4" in _line(site, "Stranger")
    site.call(site.item("ana", phone="1003"))
    assert "/1003" in _line(site, "ana")
    assert "/1001" not in site.live(VENTAS)
    site.call(site.item("luz", phone="1003", penalty=1))
    assert "ana" not in site.live(VENTAS)
    assert "penalty: 1" in _line(site, "luz")
    site.asterisk.cli(f'queue remove member {site.asterisk.interface("1002")} from "{VENTAS}"')


async def test_a_member_that_was_there_already_gets_our_penalty_and_pause(site: Floor) -> None:
    site.asterisk.cli(f'queue add member {site.asterisk.interface("1002")} to "{VENTAS}" penalty 4 as "eva"')
    answer = site.call(site.item("eva", phone="1002", penalty="1", paused="1"))
    assert answer.headers["plantel-delivery"] == "live"
    assert "penalty: 1" in _line(site, "eva")
    assert "paused" in _line(site, "eva")
    site.live_order("members/remove", campaign=VENTAS, agents=["eva"])
    assert "eva" in site.live(VENTAS), "it was not ours to remove"
    site.asterisk.cli(f'queue remove member {site.asterisk.interface("1002")} from "{VENTAS}"')


def _line(site: Floor, member: str) -> str:
    """The line of `queue show` for this member, its penalty spelled out; it hides penalties of 0."""
    (line,) = [one for one in site.live(VENTAS).splitlines() if member in one]
    return line.replace("with penalty ", "penalty: ")


@on_one_version
async def test_check_plan_and_sync_tell_the_truth(site: Floor, tmp_path: Path) -> None:
    site.call(site.item("ana"))
    assert "2 queues, 1 members" in site.plantel.run("check")
    assert "agrees" in site.plantel.run("plan")
    stranger = PlantelServer(tmp_path, config=server_table(site.asterisk, user=AmiUser("plantel", "not it")))
    refused = stranger.run("check", code=1)
    assert "manager.conf" in refused
    assert "not it" not in refused
    newcomer = PlantelServer(tmp_path, config=server_table(site.asterisk))
    newcomer.declare([VENTAS])
    newcomer.run("member", "add", VENTAS, "luz", site.asterisk.interface("1002"))
    assert f"add luz at {site.asterisk.interface('1002')}" in newcomer.run("plan")
    assert "/1002" not in site.live(VENTAS), "a plan changes nothing"
    newcomer.run("sync")
    assert "/1002" in site.live(VENTAS)
    assert "ana" in site.live(VENTAS), "another Plantel's member is a stranger"
    newcomer.run("member", "remove", VENTAS, "luz")
    newcomer.run("sync")
    assert "/1002" not in site.live(VENTAS)


async def test_the_command_line_reaches_the_live_queue_while_the_service_runs(site: Floor) -> None:
    site.plantel.run("member", "add", VENTAS, "luz", site.asterisk.interface("1002"), "--penalty", "3")
    assert json.loads(site.plantel.run("member", "list", VENTAS, "--json"))[0]["membername"] == "luz"
    site.plantel.run("sync")
    assert "/1002" in site.live(VENTAS)
