"""A body over RSGI: whole, too large, broken off or never there, by either HTTP and whether announced or not."""

import asyncio

import pytest

from plantel import errors
from plantel.http.request import ClientGone, Request
from tests.support.rsgi import Cut, Exchange, Scope

pytestmark = pytest.mark.anyio

LIMIT = 100
ENDLESS = 1000
"""Of HTTP/2 a body that broke off goes on with empty pieces without end."""


def request(*pieces: bytes | Cut, http: str = "1.1", announced: int | None = None, expect: str = "") -> Request:
    fields = [("content-length", str(announced))] if announced is not None else []
    if expect:
        fields.append(("expect", expect))
    return Request(Scope("POST", "/", headers=fields, http_version=http), Exchange(pieces))


async def body(asked: Request) -> bytes:
    return bytes(await asked.body(LIMIT, 5))


@pytest.mark.parametrize("http", ["1", "1.1", "2"])
@pytest.mark.parametrize("pieces", [[], [b"abc"], [b"abc", b"def"]])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_is_read_whole(http: str, pieces: list[bytes], announced: bool) -> None:
    whole = b"".join(pieces)
    assert await body(request(*pieces, http=http, announced=len(whole) if announced else None)) == whole


async def test_an_empty_frame_or_trailers_may_end_a_body_of_http_2() -> None:
    assert await body(request(b"abc", b"", http="2")) == b"abc"


@pytest.mark.parametrize(("http", "empties"), [("1", 2), ("1.1", 2), ("2", ENDLESS)])
@pytest.mark.parametrize("announced", [4, None])
@pytest.mark.parametrize("pieces", [[], [b"a", b"bc"]])
async def test_a_body_that_broke_off_is_never_taken_for_whole(
    http: str, empties: int, announced: int | None, pieces: list[bytes]
) -> None:
    with pytest.raises(errors.BodyTooLate) as refusal:
        await body(request(*pieces, Cut(empties), http=http, announced=announced))
    assert refusal.value.params["received"] == len(b"".join(pieces))


async def test_a_body_that_ends_before_its_announced_size_is_never_taken_for_whole() -> None:
    with pytest.raises(errors.BodyTooLate):
        await body(request(b"abc", announced=4))


@pytest.mark.parametrize(("pieces", "announced"), [([], LIMIT + 1), ([b"x" * LIMIT, b"x"], None)])
async def test_a_body_beyond_the_limit_is_too_large(pieces: list[bytes], announced: int | None) -> None:
    with pytest.raises(errors.BodyTooLarge):
        await body(request(*pieces, announced=announced))


@pytest.mark.parametrize("http", ["1.1", "2"])
async def test_what_is_left_of_a_body_can_be_drained(http: str) -> None:
    asked = request(*[b"x" * LIMIT] * 3, http=http)
    with pytest.raises(errors.BodyTooLarge):
        await body(asked)
    assert await asked.drain()
    assert await request(b"abc", http=http, announced=3).drain()


@pytest.mark.parametrize(("http", "empties"), [("1.1", 2), ("2", ENDLESS)])
async def test_draining_tells_a_body_that_broke_off(http: str, empties: int) -> None:
    assert not await request(b"abc", Cut(empties), http=http).drain()


async def test_nothing_is_drained_that_waits_to_be_asked_for() -> None:
    asked = request(b"abc", expect="100-Continue")
    assert not await asked.drain()
    assert await body(asked) == b"abc"


def test_addresses_are_told_without_ports_and_brackets() -> None:
    for client, address in (("192.0.2.7:1", "192.0.2.7"), ("[2001:db8::7]:65535", "2001:db8::7")):
        asked = Request(Scope("GET", "/", client=client), Exchange())
        assert (asked.peer, asked.address) == (address, address)
        asked.address = "203.0.113.5"
        assert (asked.peer, asked.address) == (address, "203.0.113.5")


async def test_it_is_known_whether_the_whole_body_came_in() -> None:
    for asked in (request(b"abc", announced=3), request(b"abc")):
        assert not asked.read
        await body(asked)
        assert asked.read
    broken = request(b"abc", Cut(2))
    with pytest.raises(errors.BodyTooLate):
        await body(broken)
    assert not broken.read


async def test_work_is_done_while_the_client_is_there() -> None:
    async def work(fails: bool) -> str:
        await asyncio.sleep(0)
        if fails:
            raise errors.ServerBusy
        return "done"

    asked = request()
    assert await asked.while_there(work(fails=False)) == "done"
    with pytest.raises(errors.ServerBusy):
        await asked.while_there(work(fails=True))


async def test_work_is_dropped_when_the_client_is_gone() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    exchange = Exchange()
    waiting = asyncio.create_task(Request(Scope("POST", "/"), exchange).while_there(work()))
    await begun.wait()
    exchange.disconnected.set()
    with pytest.raises(ClientGone):
        await waiting
    await ended.wait()
