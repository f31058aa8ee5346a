"""`plantel why` against a real Asterisk on which each cause is brought about."""

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from plantel.batch import Source
from plantel.config import load
from plantel.plan import Add, Penalise
from plantel.roster import Member
from plantel.testing import sipp
from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.why.findings import Finding
from plantel.why.inquiry import inquire
from plantel.why.report import Report, Verdict
from plantel.wiring import Plantel, assembled
from tests.support.asterisks import server_table
from tests.support.door import OPERATOR
from tests.support.server import PlantelServer, served

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

VENTAS, POWER = "Ventas->", "POWER<-"
RESTING, TURNS, EMPTY, EAGER = "Descanso", "Por turnos", "Vacía", "Siempre"
REPORTER = AmiUser("reporter", "secret", write="agent,reporting")
ONLOOKER = AmiUser("onlooker", "secret", write="reporting")
RULES = ("yes", "no", "strict", "loose", "paused", "unavailable,invalid", "invalid", "inuse", "wrapup")
QUEUES: dict[str, tuple[str, ...]] = {
    **{f"Regla {place}": (f"joinempty = {rule}",) for place, rule in enumerate(RULES)},
    VENTAS: (),
    POWER: ("member => SIP/9001,0,Sam",),
    RESTING: ("wrapuptime = 60",),
    TURNS: ("strategy = rrmemory",),
    EMPTY: ("joinempty = paused,unavailable",),
    EAGER: ("ringinuse = yes",),
}
HOME = "1009"
"""A phone that is configured and never registers."""


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateAsterisk]:
    asterisk = PrivateAsterisk(
        tmp_path_factory.mktemp("pbx"),
        queues=QUEUES,
        phones=["1001", "1002"],
        users=[REPORTER, ONLOOKER],
        ring_seconds=1,
    )
    with (asterisk.directory / "etc" / "sip.conf").open("a") as file:
        file.write(f"[{HOME}]\ntype = friend\nhost = dynamic\n")
    with asterisk:
        # to keep a phone in a call
        asterisk.cli("module load res_clioriginate.so")
        yield asterisk


class Site:
    """A Plantel in this process, and what is done to it and to its Asterisk."""

    def __init__(self, plantel: Plantel, asterisk: PrivateAsterisk) -> None:
        (self._where,) = plantel.instances.values()
        self.asterisk = asterisk

    async def deliver(self) -> None:
        """One round of the reconciler."""
        for reconciler in self._where.delivery.reconcilers:
            await reconciler.run_once()

    async def add(self, *members: Member) -> None:
        await self._where.service.add(OPERATOR, members, Source.CLI)
        await self.deliver()

    async def remove(self, campaign: str, agent: str) -> None:
        await self._where.service.remove(OPERATOR, campaign, [agent], Source.CLI)
        await self.deliver()

    async def pause(self, campaign: str, agent: str) -> None:
        await self._where.service.pause(OPERATOR, campaign, [agent], Source.CLI, paused=True)
        await self.deliver()

    async def declare(self, campaign: str) -> None:
        await self._where.service.declare(OPERATOR, campaign)

    async def cli(self, command: str) -> str:
        return await anyio.to_thread.run_sync(self.asterisk.cli, command)

    async def why(self, agent: str, campaign: str) -> Report:
        (report,) = await inquire(self._where.service, self._where.delivery, OPERATOR, agent, campaign)
        return report

    async def tidy(self) -> None:
        for campaign in await self._where.service.campaigns(OPERATOR):
            members = await self._where.service.members(OPERATOR, campaign.name)
            if members:
                agents = [member.membername for member in members]
                await self._where.service.remove(OPERATOR, campaign.name, agents, Source.CLI)
        await self.deliver()


def settings_file(folder: Path, asterisk: PrivateAsterisk, user: AmiUser = REPORTER) -> Path:
    file = folder / "plantel.toml"
    file.write_text(f'[store]\nurl = "sqlite:///{folder}/plantel.db"\n{server_table(asterisk, user=user)}')
    return file


@pytest.fixture
async def site(tmp_path: Path, asterisk: PrivateAsterisk) -> AsyncIterator[Site]:
    async with assembled(load(settings_file(tmp_path, asterisk), {})) as plantel:
        site = Site(plantel, asterisk)
        await site.deliver()  # which makes campaigns of the queues
        yield site
        await site.tidy()


def codes(report: Report) -> list[str]:
    return [finding.cause.code for finding in report.findings]


def first(report: Report) -> Finding:
    return report.findings[0]


