"""A refused request leaves nothing behind that only the garbage collector would find: its body would stay with it.

An idle process collects no garbage; 16 MiB of each refused body were still there minutes later.
"""

import asyncio
import gc
import json
import os
from collections.abc import Iterator
from types import FrameType
from urllib.parse import quote_plus

import pytest

from plantel.http.request import Request
from tests.support.door import ADD, FORM, Door, item, make_door

JSON = "application/json"
REFUSED = {
    "large, no such field": (ADD, FORM, b"&" * 70_000),
    "small, no such field": (ADD, FORM, b"&" * 90),
    "large, no members": (ADD, FORM, b"queuemember=[" + b"1," * 40_000 + b"1]"),
    "large, not JSON": (ADD, FORM, b'queuemember=[{"penalty": ' + b"1" * 70_000 + b"}]"),
    "one bad item": (ADD, FORM, b"queuemember=" + quote_plus(json.dumps([item(penalty="x")])).encode()),
    "the API, not JSON": ("/api/v1/members", JSON, b'[{"penalty": ' + b"1" * 70_000 + b"}]"),
    "the API, one bad item": ("/api/v1/members", JSON, json.dumps([item(penalty="x")]).encode()),
    "the API, nobody there": (
        "/api/v1/members/remove",
        JSON,
        json.dumps({"campaign": "Ventas->", "agents": [f"{n}" for n in range(5_000)]}).encode(),
    ),
    "too large": (ADD, FORM, b"&" * (2**20 + 1)),
}

pytestmark = pytest.mark.anyio


@pytest.fixture
def kept_garbage() -> Iterator[list[object]]:
    """Nothing is collected but at the test's word; what is then found is here."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


async def only_these(tasks: set[asyncio.Task[object]]) -> None:
    """What was cancelled ends in the next turns, what is in a thread a little later."""
    async with asyncio.timeout(10):
        while not asyncio.all_tasks() <= tasks:  # noqa: ASYNC110  # nothing tells of the end of all of them
            await asyncio.sleep(0.005)


def is_ours(thing: object) -> bool:
    """Whether it is a request, or the frame of a function of Plantel's, where a body may be."""
    if isinstance(thing, FrameType):
        return f"{os.sep}src{os.sep}plantel{os.sep}" in thing.f_code.co_filename
    return isinstance(thing, Request)


async def refused(door: Door, token: str, path: str, kind: str, body: bytes) -> int:
    headers = {"content-type": kind, "authorization": f"Basic {token}"}
    before = asyncio.all_tasks()
    answer = await door.call("POST", path, headers=headers, body=body)
    await only_these(before)
    return answer.status if answer.body != b"1" else 0


@pytest.mark.parametrize(("path", "kind", "body"), REFUSED.values(), ids=REFUSED)
async def test_a_refusal_leaves_no_garbage(kept_garbage: list[object], path: str, kind: str, body: bytes) -> None:
    door = make_door()
    token = await door.token()
    await door.declare("Ventas->")
    assert await refused(door, token, path, kind, body)  # the first of its kind also makes what stays
    gc.collect()
    kept_garbage.clear()
    assert await refused(door, token, path, kind, body)
    gc.collect()
    assert not [one for one in kept_garbage if is_ours(one)]
