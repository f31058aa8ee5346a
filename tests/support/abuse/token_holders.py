"""What the holder of any token of any instance can do to everybody else."""

import asyncio
import base64
import json
from collections.abc import Mapping
from urllib.parse import quote, quote_plus

from tests.support.abuse.attack import ALIKE, LARGE, LARGE_SIZE, MIB, MINE, Attack, Attacker, Send, push
from tests.support.abuse.http1 import ADD, API, JSON, MEMBERS, request
from tests.support.abuse.strangers import HUGE, PACKED, asking, large

NOT_ALLOWED = frozenset({0, 403, 413})
REFUSED = frozenset({0, 200, 400, 413})
"""Of the published call, 200 is `0`."""


def item(name: str, campaign: str = MINE, **values: object) -> Mapping[str, object]:
    phone = f"SIP/{name}"
    return {"membername": name, "queueName": campaign, "interface1": phone, "penalty": "0", "paused": "0", **values}


def form(items: object) -> bytes:
    return b"queuemember=" + quote_plus(json.dumps(items)).encode()


def adding(raw: bytes) -> Send:
    """The published call with this body."""
    return asking(lambda a: request("POST", ADD, raw, token=a.token, host=a.host))


def posting(path: str, raw: bytes) -> Send:
    """The API with this body."""
    return asking(lambda a: request("POST", API + path, raw, token=a.token, host=a.host, kind=JSON))


def reading(path: str) -> Send:
    return asking(lambda a: request("GET", API + path, token=a.token, host=a.host))


async def large_batches(attacker: Attacker) -> None:
    """5,000 members, each time others."""
    run = next(attacker.count)
    items = [item(f"a{run % 5}-{n}", LARGE, penalty=run) for n in range(LARGE_SIZE)]
    await attacker.ask(request("POST", ADD, form(items), token=attacker.token, host=attacker.host))


async def refused_then_listed(attacker: Attacker) -> None:
    """What is stored of refused batches is read by whoever lists them."""
    ones = b"queuemember=[" + b"1," * 20_000 + b"1]"
    await attacker.ask(request("POST", ADD, ones, token=attacker.token, host=attacker.host))
    await attacker.ask(request("GET", f"{API}batches?limit=1000", token=attacker.token, host=attacker.host))


async def slow_readers(attacker: Attacker) -> None:
    """Large answers, asked for on 50 connections, and none is read."""
    for _ in range(50):
        reader, writer = await attacker.connect()
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        path = f"{MEMBERS}?queue={LARGE}"
        await push(writer, request("POST", path, token=attacker.token, host=attacker.host) * 20)
    await asyncio.sleep(3600)


def spelled_otherwise(attacker: Attacker) -> bytes:
    """The same token, in a header that nobody has sent before."""
    blanks = " " * (next(attacker.count) % 30_000)
    return request(
        "POST",
        f"{MEMBERS}?queue={MINE}",
        host=attacker.host,
        headers={"Authorization": f"Basic {blanks}{attacker.token}"},
    )


def wrapped_otherwise(attacker: Attacker) -> bytes:
    """The same token, wrapped once more behind a made-up name."""
    name = base64.b64decode(attacker.token).partition(b":")[0]
    inner = base64.b64encode(name + b":" + attacker.token.encode())
    return request("POST", f"{MEMBERS}?queue={MINE}", token=inner.decode(), host=attacker.host)


def new_names(size: int) -> Send:
    return asking(lambda a: request("POST", f"{MEMBERS}?queue={next(a.count)}{'q' * size}", token=a.token, host=a.host))


def long_agents(attacker: Attacker) -> bytes:
    """16 names of 60 KiB that nobody has, to be taken out of a campaign."""
    run = next(attacker.count)
    agents = [f"{run}-{n}{'z' * 60_000}" for n in range(16)]
    body = json.dumps({"campaign": MINE, "agents": agents}).encode()
    return request("POST", f"{API}members/remove", body, token=attacker.token, kind=JSON)


def many_agents(attacker: Attacker) -> bytes:
    body = json.dumps({"campaign": MINE, "agents": [f"{n}" for n in range(200_000)]}).encode()
    return request("POST", f"{API}members/remove", body, token=attacker.token, kind=JSON)


