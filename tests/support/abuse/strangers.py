"""What anybody can do who reaches the port: no credentials."""

import asyncio
import base64
import gzip
import itertools
import os
import random
from collections.abc import Callable
from urllib.parse import quote

from tests.support.abuse.attack import MIB, Attack, Attacker, Send, push, read_answer
from tests.support.abuse.http1 import (
    ADD,
    API,
    CHUNKED,
    DOCUMENT,
    FORM,
    JSON,
    LOG_IN,
    LOG_OUT,
    MEMBERS,
    chunk,
    request,
)
from tests.support.abuse.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW,
    PING,
    PREFACE,
    PRIORITY,
    RESET,
    SETTINGS,
    WINDOW,
    Http2,
    fields,
    frame,
    open_http2,
    settings,
)

HUGE = 16 * MIB
"""Bytes of the largest body that is taken from anybody."""

PIECES = (b"&", b"%", b"%71&")
"""Each looks harmless, and 16 MiB of it took tens of seconds to be taken apart."""

PACKED = gzip.compress(bytes(HUGE))

ANSWERED_AT_ONCE = frozenset({0, 401, 413, 429})
"""What a large body of a stranger is worth. (0: who is still sending may see the connection end.)"""


def asking(make: Callable[[Attacker], bytes]) -> Send:
    async def send(attacker: Attacker) -> None:
        await attacker.ask(make(attacker))

    return send


