"""Both clients against a server that means ill: each call ends in time, in bounded memory, with an error of its own."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from plantel import errors
from plantel.client import Member, Retry
from plantel.client.wire import ANSWER_BYTES
from plantel.testing.integra_server import IntegraServer, Raw, Status
from tests.support.integra_faces import KINDS, Kind, face, scripted_server

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("kind", KINDS)]

ONCE = Retry(tries=1, timeout=20, deadline=30)
HASTY = Retry(tries=1, timeout=0.5, deadline=30)
ANA = Member("Ventas->", "Ana", "SIP/1")
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[IntegraServer]:
    with scripted_server(tmp_path) as running:
        yield running


@pytest.mark.parametrize(
    "reaction",
    [
        Raw(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", 0.02),
        Raw(OK, b"X", 0.02),
        Raw(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.02),
    ],
    ids=["hints", "headers", "chunks"],
)
async def test_what_drips_is_cut_off_as_a_whole(kind: Kind, server: IntegraServer, reaction: Raw) -> None:
    """No single wait is longer than a moment, so only a deadline for all of it ends this."""
    server.reactions.append(reaction)
    async with face(kind, server, retry=HASTY) as integra:
        with pytest.raises(errors.ServerUnavailable, match="within"):
            await integra.add([ANA])


async def test_headers_without_end(kind: Kind, server: IntegraServer) -> None:
    server.reactions.append(Raw(OK, b"X-More: of this\r\n" * 1000))
    async with face(kind, server, retry=ONCE) as integra:
        with pytest.raises(errors.ServerUnavailable):
            await integra.add([ANA])


async def test_an_answer_without_end(kind: Kind, server: IntegraServer) -> None:
    server.reactions.append(Raw(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b"1" * 1024 + b"\r\n"))
    async with face(kind, server, retry=ONCE) as integra:
        with pytest.raises(errors.AnswerUnexpected, match=f"more than {ANSWER_BYTES} bytes"):
            await integra.add([ANA])


@pytest.mark.parametrize("plain", [b"1", b"1" * 20_000_000], ids=["one", "bomb"])
async def test_what_is_compressed_stays_so(kind: Kind, server: IntegraServer, plain: bytes) -> None:
    packed = gzip.compress(plain)
    server.reactions.append(Status(200, {"Content-Encoding": "gzip"}, packed))
    async with face(kind, server, retry=ONCE) as integra:
        with pytest.raises(errors.AnswerUnexpected, match=rf"\({len(packed)} bytes"):
            await integra.add([ANA])


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 30_000,
        b'{"a":' * 30_000,
        b"[1,2,3]",
        b"[[]]",
        b"[null]",
        b'{"membername": "Ana"}',
        b'"\\ud800"',
        b"\xff\xfe",
        b'[{"membername":"Ana","queueName":"V","interface1":"' + b"x" * 50_000 + b'","penalty":0,"paused":0}]',
        b'[{"membername":"Ana","queueName":"V","interface1":"SIP/1","penalty":1' + b"0" * 5000 + b',"paused":0}]',
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_members_that_are_none(kind: Kind, server: IntegraServer, body: bytes) -> None:
    server.reactions.append(Status(200, body=body))
    async with face(kind, server, retry=ONCE) as integra:
        with pytest.raises(errors.AnswerUnexpected) as caught:
            await integra.members_of("Ventas->")
        assert len(str(caught.value)) < 1000
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["Plantel-Reason", "Plantel-Code", "Plantel-Batch", "Location", "Content-Type"])
@pytest.mark.parametrize("status", [200, 401, 307, 418])
async def test_what_a_server_says_does_not_write_on_the_terminal(
    kind: Kind, server: IntegraServer, status: int, name: str
) -> None:
    server.reactions.append(Status(status, {name: "item 1: \\u001b[2J\\u009b\\ud800\\u202e \xe9\x9b" + "x" * 5000}))
    async with face(kind, server, retry=ONCE) as integra:
        with pytest.raises(errors.ClientError) as caught:
            await integra.add([ANA])
        assert caught.value.say("es").isprintable()
        assert len(str(caught.value)) < 1500
        str(caught.value.params).encode()


@pytest.mark.parametrize("value", ["999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_a_wait_without_end_is_not_begun(kind: Kind, server: IntegraServer, value: str) -> None:
    server.reactions.append(Status(503, {"Retry-After": value}))
    async with face(kind, server, retry=Retry(tries=3, first=0, longest=0)) as integra:
        with pytest.raises(errors.ServerUnavailable) as caught:
            await integra.add([ANA])
    assert caught.value.params["retry_after"] > 10**8
    assert len(server.received) == 1


@pytest.mark.parametrize(
    "value", ["9" * 5000, "-1", "1e9", "nan", "Fri, 99 Dec 9999", "x" * 5000, "Mon, 01 Jan 0001 00:00"]
)
async def test_a_wait_that_says_nothing_is_none(kind: Kind, server: IntegraServer, value: str) -> None:
    server.reactions.append(Status(503, {"Retry-After": value}))
    async with face(kind, server, retry=Retry(tries=2, first=0, longest=0)) as integra:
        await integra.add([ANA])
    assert len(server.received) == 2


@pytest.mark.parametrize(
    "head",
    [
        b"\x00" * 100,
        b"HTTP/1.1 200",
        b"HTTP/1.1 99999 x\r\n\r\n",
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"\x1b[2J\xff\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n1",
        OK + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n1",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n1",
        OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n1",
        OK + b"Transfer-Encoding: x\r\n\r\n1",
        OK + b"X\x00: 1\r\n\r\n1",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n1",
        b"HTTP/1.1 204 No Content\r\n\r\n1",
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
    ],
)
async def test_what_is_not_http_ends_with_a_name(kind: Kind, server: IntegraServer, head: bytes) -> None:
    server.reactions.append(Raw(head))
    async with face(kind, server, retry=ONCE) as integra:
        with pytest.raises(errors.ClientError) as caught:
            await integra.add([ANA])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


async def test_cookies_do_not_pile_up(kind: Kind, server: IntegraServer) -> None:
    cookies = b"".join(b"Set-Cookie: c%d=%b\r\n" % (number, b"x" * 500) for number in range(100))
    server.reactions.append(Raw(OK + cookies + b"Content-Length: 1\r\n\r\n1"))
    server.reactions.append(Raw(OK + b"Set-Cookie: route=n1\r\nContent-Length: 1\r\n\r\n1"))
    async with face(kind, server, retry=ONCE) as integra:
        for _ in range(3):
            await integra.add([ANA])
    assert [each.headers.get("cookie") for each in server.received] == [None, None, "route=n1"]


async def test_another_host_is_told_nothing(kind: Kind, server: IntegraServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with scripted_server(tmp_path / "other") as other:
        server.reactions += [Status(code, {"Location": f"{other.url}/Integra"}) for code in (301, 302, 303, 307, 308)]
        async with face(kind, server, retry=ONCE) as integra:
            for _ in range(5):
                with pytest.raises(errors.AnswerRedirected):
                    await integra.add([ANA])
        assert other.received == []
