"""ASGI applications behind the door: what they are told, and how their answers go out."""

import asyncio

import pytest

from plantel import errors
from plantel.http.bridge import App, Bridge, Message, Receive, Scope, Send
from plantel.http.request import Request
from tests.support import rsgi

pytestmark = pytest.mark.anyio

TWICE = (("x-twice", "1"), ("x-twice", "2"))


async def through(app: App, exchange: rsgi.Exchange, size: int = 6) -> rsgi.Answer:
    """What `app` answers to a POST of /é?q=é over HTTP/2, where the name of the host is no header."""
    scope = rsgi.Scope("POST", "/é", "q=é", [("content-length", str(size)), *TWICE], "[2001:db8::7]:40000", "2")
    scope.authority = "plantel.example.com"
    request = Request(scope, exchange)
    request.added = (("x-added", "yes"),)
    await Bridge(app, seconds=5)(request, {"who": "tests"}, 10)
    return exchange.answer


async def test_the_scope_says_what_was_asked() -> None:
    told: list[Scope] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        told.append(scope)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    answer = await through(app, rsgi.Exchange())
    (scope,) = told
    assert {
        "type": "http",
        "http_version": "2",
        "method": "POST",
        "path": "/é",
        "query_string": "q=é".encode(),
        "client": ("2001:db8::7", 40000),
        "server": ("127.0.0.1", 80),
        "state": {"who": "tests"},
    }.items() <= scope.items()
    assert scope["headers"] == [
        (b"content-length", b"6"),
        *((name.encode(), value.encode()) for name, value in TWICE),
        (b"host", b"plantel.example.com"),
    ]
    assert (answer.status, answer.body, answer.headers["x-added"]) == (204, b"", "yes")


async def test_the_body_comes_whole_and_the_disconnection_when_it_happens() -> None:
    exchange = rsgi.Exchange([b"abc", b"def"])
    told: list[Message] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        told.append(await receive())
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        exchange.disconnected.set()
        told.append(await waiting)
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"late"})

    await through(app, exchange)
    assert told == [{"type": "http.request", "body": b"abcdef", "more_body": False}, {"type": "http.disconnect"}]


async def test_sending_to_nobody_is_an_error_that_asgi_knows() -> None:
    exchange = rsgi.Exchange()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        exchange.disconnected.set()
        await send({"type": "http.response.body", "body": b"two", "more_body": True})

    with pytest.raises(ConnectionResetError):
        await through(app, exchange)
    assert exchange.answer.chunks == (b"one",)


async def test_a_body_that_broke_off_or_is_too_large_is_an_error_in_the_application() -> None:
    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()

    with pytest.raises(errors.BodyTooLate):
        await through(app, rsgi.Exchange([b"abc", rsgi.Cut(9)]))
    with pytest.raises(errors.BodyTooLarge):
        await through(app, rsgi.Exchange(), size=11)


async def test_an_answer_in_one_piece_goes_out_whole() -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 201, "headers": [(b"Content-Type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"whole"})

    answer = await through(app, rsgi.Exchange())
    assert (answer.status, answer.body, answer.chunks) == (201, b"whole", ())
    assert (answer.headers["content-type"], answer.headers["content-length"]) == ("text/plain", "5")


async def test_an_answer_in_pieces_goes_out_as_they_come() -> None:
    exchange = rsgi.Exchange()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        assert exchange.answer.chunks == (b"one",)
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    answer = await through(app, exchange)
    assert (answer.chunks, answer.headers["x-added"]) == ((b"one", b"two"), "yes")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize(("method", "done"), [("GET", False), ("POST", True)])
async def test_what_is_asked_is_dropped_when_the_client_hangs_up_and_what_is_done_is_not(
    method: str, done: bool
) -> None:
    ended: list[bool] = []
    go = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        finished = False
        try:
            exchange.disconnected.set()
            if done:
                asyncio.get_running_loop().call_soon(go.set)
            await go.wait()
            finished = True
        finally:
            ended.append(finished)

    exchange = rsgi.Exchange()
    request = Request(rsgi.Scope(method, "/", headers=[("content-length", "0")]), exchange)
    await asyncio.wait_for(Bridge(app, seconds=5)(request, {}, 10), 30)
    await asyncio.sleep(0)
    assert ended == [done]


@pytest.mark.parametrize("waits", [False, True])
async def test_a_refusal_gets_through_since_the_body_is_taken_first(waits: bool) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    exchange = rsgi.Exchange([b"abc", b"def"])
    fields = [("content-length", "6"), *([("expect", "100-continue")] if waits else [])]
    await Bridge(app, seconds=5)(Request(rsgi.Scope("POST", "/", headers=fields), exchange), {}, 10)
    left = list(exchange._pieces)
    # who waits to be told to go on has sent nothing, and must not begin with another request there
    assert (exchange.answer.headers.get("connection"), left) == (
        ("close", [b"abc", b"def", b""]) if waits else (None, [])
    )