async def test_nothing_keeps_a_free_phone_from_ringing_and_it_does_ring(site: Site) -> None:
    async with sipp.Phone(site.asterisk, "1001"):
        await site.add(Member(VENTAS, "ana", "SIP/1001", 2))
        report = await site.why("ana", VENTAS)
        assert report.verdict is Verdict.YES
        assert codes(report) == ["nobody_waiting", "phone_free", "in_roster", "live"]
        assert (await sipp.call(site.asterisk, VENTAS)).answered
    assert (await site.why("sip/1001", "ventas->")).trace.member == Member(VENTAS, "ana", "SIP/1001", 2)


async def test_not_in_the_roster_and_removed(site: Site) -> None:
    never = await site.why("ana", VENTAS)
    assert (never.verdict, codes(never)) == (Verdict.NO, ["never_added"])
    await site.add(Member(VENTAS, "ana", "SIP/1001"))
    assert codes(await site.why("anna", VENTAS)) == ["never_added", "similar_names"]
    before = datetime.now(UTC) - timedelta(seconds=1)
    await site.remove(VENTAS, "ana")
    for agent in ("ana", "SIP/1001"):
        gone = await site.why(agent, VENTAS)
        assert (gone.verdict, codes(gone)) == (Verdict.NO, ["removed"])
        params = first(gone).values()
        assert params["by"] == "tests"
        assert isinstance(params["at"], datetime)
        assert before < params["at"] <= datetime.now(UTC)


async def test_a_foreign_member_on_the_phone_and_a_static_one(site: Site) -> None:
    await site.cli(f'queue add member SIP/1001 to "{VENTAS}" penalty 0 as Stranger')
    stray = await site.why("SIP/1001", VENTAS)
    assert (stray.verdict, codes(stray)[0]) == (Verdict.MAYBE, "stray")
    await site.add(Member(VENTAS, "ana", "SIP/1001"))
    other = await site.why("ana", VENTAS)
    assert codes(other)[0] == "other_name"
    assert first(other).values()["membername"] == "Stranger"
    await site.cli(f'queue remove member SIP/1001 from "{VENTAS}"')
    static = await site.why("Sam", POWER)
    assert codes(static)[:2] == ["phone_invalid", "stray"]
    assert static.findings[1].values()["membership"] == "static"


async def test_paused_by_the_roster(site: Site) -> None:
    await site.add(Member(VENTAS, "ana", "SIP/1001"))
    await site.pause(VENTAS, "ana")
    report = await site.why("ana", VENTAS)
    assert (report.verdict, codes(report)[0], first(report).values()["by"]) == (Verdict.NO, "paused", "tests")


async def test_paused_at_the_server_with_a_reason(site: Site) -> None:
    await site.add(Member(VENTAS, "ana", "SIP/1001"))
    moment = datetime.now(UTC) - timedelta(seconds=2)
    await site.cli(f'queue pause member SIP/1001 queue "{VENTAS}" reason Almuerzo')
    report = await site.why("ana", VENTAS)
    assert codes(report)[0] == "paused_at_server"
    params = first(report).values()
    assert params["reason"] == "Almuerzo"
    assert isinstance(params["at"], datetime)
    assert moment < params["at"] <= datetime.now(UTC)
    await site.deliver()  # the roster takes it over
    taken = await site.why("ana", VENTAS)
    assert codes(taken)[0] == "paused"
    assert (first(taken).values()["by"], first(taken).values()["reason"]) == ("server:pbx1", "Almuerzo")


async def test_a_phone_that_does_not_exist_and_one_that_is_not_registered(site: Site) -> None:
    await site.add(Member(VENTAS, "ana", "SIP/7777"), Member(VENTAS, "eva", f"SIP/{HOME}"))
    assert codes(await site.why("ana", VENTAS))[0] == "phone_invalid"
    assert codes(await site.why("eva", VENTAS))[0] == "phone_unavailable"
    assert not (await sipp.call(site.asterisk, VENTAS)).answered


async def test_a_phone_in_use_rings_only_where_the_queue_rings_in_use(site: Site) -> None:
    await site.add(Member(VENTAS, "ana", "SIP/1001"), Member(EAGER, "ana", "SIP/1001"))
    async with sipp.Phone(site.asterisk, "1001") as phone:
        await site.cli("channel originate SIP/1001 application Wait 60")
        await phone.answered()
        busy = await site.why("ana", VENTAS)
        assert (busy.verdict, codes(busy)[0], first(busy).values()["state"]) == (Verdict.NO, "phone_in_use", "INUSE")
        eager = await site.why("ana", EAGER)
        assert eager.verdict is Verdict.YES
        assert "rings_in_use" in codes(eager)
        await site.cli("channel request hangup all")


