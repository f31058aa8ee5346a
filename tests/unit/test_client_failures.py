"""Both clients against a server and a network that fail: what is tried again, what is not, and what is said of it."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from plantel import errors
from plantel.client import Member, Retry, Stored
from plantel.testing.integra_server import IntegraServer, Lose, Reaction, Silence, Status, Trickle
from tests.support.integra_faces import KINDS, Kind, face, scripted_server

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", KINDS)]

AT_ONCE = Retry(tries=3, first=0, longest=0, timeout=5, deadline=30)
ANA = Member("Ventas->", "Ana", "SIP/1")
ADD = "/Integra/resources/queues/addqueuemember"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IntegraServer]:
    with scripted_server(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    "reaction",
    [
        Lose(done=True),
        Lose(done=False),
        Status(408),
        Status(429, {"Retry-After": "0"}),
        Status(502),
        Status(503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
        Status(504),
    ],
    ids=str,
)
async def test_what_tells_nothing_of_the_batch_is_tried_again(
    kind: Kind, server: IntegraServer, reaction: Reaction
) -> None:
    server.reactions += [reaction, reaction]
    async with face(kind, server, retry=AT_ONCE) as integra:
        await integra.add([ANA])
    assert [each["membername"] for each in server.members("Ventas->")] == ["Ana"]
    assert len(server.received) == 3
    assert len({each.body for each in server.received}) == 1


@pytest.mark.parametrize("reaction", [Lose(done=False), Status(503), Status(429)], ids=str)
async def test_tries_are_bounded(kind: Kind, server: IntegraServer, reaction: Reaction) -> None:
    server.reactions += [reaction] * 10
    async with face(kind, server, retry=AT_ONCE) as integra:
        with pytest.raises(errors.ServerUnavailable) as caught:
            await integra.add([ANA])
    assert caught.value.params["tries"] == 3
    assert len(server.received) == 3
    assert (caught.value.stored, caught.value.tried) == (0, 1)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (200, errors.ServerRefused),
        (401, errors.CredentialsRefused),
        (403, errors.RightRefused),
        (413, errors.RequestTooLarge),
        (400, errors.AnswerUnexpected),
        (404, errors.AnswerUnexpected),
        (500, errors.AnswerUnexpected),
    ],
)
async def test_a_verdict_is_not_asked_for_again(
    kind: Kind, server: IntegraServer, status: int, error: type[errors.ClientError]
) -> None:
    server.reactions.append(Status(status))
    async with face(kind, server, retry=AT_ONCE) as integra:
        with pytest.raises(error) as caught:
            await integra.add([ANA])
    assert type(caught.value) is error
    assert [each.path for each in server.received] == [ADD]
    assert server.members("Ventas->") == []


async def test_a_wait_longer_than_the_deadline_is_not_begun(kind: Kind, server: IntegraServer) -> None:
    server.reactions.append(Status(503, {"Retry-After": "3600"}))
    async with face(kind, server, retry=AT_ONCE) as integra:
        with pytest.raises(errors.ServerUnavailable) as caught:
            await integra.add([ANA])
    assert caught.value.params["retry_after"] == 3600
    assert len(server.received) == 1


@pytest.mark.parametrize("reaction", [Silence(), Trickle(0.05)], ids=str)
async def test_a_server_that_does_not_come_to_an_end(kind: Kind, server: IntegraServer, reaction: Reaction) -> None:
    server.reactions += [reaction] * 2
    async with face(kind, server, retry=Retry(tries=2, timeout=0.3, first=0, longest=0)) as integra:
        with pytest.raises(errors.ServerUnavailable):
            await integra.add([ANA])
    assert len(server.received) == 2


async def test_nobody_listens(kind: Kind, server: IntegraServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server.url = f"https://127.0.0.1:{taken.getsockname()[1]}"
    async with face(kind, server, retry=AT_ONCE) as integra:
        with pytest.raises(errors.ServerUnavailable) as caught:
            await integra.add([ANA])
    assert caught.value.params["tries"] == 3


async def test_a_redirect_is_not_followed(kind: Kind, server: IntegraServer) -> None:
    server.reactions.append(Status(307, {"Location": "https://elsewhere.example.com/x?token=1"}))
    async with face(kind, server) as integra:
        with pytest.raises(errors.AnswerRedirected) as caught:
            await integra.add([ANA])
    assert caught.value.params == {"location": "https://elsewhere.example.com/x"}
    assert len(server.received) == 1


@pytest.mark.parametrize("body", [b"", b"01", b"10", b'"1"', b"true", b"<html>1</html>", b"\xff"])
async def test_an_answer_is_one_or_zero(kind: Kind, server: IntegraServer, body: bytes) -> None:
    server.reactions.append(Status(200, body=body))
    async with face(kind, server) as integra:
        with pytest.raises(errors.AnswerUnexpected):
            await integra.add([ANA])


async def test_what_plantel_says_of_a_zero(kind: Kind, server: IntegraServer) -> None:
    server.reactions += [
        Status(200, {"Plantel-Batch": "01b", "Plantel-Delivery": "live"}, b"1\n"),
        Status(
            200,
            {
                "Plantel-Batch": "01c",
                "Plantel-Code": "unknown_campaign",
                "Plantel-Reason": r"item 2: queueName: there is no campaign \u00d1and\u00fa \ud83d\ude00 \u001b[2J",
            },
        ),
    ]
    members = [Member("Ventas->", f"a{number}", f"SIP/{number}") for number in range(5)]
    stored: list[Stored] = []
    async with face(kind, server, batch_items=2) as integra:
        with pytest.raises(errors.ServerRefused) as caught:
            await integra.add(members, stored.append)
    error = caught.value
    assert [(each.batch, each.delivery) for each in stored] == [("01b", "live")]
    assert (error.batch, error.reason_code, error.item) == ("01c", "unknown_campaign", 4)
    assert error.reason == "queueName: there is no campaign Ñandú 😀 \\x1b[2J"
    assert error.say("es").startswith("el servidor respondió 0: elemento 4: queueName: ")


async def test_after_a_401_the_next_call_logs_in_anew(kind: Kind, server: IntegraServer) -> None:
    async with face(kind, server, user=server.user, password=server.password) as integra:
        await integra.add([ANA])
        server.tokens.clear()
        with pytest.raises(errors.CredentialsRefused):
            await integra.add([ANA])
        await integra.add([Member("Ventas->", "Eva", "SIP/2")])
    assert sorted(each["membername"] for each in server.members("Ventas->")) == ["Ana", "Eva"]
    assert server.tokens == set()


@pytest.mark.parametrize("body", [b"[]", b"[1, 2, 3]", b'["a", "b", "with blank"]', b'{"token": "x"}', b"hello"])
async def test_a_login_answer_without_a_token(kind: Kind, server: IntegraServer, body: bytes) -> None:
    server.reactions.append(Status(200, body=body))
    async with face(kind, server, user="x", password="y") as integra:
        with pytest.raises(errors.AnswerUnexpected):
            await integra.add([ANA])
    assert len(server.received) == 1


async def test_close_does_not_fail_where_the_session_cannot_be_ended(kind: Kind, server: IntegraServer) -> None:
    async with face(kind, server, user=server.user, password=server.password) as integra:
        await integra.add([ANA])
        server.reactions.append(Lose(done=False))
    assert server.received[-1].path == "/Integra/resources/auth/EndSession"
    assert len(server.received) == 3


async def test_the_token_and_the_password_are_nowhere_to_be_read(
    kind: Kind, server: IntegraServer, caplog: pytest.LogCaptureFixture
) -> None:
    secrets = [server.token, server.password]
    with caplog.at_level(logging.DEBUG):
        async with face(kind, server, user=server.user, password=server.password) as integra:
            await integra.add([ANA])
            seen = [repr(integra.client), repr(vars(integra.client))]
            secrets += server.tokens
            server.reactions += [Status(200, body=each.encode()) for each in secrets]
            for _ in secrets:
                with pytest.raises(errors.AnswerUnexpected) as caught:
                    await integra.add([ANA])
                seen += [str(caught.value), repr(caught.value), caught.value.say("es")]
    assert "httpcore" in {record.name.partition(".")[0] for record in caplog.records}
    shown = "\n".join([*seen, *(record.getMessage() for record in caplog.records)])
    assert not [secret for secret in secrets if secret in shown]
