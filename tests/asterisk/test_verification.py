"""`verify_interface` on a real Asterisk, through every door."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from plantel.client import Integra, Member, Warned
from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from tests.support.asterisks import server_table
from tests.support.server import PlantelServer, served

pytestmark = pytest.mark.asterisk

VENTAS = "Ventas->"
REPORTER = AmiUser("reporter", "secret", write="agent,reporting")
UNTOLD = (
    "phones were not verified: pbx1: Asterisk does not tell the state of phones: the AMI user needs"
    " write = agent,reporting, and Asterisk the module func_devstate"
)
REASON = "item 1: interface1: pbx1: there is no phone SIP/10001"


@pytest.fixture(scope="module")
def asterisk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateAsterisk]:
    folder = tmp_path_factory.mktemp("pbx")
    with PrivateAsterisk(folder, queues={VENTAS: ()}, phones=["1001"], users=[REPORTER]) as asterisk:
        yield asterisk


def plantel(folder: Path, asterisk: PrivateAsterisk, verify: str, user: AmiUser = REPORTER) -> PlantelServer:
    # Asterisk has to have answered by the deadline, or nobody is refused
    config = f'[delivery]\nverify_interface = "{verify}"\ndeadline = "20s"\n{server_table(asterisk, user=user)}'
    return PlantelServer(folder, config=config)


def add(server: PlantelServer, phone: str) -> httpx.Response:
    """The published call with one agent, ana, on this phone."""
    item = {"membername": "ana", "queueName": VENTAS, "interface1": phone, "penalty": "0", "paused": "0"}
    return httpx.post(
        f"{server.url}/Integra/resources/queues/addqueuemember",
        data={"queuemember": json.dumps([item])},
        headers={"authorization": f"Basic {server.token}"},
        timeout=20,
    )


def test_require_refuses_a_phone_that_the_server_does_not_know(tmp_path: Path, asterisk: PrivateAsterisk) -> None:
    with served(plantel(tmp_path, asterisk, "require")) as server:
        refused = add(server, "SIP/10001")
        assert (refused.status_code, refused.text) == (200, "0")
        assert (refused.headers["plantel-code"], refused.headers["plantel-reason"]) == ("phone_unknown", REASON)
        assert server.members(VENTAS) == []
        batch = httpx.get(
            f"{server.url}/api/v1/batches/{refused.headers['plantel-batch']}",
            headers={"authorization": f"Basic {server.token}", "accept-language": "es"},
            timeout=20,
        ).json()
        assert [one["message"] for one in batch["problems"]] == [
            "elemento 1: interface1: pbx1: no existe el teléfono SIP/10001"
        ]
        by_cli = server.outcome("member", "add", VENTAS, "ana", "SIP/10001")
        assert (by_cli.returncode, by_cli.stderr) == (1, f"plantel: {REASON} [phone_unknown]\n")
        known = add(server, "SIP/1001")
        assert (known.text, "plantel-warning" in known.headers) == ("1", False)


def test_warn_stores_it_and_says_so(tmp_path: Path, asterisk: PrivateAsterisk) -> None:
    with served(plantel(tmp_path, asterisk, "warn")) as server:
        stored = add(server, "SIP/10001")
        assert (stored.text, stored.headers["plantel-warning"]) == ("1", REASON)
        assert [one["interface1"] for one in server.members(VENTAS)] == ["SIP/10001"]
        with Integra(server.url, token=server.token) as integra:
            (batch,) = integra.add([Member(VENTAS, "ana", "SIP/1001"), Member(VENTAS, "eva", "SIP/10001")])
        assert batch.warnings == (Warned(2, "interface1: pbx1: there is no phone SIP/10001"),)
        by_api = httpx.post(
            f"{server.url}/api/v1/members",
            json=[{"membername": "eva", "queueName": VENTAS, "interface1": "SIP/10001", "penalty": 0, "paused": 0}],
            headers={"authorization": f"Basic {server.token}"},
            timeout=20,
        ).json()
        assert [(one["code"], one["message"]) for one in by_api["warnings"]] == [("phone_unknown", REASON)]
        by_cli = server.outcome("member", "add", VENTAS, "ana", "SIP/10001", lang="es")
        assert by_cli.returncode == 0
        assert "no existe el teléfono SIP/10001 [phone_unknown]" in by_cli.stderr


def test_a_server_that_is_away_or_may_not_be_asked_refuses_nobody(tmp_path: Path, asterisk: PrivateAsterisk) -> None:
    with served(plantel(tmp_path, asterisk, "require", asterisk.user)) as server:
        stored = add(server, "SIP/10001")
        assert (stored.text, stored.headers["plantel-warning"]) == ("1", UNTOLD)
        with Integra(server.url, token=server.token) as integra:
            (batch,) = integra.add([Member(VENTAS, "ana", "SIP/10001")])
        assert [one.item for one in batch.warnings] == [None]
        assert server.log.read_text(encoding="utf-8").count("phones_unverified") == 1
        by_cli = server.outcome("member", "add", VENTAS, "ana", "SIP/10001", lang="es")
        assert (by_cli.returncode, by_cli.stderr.count("no se verificaron los teléfonos: pbx1: ")) == (0, 1)
        checked = server.run("check", code=1, lang="es")
        assert "verify_interface" in checked
        assert "write = agent,reporting" in checked
        server.run("member", "remove", VENTAS, "ana")
    (tmp_path / "away").mkdir()
    with served(plantel(tmp_path / "away", asterisk, "require")) as server:
        asterisk.kill()
        try:
            stored = add(server, "SIP/10001")
            assert stored.text == "1"
            assert stored.headers["plantel-warning"].startswith("phones were not verified: pbx1: ")
        finally:
            asterisk.start()


def test_check_finds_nothing_wrong_with_a_user_who_may_ask(tmp_path: Path, asterisk: PrivateAsterisk) -> None:
    assert "verify_interface" not in plantel(tmp_path, asterisk, "require").run("check")