async def test_others_with_a_lower_penalty_ring_first(site: Site) -> None:
    await site.add(Member(VENTAS, "ana", "SIP/1001", 3), Member(VENTAS, "eva", "SIP/1002", 1))
    report = await site.why("ana", VENTAS)
    assert (report.verdict, codes(report)[0]) == (Verdict.MAYBE, "lower_penalty_first")
    assert first(report).values()["names"] == ("eva",)
    async with sipp.Phone(site.asterisk, "1001") as ana, sipp.Phone(site.asterisk, "1002") as eva:
        assert (await sipp.call(site.asterisk, VENTAS)).answered
        assert (ana.rings, eva.rings) == (0, 1)
    assert (await site.why("eva", VENTAS)).verdict is Verdict.YES
    await site.pause(VENTAS, "eva")
    assert (await site.why("ana", VENTAS)).verdict is Verdict.YES


async def test_a_queue_that_rings_one_at_a_time(site: Site) -> None:
    await site.add(Member(TURNS, "ana", "SIP/1001"), Member(TURNS, "eva", "SIP/1002"))
    report = await site.why("ana", TURNS)
    assert (report.verdict, codes(report)[0]) == (Verdict.MAYBE, "one_at_a_time")
    assert first(report).values()["strategy"] == "rrmemory"


async def test_resting_after_a_call(site: Site) -> None:
    await site.add(Member(RESTING, "ana", "SIP/1001"))
    async with sipp.Phone(site.asterisk, "1001") as phone:
        assert (await sipp.call(site.asterisk, RESTING)).answered
        with anyio.fail_after(30):
            while "last was" not in await site.cli(f'queue show "{RESTING}"'):
                pass  # Asterisk notes the end of the call a moment after the caller's
        report = await site.why("ana", RESTING)
        assert (report.verdict, codes(report)[0]) == (Verdict.NO, "wrapping_up")
        until = first(report).values()["until"]
        assert isinstance(until, datetime)
        assert timedelta(0) < until - datetime.now(UTC) <= timedelta(seconds=60)
        assert not (await sipp.call(site.asterisk, RESTING)).answered
        assert phone.rings == 1


async def test_a_queue_that_lets_nobody_in(site: Site) -> None:
    await site.add(Member(EMPTY, "ana", f"SIP/{HOME}"))
    report = await site.why("ana", EMPTY)
    assert codes(report)[:2] == ["phone_unavailable", "callers_turned_away"]
    assert not await enters(site.asterisk, EMPTY)
    await site.add(Member(EMPTY, "eva", "SIP/1001"))
    assert "callers_turned_away" not in codes(await site.why("ana", EMPTY))
    assert await enters(site.asterisk, EMPTY)


async def enters(asterisk: PrivateAsterisk, queue: str) -> bool:
    """Whether a caller gets into the queue: Asterisk's own queue_log has it."""
    log = asterisk.directory / "log" / "queue_log"
    before = log.read_text().count(f"|{queue}|NONE|ENTERQUEUE|")
    await sipp.call(asterisk, queue)
    return log.read_text().count(f"|{queue}|NONE|ENTERQUEUE|") > before


@pytest.mark.parametrize("place", range(len(RULES)), ids=RULES)
async def test_a_rule_lets_in_whom_asterisk_lets_in(site: Site, place: int) -> None:
    (reconciler,) = site._where.delivery.reconcilers
    for phone, paused in (("SIP/1001", True), ("SIP/1001", False), (f"SIP/{HOME}", False), ("SIP/7777", False)):
        await site.add(Member(f"Regla {place}", "ana", phone, paused=paused))
        seen = await reconciler.switch.examine(f"Regla {place}", phone)
        assert seen is not None
        assert await enters(site.asterisk, f"Regla {place}") is not seen.turns_away(), (RULES[place], phone, paused)


async def test_what_is_different_on_the_server(site: Site) -> None:
    await site.add(Member(VENTAS, "ana", "SIP/1001", 2))
    (reconciler,) = site._where.delivery.reconcilers
    assert await reconciler.switch.apply([Penalise(VENTAS, "SIP/1001", 5)]) == [None]
    drifted = await site.why("ana", VENTAS)
    assert codes(drifted)[0] == "penalty_differs"
    assert first(drifted).values() == {"live": 5, "wanted": 2}
    await site.cli(f'queue remove member SIP/1001 from "{VENTAS}"')
    assert codes(await site.why("ana", VENTAS))[0] == "not_live"
    await site.deliver()
    assert (await site.why("ana", VENTAS)).verdict is Verdict.YES
    assert await reconciler.switch.apply([Add(VENTAS, "SIP/1002", "Stranger", 0, False)]) == [None]
    assert codes(await site.why("ana", VENTAS))[0] == "lower_penalty_first", "a stranger counts, too"
    await site.cli(f'queue remove member SIP/1002 from "{VENTAS}"')


