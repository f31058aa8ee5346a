"""Both clients against a server over TLS: what they promise, seen in what the server then holds.

All of it uses only what the published calls say: any `Server` that knows CAMPAIGNS can be the fixture `server`.
"""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from plantel import errors
from plantel.client import Member, Stored
from tests.support.integra_faces import CAMPAIGNS, HARD_NAMES, KINDS, Kind, Server, face, scripted_server
from tests.support.server import PlantelServer, served
from tests.support.tls import Certificate, make_certificate

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", KINDS)]


@pytest.fixture(scope="module")
def plantel(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator["Plantel"]:
    """A real Plantel that knows CAMPAIGNS and has a user."""
    made = Plantel(tmp_path_factory.mktemp("plantel"), certificate=certificate)
    made.declare(sorted(CAMPAIGNS))
    made.run("user", "add", made.user, "--role", "admin", stdin=made.password + "\n")
    with served(made):
        yield made


class Plantel(PlantelServer):
    user = "integrador"
    password = "una clave & más"

    def tidy(self) -> None:
        """Take every member out of every campaign."""
        with httpx.Client(
            base_url=f"{self.url}/api/v1", verify=self.context, headers={"authorization": f"Basic {self.token}"}
        ) as api:
            for campaign in CAMPAIGNS:
                there = api.get("/members", params={"campaign": campaign}).json()
                if there:
                    agents = [one["membername"] for one in there]
                    done = api.post("/members/remove", json={"campaign": campaign, "agents": agents}, timeout=60)
                    assert done.status_code == 200, done.text


@pytest.fixture(params=["scripted", "plantel"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    if request.param == "scripted":
        with scripted_server(tmp_path) as running:
            yield running
    else:
        real: Plantel = request.getfixturevalue("plantel")
        yield real
        real.tidy()


@pytest.mark.parametrize("name", HARD_NAMES)
async def test_hard_names_arrive_as_they_are(kind: Kind, server: Server, name: str) -> None:
    async with face(kind, server) as integra:
        answers = await integra.add([Member(name, name, "PJSIP/1001", 3, True)])
        listed = await integra.members_of(name)
    assert [(each.first, each.last) for each in answers] == [(0, 1)]
    assert listed == [Member(name, name, "PJSIP/1001", 3, True)]
    assert [(each["membername"], each["queueName"]) for each in server.members(name)] == [(name, name)]


async def test_members_may_be_given_as_on_the_wire(kind: Kind, server: Server) -> None:
    item = {"membername": "Ana", "queueName": "Ventas->", "interface1": "SIP/1", "penalty": "2", "paused": ""}
    async with face(kind, server) as integra:
        await integra.add([item])
        assert await integra.members_of("Ventas->") == [Member("Ventas->", "Ana", "SIP/1", 2)]


async def test_adding_again_updates(kind: Kind, server: Server) -> None:
    async with face(kind, server) as integra:
        await integra.add([Member("Ventas->", "Ana", "SIP/1")])
        await integra.add([Member("Ventas->", "Ana", "SIP/1", 5, True)])
        assert await integra.members_of("Ventas->") == [Member("Ventas->", "Ana", "SIP/1", 5, True)]


async def test_user_and_password_log_in_and_the_session_ends_on_close(kind: Kind, server: Server) -> None:
    async with face(kind, server, user=server.user, password=server.password) as integra:
        await integra.add([Member("Ventas->", "Ana", "SIP/1")])
        token = integra.client._dialogue._token
    assert token != server.token
    assert [each["membername"] for each in server.members("Ventas->")] == ["Ana"]
    async with face(kind, server, token=token) as integra:
        with pytest.raises(errors.CredentialsRefused):
            await integra.members_of("Ventas->")


@pytest.mark.parametrize("settings", [{"user": "nadie", "password": "x"}, {"token": "bmFkaWU6eA=="}])
async def test_wrong_credentials(kind: Kind, server: Server, settings: dict[str, str]) -> None:
    async with face(kind, server, **settings) as integra:
        with pytest.raises(errors.CredentialsRefused):
            await integra.add([Member("Ventas->", "Ana", "SIP/1")])
    assert server.members("Ventas->") == []


async def test_a_zero_is_an_error_and_nothing_is_stored(kind: Kind, server: Server) -> None:
    members = [Member("Ventas->", "Ana", "SIP/1"), Member("no existe", "Eva", "SIP/2")]
    async with face(kind, server) as integra:
        with pytest.raises(errors.ServerRefused) as caught:
            await integra.add(members)
    assert (caught.value.stored, caught.value.tried) == (0, 2)
    assert server.members("Ventas->") == []


async def test_a_large_roster_goes_in_batches(kind: Kind, server: Server) -> None:
    members = [Member("grande", f"Ñandú {number}", f"PJSIP/{number}", number % 7) for number in range(50_000)]
    heard: list[Stored] = []
    async with face(kind, server, batch_items=4000) as integra:
        answers = await integra.add(members, heard.append)
        listed = await integra.members_of("grande")
    assert sorted(listed, key=lambda each: int(each.interface[6:])) == members
    assert [(each.first, each.last) for each in answers[:2]] == [
        (0, answers[0].last),
        (answers[0].last, answers[1].last),
    ]
    assert answers[-1].last == 50_000
    assert len(answers) >= 13
    assert heard == answers


async def test_a_refused_batch_leaves_the_earlier_ones_stored(kind: Kind, server: Server) -> None:
    members = [Member("Ventas->", f"a{number}", f"SIP/{number}") for number in range(7)]
    members[4] = Member("no existe", "a4", "SIP/4")
    async with face(kind, server, batch_items=2) as integra:
        with pytest.raises(errors.ServerRefused) as caught:
            await integra.add(members)
    assert (caught.value.stored, caught.value.tried) == (4, 6)
    assert sorted(each["membername"] for each in server.members("Ventas->")) == ["a0", "a1", "a2", "a3"]


async def test_mistakes_are_found_in_the_whole_roster_before_anything_is_sent(kind: Kind, server: Server) -> None:
    good = [Member("Ventas->", f"a{number}", f"SIP/{number}") for number in range(5)]
    async with face(kind, server, batch_items=1) as integra:
        with pytest.raises(errors.MembersInvalid) as caught:
            await integra.add([*good, Member("VENTAS->", "a2", "SIP/2", 9)])
        assert [(each.code, each.item, each.params) for each in caught.value.problems] == [
            ("contradiction", 6, {"other": 3})
        ]
        with pytest.raises(errors.MembersInvalid) as caught:
            await integra.add([{"membername": ""}, *good, {"membername": "x", "queueName": "y"}])
        assert [(each.item, each.key) for each in caught.value.problems] == [(1, "queueName"), (7, "interface1")]
        with pytest.raises(errors.EmptyBatch):
            await integra.add([])
    assert server.members("Ventas->") == []


async def test_another_authority_is_refused_before_the_token_is_sent(
    kind: Kind, server: Server, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with face(kind, server, ca_file=make_certificate(elsewhere).ca) as integra:
        with pytest.raises(errors.ServerUntrusted) as caught:
            await integra.add([Member("Ventas->", "Ana", "SIP/1")])
    assert caught.value.tried == 0
    assert server.members("Ventas->") == []


async def test_without_a_ca_file_an_unknown_authority_is_refused(kind: Kind, server: Server) -> None:
    async with face(kind, server, ca_file=None) as integra:
        with pytest.raises(errors.ServerUntrusted):
            await integra.members_of("Ventas->")
