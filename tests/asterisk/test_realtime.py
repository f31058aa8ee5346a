"""The proof for `delivery = "realtime"`: a real Asterisk that reads the roster from the database, and writes into it."""

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import httpx
import pytest

from plantel.testing import sipp
from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.testing.installation import Installation
from plantel.testing.postgresql import PrivatePostgresql
from plantel.testing.realtime import Realtime, pgsql
from tests.support.server import PlantelServer, served

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

VENTAS, POWER = "Ventas->", "POWER<-"
LONGEST = "José Ñandú " + "ñ" * 32 + "z"  # 79 bytes
LIVE = 20
"""Seconds within which a change has to be live, back-off after a restart included."""


class Base:
    """A database with a roster, where Asterisk's user may do what the documentation grants, and nothing else."""

    def __init__(self, server: PrivatePostgresql, name: str) -> None:
        self._server = server
        self._name = name
        self.url = server.database(name)
        server.execute(f"CREATE ROLE asterisk_{name} LOGIN PASSWORD 'secreto'")

    @property
    def realtime(self) -> Realtime:
        return pgsql(self._server.host, self._server.port, self._name, f"asterisk_{self._name}", "secreto")

    def grant(self) -> None:
        self._server.execute(f"GRANT SELECT, UPDATE ON queue_members TO asterisk_{self._name}", database=self._name)


@pytest.fixture(scope="module")
def database() -> Iterator[PrivatePostgresql]:
    with PrivatePostgresql() as running:
        yield running


@pytest.fixture(scope="module")
def base(database: PrivatePostgresql, version: str) -> Base:
    return Base(database, f"roster_{version}")


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory, installation: Installation, base: Base) -> Iterator[PrivateAsterisk]:
    with PrivateAsterisk(
        tmp_path_factory.mktemp("ast"),
        queues={VENTAS: (), POWER: ()},
        phones=["1001", "1002"],
        users=[AmiUser("operator", "dos", write="agent,reporting")],
        installation=installation,
        realtime=base.realtime,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def plantel(tmp_path_factory: pytest.TempPathFactory, asterisk: PrivateAsterisk, base: Base) -> Iterator[PlantelServer]:
    config = f"""
        [[asterisk]]
        name = "pbx1"
        host = "{asterisk.host}"
        port = {asterisk.ami_port}
        username = "operator"
        secret = "dos"
        delivery = "realtime"
        """
    server = PlantelServer(tmp_path_factory.mktemp("plantel"), config=config, store=base.url)
    with served(server) as running:
        base.grant()
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