async def test_a_queue_that_is_missing_and_a_server_that_is_away(site: Site) -> None:
    await site.declare("Nueva")
    await site.add(Member("Nueva", "ana", "SIP/1001"))
    missing = await site.why("ana", "Nueva")
    assert (missing.verdict, codes(missing)[0]) == (Verdict.NO, "queue_missing")
    await anyio.to_thread.run_sync(site.asterisk.kill)
    try:
        away = await site.why("ana", "Nueva")
        assert (away.verdict, codes(away)) == (Verdict.NO, ["server_away", "in_roster"])
        assert first(away).values()["reason"] == "switch_unreachable"
    finally:
        await anyio.to_thread.run_sync(site.asterisk.start)
        await site.cli("module load res_clioriginate.so")


async def test_without_the_right_the_answer_says_what_it_lacks(tmp_path: Path, asterisk: PrivateAsterisk) -> None:
    async with assembled(load(settings_file(tmp_path, asterisk, asterisk.user), {})) as plantel:
        site = Site(plantel, asterisk)
        await site.deliver()
        await site.add(Member(VENTAS, "ana", "SIP/1001"))
        report = await site.why("ana", VENTAS)
        assert report.verdict is Verdict.YES
        assert {"rules_unseen", "phone_free"} <= set(codes(report)), "a member's own phone is seen all the same"
        async with sipp.Phone(asterisk, "1001") as phone:
            await site.cli("channel originate SIP/1001 application Wait 60")
            await phone.answered()
            busy = await site.why("ana", VENTAS)
            assert (busy.verdict, codes(busy)[0]) == (Verdict.MAYBE, "phone_maybe_in_use")
            await site.cli("channel request hangup all")
        await site.tidy()


async def test_a_server_that_refuses_the_member_says_so(tmp_path: Path, asterisk: PrivateAsterisk) -> None:
    async with assembled(load(settings_file(tmp_path, asterisk, ONLOOKER), {})) as plantel:
        site = Site(plantel, asterisk)
        await site.deliver()
        await site.add(Member(VENTAS, "ana", "SIP/1001"))
        report = await site.why("ana", VENTAS)
        assert (report.verdict, codes(report)[:2]) == (Verdict.NO, ["not_delivered", "phone_free"])
        assert first(report).values()["reason"] == "privilege_missing"


async def test_the_command_line_and_the_api_tell_the_same_beside_a_running_service(
    tmp_path: Path, asterisk: PrivateAsterisk
) -> None:
    def ask() -> tuple[list[dict[str, Any]], list[dict[str, Any]], str]:
        server = PlantelServer(tmp_path, config=server_table(asterisk, user=REPORTER))
        item = {"membername": "ana", "queueName": VENTAS, "interface1": "SIP/7777", "penalty": "0", "paused": "0"}
        with served(server):
            headers = {"authorization": f"Basic {server.token}"}
            added = httpx.post(
                f"{server.url}/Integra/resources/queues/addqueuemember",
                data={"queuemember": json.dumps([item])},
                headers=headers | {"prefer": "wait=20"},
                timeout=40,
            )
            assert (added.text, added.headers["plantel-delivery"]) == ("1", "live")
            words = server.run("why", "ana", VENTAS, lang="es")
            by_cli = json.loads(server.run("why", "ana", "--json"))
            by_api = httpx.get(f"{server.url}/api/v1/why", params={"agent": "ana"}, headers=headers, timeout=20)
            server.run("member", "remove", VENTAS, "ana")
            server.run("sync")
        return by_cli, by_api.json(), words

    by_cli, by_api, words = await anyio.to_thread.run_sync(ask)
    assert by_cli == by_api
    (answer,) = by_cli
    assert (answer["rings"], answer["findings"][0]["code"]) == ("no", "phone_invalid")
    assert answer["findings"][0]["message"] == "pbx1 knows no phone SIP/7777"
    assert words.splitlines()[0] == "ana, Ventas->: No suena: pbx1 no conoce ningún teléfono SIP/7777."
    assert "  x pbx1 no conoce ningún teléfono SIP/7777 [phone_invalid]" in words
