"""One Plantel, an Asterisk 16 and an Asterisk 22 at once: each with a campaign of its own, and one that both carry."""

import asyncio
from collections.abc import Iterator, Mapping

import pytest

from plantel.ami import AmiSwitch
from plantel.testing import sipp
from plantel.testing.asterisk import PrivateAsterisk
from tests.support.asterisks import VERSIONS, server_table, until_shown
from tests.support.server import PlantelServer, served
from tests.support.site import LIVE, Site, item

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

SHARED, OWN = "Ventas->", {"16": "Vieja<-", "22": "Nueva<-"}
PHONE = "SIP/1001"
Pair = Mapping[str, PrivateAsterisk]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = {
        version: PrivateAsterisk(
            tmp_path_factory.mktemp(f"ast{version}"),
            queues={SHARED: (), OWN[version]: ()},
            phones=["1001"],
            installation=find(),
        )
        for version, find in VERSIONS.items()
    }
    with made["16"], made["22"]:
        yield made


@pytest.fixture(scope="module")
def plantel(tmp_path_factory: pytest.TempPathFactory, pair: Pair) -> Iterator[PlantelServer]:
    servers = "".join(
        server_table(asterisk, name=f"pbx{version}", campaigns=[SHARED, OWN[version]])
        for version, asterisk in pair.items()
    )
    # the tables that end the text belong to the last server, Asterisk 22
    rules = """
        [asterisk.map]
        "SIP/" = "PJSIP/"
        [asterisk.state]
        "Local/{phone}@agents/n" = "PJSIP/{phone}"
        """
    with served(PlantelServer(tmp_path_factory.mktemp("plantel"), config=servers + rules)) as running:
        yield running


@pytest.fixture
def office(plantel: PlantelServer, pair: Pair) -> Iterator["Office"]:
    with Office(plantel, pair).tidied() as made:
        yield made


class Office(Site):
    """With the two Asterisks."""

    def __init__(self, plantel: PlantelServer, pair: Pair) -> None:
        super().__init__(plantel, (SHARED, *OWN.values()))
        self.pair = pair

    def add(self, *members: tuple[str, str, str], prefer: str = f"wait={LIVE}") -> str:
        """The published call for (agent, campaign, phone); how the delivery stood when the answer left."""
        answer = self.call(*(item(*member) for member in members), prefer=prefer)
        assert answer.text == "1"
        return answer.headers["plantel-delivery"]

    def show(self, version: str, campaign: str = "") -> str:
        """What Asterisk itself shows."""
        return self.pair[version].cli(f'queue show "{campaign}"' if campaign else "queue show")


async def test_what_an_old_client_sends_rings_at_both_under_each_ones_name(office: Office) -> None:
    assert office.add(("ana", SHARED, PHONE), ("vera", OWN["16"], PHONE), ("nora", OWN["22"], PHONE)) == "live"
    for version, interface in (("16", "(SIP/1001)"), ("22", "(PJSIP/1001)")):
        assert interface in office.show(version, SHARED)
        async with sipp.Phone(office.pair[version], "1001") as phone:
            for times, campaign in enumerate((SHARED, OWN[version]), 1):
                assert (await sipp.call(office.pair[version], campaign)).answered
                await phone.answered(times)
    assert "vera" not in office.show("22")
    assert "nora" not in office.show("16")
    (ana,) = office.members(SHARED)
    assert (ana["interface"], ana["called"]) == (PHONE, {"pbx22": "PJSIP/1001"})
    (vera,) = office.members(OWN["16"])
    assert "called" not in vera


async def test_a_pause_at_one_server_reaches_the_other(office: Office) -> None:
    assert office.add(("ana", SHARED, PHONE)) == "live"
    other = office.pair["16"]
    watching = AmiSwitch("watching", other.host, other.ami_port, other.user.name, other.user.secret)
    heard: asyncio.Queue[str | None] = asyncio.Queue()
    watching.listen(lambda queue, _interface: heard.put_nowait(queue))
    await watching.snapshot()
    office.pair["22"].cli(f'queue pause member PJSIP/1001 queue "{SHARED}"')
    async with asyncio.timeout(LIVE):
        while not all(one.paused for one in (await watching.snapshot([SHARED])).queues[SHARED]):
            await heard.get()
    await watching.close()
    (ana,) = office.members(SHARED)
    assert ana["paused"]


async def test_with_one_away_the_others_campaign_is_live_and_the_shared_one_waits(office: Office) -> None:
    assert office.add(("ana", SHARED, PHONE)) == "live"
    await asyncio.to_thread(office.pair["22"].kill)
    try:
        assert office.add(("vera", OWN["16"], PHONE)) == "live"
        assert office.add(("eva", SHARED, "SIP/1002"), prefer="wait=1") == "pending"
        until_shown(office.pair["16"], SHARED, "(SIP/1002)")  # the answer waited for the other one, in vain
    finally:
        await asyncio.to_thread(office.pair["22"].start)
    assert office.add(("eva", SHARED, "SIP/1002")) == "live"
    assert "(PJSIP/1001)" in office.show("22", SHARED)
    assert "(PJSIP/1002)" in office.show("22", SHARED)


async def test_one_phone_for_two_is_told_and_does_not_flap(office: Office, plantel: PlantelServer) -> None:
    assert office.add(("ana", SHARED, PHONE), ("eva", SHARED, "PJSIP/1001"), prefer="wait=2") == "pending"
    assert "SIP/1001 -> PJSIP/1001 in Ventas-> is another member's phone there" in plantel.run("sync", code=1)
    assert "eva (PJSIP/1001)" in office.show("22", SHARED)
    assert office.add(("eva", SHARED, "PJSIP/1002")) == "live"
    assert "ana (PJSIP/1001)" in office.show("22", SHARED)


async def test_check_and_plan_name_the_rules(office: Office, plantel: PlantelServer) -> None:
    assert office.add(("ana", SHARED, PHONE), ("luz", SHARED, "Local/1001@agents/n")) == "live"
    shown = plantel.run("check")
    assert 'pbx22: map: "SIP/" = "PJSIP/" holds for 1 members, such as SIP/1001 -> PJSIP/1001' in shown
    assert 'pbx22: state: "Local/{phone}@agents/n" = "PJSIP/{phone}" holds for 1 members' in shown
    assert "from PJSIP/1001" in office.show("22", SHARED), "the state interface of luz"
    await asyncio.to_thread(office.pair["22"].restart)
    assert office.add(("eva", SHARED, "SIP/1002")) == "live"
    assert "from PJSIP/1001" in office.show("22", SHARED), "again after a restart"