def large(path: str, piece: bytes, size: int = HUGE, kind: str = FORM) -> Send:
    """A body of that size, made of `piece`, to a path, with what token there is."""
    return asking(lambda a: request("POST", path, piece * (size // len(piece)), kind=kind, token=a.token, host=a.host))


def in_turn(*sends: Send) -> Send:
    """One after the other, at each time the next."""

    async def send(attacker: Attacker) -> None:
        await sends[next(attacker.count) % len(sends)](attacker)

    return send


def queries(piece: bytes) -> Send:
    """A query of 60,000 bytes, made of `piece`, for the end of a session."""
    return asking(lambda _: request("POST", f"{LOG_OUT}?{piece.decode() * (60_000 // len(piece))}"))


# --- many, and slow ---------------------------------------------------------------------------------------------------


def many(connections: int, begin: bytes, drip: bytes = b"", *, tls: bool = True) -> Send:
    """So many connections, each with the beginning of something and then, twice a second, a `drip` more."""

    async def send(attacker: Attacker) -> None:
        writers: list[asyncio.StreamWriter] = []
        for _ in range(connections):
            try:
                _, writer = await asyncio.wait_for(attacker.connect(tls=tls), 2)
            except (OSError, TimeoutError):
                break  # there is no room for more
            writer.write(begin)
            writers.append(writer)
        while True:
            await asyncio.sleep(0.5)
            for writer in writers:
                if drip and not writer.is_closing():
                    writer.write(drip)

    return send


async def half_bodies(attacker: Attacker) -> None:
    for _ in range(20):
        _, writer = await attacker.connect()
        await push(writer, request("POST", LOG_IN, b"user=ana&password=" + b"x" * 4000, length=8000))
        attacker.leave(writer)


async def reads_nothing(attacker: Attacker) -> None:
    """Thousands of requests on one connection, and not one answer is read."""
    reader, writer = await attacker.connect()
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    try:
        await asyncio.wait_for(push(writer, request("GET", DOCUMENT) * 5000), 1)
    except TimeoutError:
        await asyncio.sleep(3600)


async def pipelined(attacker: Attacker) -> None:
    reader, writer = await attacker.connect()
    sending = asyncio.ensure_future(push(writer, request("GET", "/health") * 500))
    for _ in range(500):
        attacker.note((await read_answer(reader))[0])
    await sending
    attacker.leave(writer)


async def tls_garbage(attacker: Attacker) -> None:
    for begin in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"", b"GET / HTTP/1.1\r\n\r\n", b"\x15\x03\x01"):
        _, writer = await attacker.connect(tls=False)
        await push(writer, begin + random.randbytes(2000))
        attacker.leave(writer)


async def handshakes(attacker: Attacker) -> None:
    """A handshake costs the server more than the client."""
    _, writer = await attacker.connect()
    attacker.leave(writer)


# --- credentials ------------------------------------------------------------------------------------------------------


def log_in(user: str, password: str) -> bytes:
    return request("POST", LOG_IN, f"user={quote(user)}&password={quote(password)}".encode())


async def many_log_ins(attacker: Attacker) -> None:
    """Of users that do not exist, 100 at a time, from as many addresses."""
    addresses = itertools.cycle(f"127.0.1.{number}" for number in range(1, 101))
    run = next(attacker.count)
    asked = (attacker.ask(log_in(f"nobody-{run}-{n}", "a long password"), address=next(addresses)) for n in range(100))
    await asyncio.gather(*asked)


async def log_ins_that_hang_up(attacker: Attacker) -> None:
    for _ in range(50):
        _, writer = await attacker.connect()
        await push(writer, log_in(f"nobody-{next(attacker.count)}", "a long password"))
        attacker.leave(writer)
    await asyncio.sleep(0.2)


def long_names(size: int) -> Send:
    return asking(lambda a: log_in(f"{next(a.count)}" + "x" * size, "password"))


def made_up_token(attacker: Attacker) -> bytes:
    name = f"{next(attacker.count)}" + "x" * 30_000
    return request("POST", ADD, token=base64.b64encode(f"{name}:secret".encode()).decode())


def many_names_in_one(attacker: Attacker) -> bytes:
    return request("POST", LOG_OUT, f"user={next(attacker.count)}{'y' * 7000}&token=x".encode())


# --- HTTP/2 -----------------------------------------------------------------------------------------------------------


def http2(
    repeat: Callable[[Http2], list[bytes]], *, pause: float = 0.0, pairs: tuple[tuple[int, int], ...] = ()
) -> Send:
    """One connection, on which what `repeat` makes is sent again and again until the server ends it."""

    async def send(attacker: Attacker) -> None:
        connection = await open_http2(attacker, *pairs)
        try:
            while True:
                await connection.send(*repeat(connection))
                await asyncio.sleep(pause)
        finally:
            connection.close()
            attacker.leave(connection.writer)

    return send


def rapid_reset(connection: Http2) -> list[bytes]:
    frames = []
    for _ in range(100):
        begin = connection.ask(fields("GET", DOCUMENT))
        frames += [begin, frame(RESET, 0, int.from_bytes(begin[5:9]), (8).to_bytes(4))]
    return frames


def many_streams(connection: Http2) -> list[bytes]:
    return [connection.ask(fields("POST", ADD), end=False) for _ in range(100)]


def empty_pieces(connection: Http2) -> list[bytes]:
    begin = connection.ask(fields("POST", ADD, ("content-type", FORM)), end=False)
    return [begin, frame(DATA, 0, int.from_bytes(begin[5:9])) * 5000]


def headers_without_end(connection: Http2) -> list[bytes]:
    """CVE-2024-27316: a header list that goes on in CONTINUATION frames for ever."""
    stream = connection.next_stream()
    piece = b"".join(b"\x00\x04x%03d\x40" % n + b"v" * 64 for n in range(100))
    return [
        frame(HEADERS, 0, stream, connection.block(fields("GET", "/"))),
        frame(CONTINUATION, 0, stream, piece) * 500,
    ]


def referred_headers(connection: Http2) -> list[bytes]:
    """One header of 3,900 bytes, then a byte for each time that it is meant once more: 15 MiB in 4 KB (M3)."""
    first = connection.ask(fields("GET", "/", ("x-big", "v" * 3900)))
    newest = connection.block([("x-big", "v" * 3900)])  # by now one byte
    again = connection.block(fields("GET", "/")) + newest * 4_000
    end = END_HEADERS | END_STREAM
    return [first, *(frame(HEADERS, end, connection.next_stream(), again) for _ in range(20))]


async def closed_window(attacker: Attacker) -> None:
    """M2: the server may send nothing of all the answers that it makes."""
    connections = [await open_http2(attacker, (INITIAL_WINDOW, 0)) for _ in range(10)]
    for connection in connections:
        await connection.send(*(connection.ask(fields("GET", DOCUMENT)) for _ in range(200)))
    await asyncio.sleep(3600)


async def idle_http2(attacker: Attacker) -> None:
    for _ in range(100):
        await open_http2(attacker)
    await asyncio.sleep(3600)


async def half_a_preface(attacker: Attacker) -> None:
    for _ in range(100):
        _, writer = await attacker.connect(alpn="h2")
        await push(writer, PREFACE[:10])
    await asyncio.sleep(3600)


async def garbage_frames(attacker: Attacker) -> None:
    connection = await open_http2(attacker)
    try:
        while True:
            kind, flags, stream = random.randrange(256), random.randrange(256), random.randrange(64)
            await connection.send(frame(kind, flags, stream, os.urandom(random.randrange(200))))
            await asyncio.sleep(0)
    finally:
        connection.close()
        attacker.leave(connection.writer)


# --- chunks -----------------------------------------------------------------------------------------------------------

CHUNK_ODDITIES = (
    chunk(b"x") * 200_000,  # one byte in each chunk
    b"5;" + b"x" * MIB,  # an extension without end
    b"1;a=b\r\nx\r\n" * 100_000,  # extensions on each chunk
    b"0" * MIB,  # a size with zeros without end
    b"f" * 40 + b"\r\n" + b"x" * 1000,  # a size beyond any number
    b"-5\r\nhello\r\n",  # a negative size
    b"\r\n\r\n\r\n",  # no size
    chunk(b"user=a") + b"0\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(100_000)),  # trailers without end
)


def chunks(body: bytes) -> Send:
    return asking(lambda _: request("POST", LOG_IN, body, headers=CHUNKED, length=None))


ATTACKS = (
    # C1: taken apart on the loop
    *(
        Attack(f"{what} of 16 MiB", "stranger", in_turn(*(large(path, one) for one in PIECES)), right=ANSWERED_AT_ONCE)
        for what, path in (("log-ins", LOG_IN), ("ends of sessions", LOG_OUT))
    ),
    Attack("log-ins of 8,000 bytes", "stranger", in_turn(*(large(LOG_IN, one, 8000) for one in PIECES)), side=8),
    Attack("ends of sessions with queries of 60,000 bytes", "stranger", in_turn(*map(queries, PIECES)), side=8),
    Attack("log-in of 16 MiB in chunks", "stranger", chunks(chunk(b"%71&" * 16_384) * 256), right=ANSWERED_AT_ONCE),
    Attack(
        "log-in that grows a thousandfold when unpacked",
        "stranger",
        asking(lambda _: request("POST", LOG_IN, PACKED, headers={"Content-Encoding": "gzip"})),
        rare=True,
    ),
    Attack("16 MiB without a token", "stranger", large(ADD, b"%71&"), right=ANSWERED_AT_ONCE, rare=True),
    Attack(
        "16 MiB without a token, of the API",
        "stranger",
        large(f"{API}members", b"[1,", kind=JSON),
        right=ANSWERED_AT_ONCE,
    ),
    Attack(
        "queries of 60,000 & without a token",
        "stranger",
        asking(lambda _: request("POST", f"{MEMBERS}?{'&' * 60_000}")),
        side=8,
        rare=True,
    ),
    # C2: what is kept of strangers
    Attack("log-ins with names of 7 KiB", "stranger", long_names(7000), side=16),
    Attack("log-ins with names of 1 MiB", "stranger", long_names(MIB), right=ANSWERED_AT_ONCE | {200}, rare=True),
    Attack(
        "tokens with names of 30 KiB", "stranger", asking(made_up_token), side=16, right=frozenset({0, 401, 429, 431})
    ),
    Attack("ends of sessions with names of 7 KiB", "stranger", asking(many_names_in_one), side=16, rare=True),
    # C4, passwords that have to be checked
    Attack("100 log-ins at once from 100 addresses", "stranger", many_log_ins, side=1, memory=320),
    Attack("log-ins whose client hangs up", "stranger", log_ins_that_hang_up, memory=320),
    # many and slow
    Attack("300 who drip headers", "stranger", many(300, b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-A: b\r\n"), side=1),
    Attack("300 who drip bodies", "stranger", many(300, request("POST", LOG_IN, b"user=a", length=8000), b"x"), side=1),
    Attack("half bodies", "stranger", half_bodies),
    Attack("answers that nobody reads", "stranger", reads_nothing, side=16),
    Attack("requests one behind the other", "stranger", pipelined, side=4, rare=True),
    Attack("300 silent connections", "stranger", many(300, b""), side=1, rare=True),
    Attack("odd chunks", "stranger", in_turn(*map(chunks, CHUNK_ODDITIES)), side=4),
    Attack(
        "preflight requests with long headers",
        "stranger",
        asking(
            lambda _: request(
                "OPTIONS",
                f"{API}members",
                headers={"Origin": "https://a.example", "Access-Control-Request-Method": "x" * 20_000},
            )
        ),
        side=8,
        rare=True,
    ),
    Attack(
        "paths of 60 KiB",
        "stranger",
        asking(lambda _: request("POST", f"/Integra/resources/{'%2e%2f' * 10_000}")),
        side=8,
        rare=True,
    ),
    Attack(
        "forwarded addresses of 60 KiB",
        "stranger",
        asking(lambda _: request("GET", "/health", headers={"X-Forwarded-For": "1.2.3.4, " * 6000})),
        side=8,
        rare=True,
    ),
    Attack("the API's document, again and again", "stranger", asking(lambda _: request("GET", DOCUMENT)), side=8),
)

MUCH_ALIKE = {
    "300 who drip a handshake",
    "handshakes, again and again",
    "HTTP/2: acknowledgements of nothing",
    "HTTP/2: streams that are never ended",
    "HTTP/2: windows opened by one",
    "HTTP/2: priorities",
    "HTTP/2: unknown frames",
}

TLS_ATTACKS = tuple(
    Attack(name, "stranger", send, tls=True, side=side, memory=memory, rare=name in MUCH_ALIKE)
    for name, send, side, memory in (
        ("300 handshakes, then silence", many(300, b""), 1, 192),
        ("300 connections without a handshake", many(300, b"", tls=False), 1, 192),
        ("300 who drip a handshake", many(300, b"\x16\x03\x01\x02\x00", b"\x01", tls=False), 1, 192),
        ("garbage in place of TLS", tls_garbage, 4, 192),
        ("handshakes, again and again", handshakes, 2, 192),
        ("half a preface of HTTP/2", half_a_preface, 1, 192),
        ("idle HTTP/2", idle_http2, 1, 192),
        ("HTTP/2 with a window of 0", closed_window, 1, 64),
        ("HTTP/2: rapid reset", http2(rapid_reset), 2, 192),
        ("HTTP/2: pings", http2(lambda _: [frame(PING, 0, 0, bytes(8)) * 1000]), 2, 192),
        ("HTTP/2: settings", http2(lambda _: [settings((3, 100)) * 1000]), 2, 192),
        ("HTTP/2: acknowledgements of nothing", http2(lambda _: [frame(SETTINGS, ACK) * 1000]), 2, 192),
        ("HTTP/2: headers without end", http2(headers_without_end), 2, 192),
        ("HTTP/2: references to one large header", http2(referred_headers), 2, 192),
        ("HTTP/2: streams that are never ended", http2(many_streams), 2, 192),
        ("HTTP/2: bodies of empty pieces", http2(empty_pieces), 2, 192),
        ("HTTP/2: windows opened by one", http2(lambda _: [frame(WINDOW, 0, 0, (1).to_bytes(4)) * 2000]), 2, 192),
        (
            "HTTP/2: priorities",
            http2(lambda c: [frame(PRIORITY, 0, c.next_stream(), bytes(5)) for _ in range(1000)]),
            2,
            192,
        ),
        ("HTTP/2: unknown frames", http2(lambda _: [frame(200, 0, 0, bytes(16_000)) * 20]), 2, 192),
        ("HTTP/2: garbage frames", garbage_frames, 4, 192),
    )
)
