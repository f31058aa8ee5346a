"""The JSON API on the real program: long answers, and refusals of bodies that nobody reads, over both HTTP versions."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from plantel.access import Role
from plantel.http.limits import WRITTEN_IN_ONE_GO
from tests.support.door import item
from tests.support.server import PlantelServer, make_token, served
from tests.support.tls import Certificate

MANY = 3 * WRITTEN_IN_ONE_GO
LARGE = 4 * 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[PlantelServer]:
    made = PlantelServer(tmp_path_factory.mktemp("api-server"), certificate=certificate)
    made.declare(["Ventas->"])
    assert made.token
    with served(made):
        yield made


@pytest.fixture(params=[True, False], ids=["http2", "http1"])
def client(request: pytest.FixtureRequest, server: PlantelServer) -> Iterator[httpx.Client]:
    http2: bool = request.param
    with httpx.Client(http2=http2, verify=server.context, timeout=60, base_url=f"{server.url}/api/v1/") as made:
        yield made


def as_(token: str) -> dict[str, str]:
    return {"authorization": f"Basic {token}", "content-type": "application/json"}


def test_a_long_list_comes_whole(server: PlantelServer, client: httpx.Client) -> None:
    members = json.dumps([item(f"agent {n}", phone=f"SIP/{n + 1000}") for n in range(MANY)])
    assert client.post("members", content=members, headers=as_(server.token)).status_code == 200
    for _ in range(3):
        listed = client.get("members", params={"campaign": "Ventas->"}, headers=as_(server.token)).json()
        assert len({one["membername"] for one in listed}) == MANY
        assert len(client.get("journal?limit=1000", headers=as_(server.token)).json()) >= WRITTEN_IN_ONE_GO


def test_who_may_not_is_told_so_however_much_is_on_its_way(server: PlantelServer, client: httpx.Client) -> None:
    reader = server.beside(lambda plantel: make_token(plantel, f"reader {id(client)}", Role.READER))
    for path in ("members", "campaigns"):
        for _ in range(3):
            answer = client.post(path, content=b"[" + b"1," * (LARGE // 2), headers=as_(reader))
            assert (answer.status_code, answer.json()["code"]) == (403, "action_forbidden")
    answer = client.post("campaigns", content=b" " * LARGE, headers=as_(server.token))
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_client_that_hangs_up_leaves_the_next_one_its_turn(server: PlantelServer, client: httpx.Client) -> None:
    head = f"GET /api/v1/members?campaign=Ventas-%3E HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {server.token}"
    for _ in range(50):
        with (
            socket.create_connection(("127.0.0.1", server.port)) as line,
            server.context.wrap_socket(line, server_hostname="localhost") as wire,
        ):
            wire.sendall(f"{head}\r\n\r\n".encode())
    assert client.get("members", params={"campaign": "Ventas->"}, headers=as_(server.token)).status_code == 200