ONES = b"queuemember=[" + b"1," * (HUGE // 2 - 10) + b"1]"
SMALL_ONES = b"queuemember=[" + b"1," * MIB + b"1]"
ALL_ONE_PHONE = form([item(f"x{n}", interface1="SIP/1") for n in range(20_000)])
DEEP = b"queuemember=" + b"[" * 100_000
WIDE = b'queuemember=[{"a":' + b'{"a":' * 30_000

ATTACKS = (
    # H4
    Attack("16 MiB of ones, of a reader", "reader", adding(ONES), right=NOT_ALLOWED),
    Attack("16 MiB of ones, of a reader, API", "reader", posting("members", ONES[12:]), right=NOT_ALLOWED),
    Attack("2 MiB of ones", "integrator", adding(SMALL_ONES), right=REFUSED, memory=384),
    Attack(
        "2 MiB of ones, API", "integrator", posting("members", SMALL_ONES[12:]), right=REFUSED, memory=384, rare=True
    ),
    Attack(
        "2 MiB of ones, of another instance",
        "admin of another instance",
        adding(SMALL_ONES),
        right=REFUSED,
        memory=384,
        rare=True,
    ),
    Attack("refused batches, and the list of them", "integrator", refused_then_listed, memory=384),
    Attack("20,000 members at one phone", "integrator", adding(ALL_ONE_PHONE), right=REFUSED, memory=384),
    # C1 with a token
    Attack("60,000 & to be added", "integrator", large(ADD, b"&", 60_000), side=8, rare=True),
    Attack("60,000 % to be added", "integrator", large(ADD, b"%", 60_000), side=8),
    Attack("60,000 %71& to be added", "integrator", large(ADD, b"%71&", 60_000), side=8, rare=True),
    Attack("16 MiB of & to be added", "integrator", large(ADD, b"&"), right=REFUSED, memory=384),
    Attack("16 MiB of % as a queue", "reader", large(MEMBERS, b"%"), right=frozenset({0, 413})),
    Attack(
        "60,000 % as a queue",
        "reader",
        asking(lambda a: request("POST", f"{MEMBERS}?queue={'%25%' * 15_000}", token=a.token)),
        side=8,
    ),
    Attack(
        "a body that grows a thousandfold when unpacked",
        "integrator",
        asking(lambda a: request("POST", ADD, PACKED, token=a.token, headers={"Content-Encoding": "gzip"})),
        memory=384,
    ),
    # deep, long, odd
    Attack("100,000 brackets", "integrator", adding(DEEP), right=REFUSED, rare=True),
    Attack("100,000 brackets, API", "integrator", posting("members", DEEP[12:]), right=REFUSED),
    Attack("objects in objects", "integrator", adding(WIDE), right=REFUSED, rare=True),
    Attack("objects in objects, API", "integrator", posting("members", WIDE[12:]), right=REFUSED, rare=True),
    Attack("a penalty of a million zeros", "integrator", adding(form([item("a", penalty="0" * MIB)])), right=REFUSED),
    Attack(
        "a penalty of 4,301 zeros, API",
        "integrator",
        posting("members", json.dumps([item("a", penalty="0" * 4301)]).encode()),
        right=REFUSED,
    ),
    Attack(
        "a penalty of a million digits",
        "integrator",
        adding(b'queuemember=[{"penalty": ' + b"1" * MIB + b"}]"),
        right=REFUSED,
        rare=True,
    ),
    Attack(
        "a penalty of a million digits, API",
        "integrator",
        posting("members", b'[{"penalty": ' + b"1" * MIB + b"}]"),
        right=REFUSED,
        rare=True,
    ),
    Attack("a name of 8 MiB", "integrator", adding(form([item("n" * (8 * MIB))])), right=REFUSED, memory=384),
    Attack(
        "half a surrogate pair", "integrator", adding(b'queuemember=[{"membername": "\\ud800"}]'), right=REFUSED, side=4
    ),
    # M5: what is kept by name
    Attack("new queue names of 50 KiB", "reader", new_names(50_000), side=8),
    Attack("agents with names of 60 KiB", "integrator", asking(long_agents)),
    Attack("200,000 agents to be taken out", "integrator", asking(many_agents), memory=384),
    Attack("a token in ever new spellings", "reader", asking(spelled_otherwise), side=8),
    Attack("a token wrapped once more", "reader", asking(wrapped_otherwise), side=8, rare=True),
    # M6, L3, and reading in general
    Attack("why, four at a time", "reader", reading(f"why?agent=alike&campaign={ALIKE}"), side=4),
    Attack(
        "why, with a name of 60 KiB",
        "reader",
        asking(lambda a: request("GET", f"{API}why?agent={'a' * 60_000}", token=a.token)),
        side=4,
        rare=True,
    ),
    Attack("the large campaign, eight at a time", "reader", reading(f"members?campaign={LARGE}"), side=8, memory=384),
    Attack(
        "the large campaign, by the published call",
        "reader",
        asking(lambda a: request("POST", f"{MEMBERS}?queue={LARGE}", token=a.token)),
        side=8,
        rare=True,
    ),
    Attack(
        "the large campaign as it was",
        "reader",
        reading(f"members?campaign={LARGE}&at=2099-01-01T00:00:00Z"),
        side=8,
        memory=384,
    ),
    Attack(
        "the large campaign as it was, of a foreigner",
        "admin of one campaign",
        reading(f"members?campaign={LARGE}&at=2099-01-01T00:00:00Z"),
        side=8,
        memory=384,
        rare=True,
    ),
    Attack("the journal", "reader", reading("journal?limit=1000"), side=8, rare=True),
    Attack("the batches", "reader", reading("batches?limit=1000"), side=8),
    Attack("answers of the large campaign that nobody reads", "reader", slow_readers, side=1),
    # work of the ordinary kind, too much of it
    Attack("large batches side by side", "integrator", large_batches, side=4, memory=384),
    Attack(
        "large batches side by side, of another instance",
        "admin of another instance",
        large_batches,
        side=4,
        memory=384,
        rare=True,
    ),
    Attack(
        "declared campaigns without end",
        "admin of another instance",
        asking(
            lambda a: request(
                "POST",
                f"{API}campaigns",
                json.dumps({"name": f"c-{next(a.count)}-{quote(a.token[-6:])}"}).encode(),
                token=a.token,
                host=a.host,
                kind=JSON,
            )
        ),
        side=8,
    ),
)
