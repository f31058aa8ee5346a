"""Servers that do harm to their clients: what they send in place of an answer to the published call."""

import asyncio
import contextlib
import gzip
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.support.tls import Certificate

Answers = Callable[[asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
MIB = 2**20


async def _push(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


async def body_without_end(writer: asyncio.StreamWriter) -> None:
    await _push(writer, OK + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        await _push(writer, b"10000\r\n" + b"1" * 65536 + b"\r\n")


async def headers_without_end(writer: asyncio.StreamWriter) -> None:
    await _push(writer, OK)
    for number in itertools.count():
        await _push(writer, b"X-%d: %b\r\n" % (number, b"y" * 1000))


async def unpacks_to_much(writer: asyncio.StreamWriter) -> None:
    """4 GiB of zeros, in 4 MiB of gzip in gzip's members."""
    packed = gzip.compress(bytes(64 * MIB)) * 64
    await _push(writer, OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)


async def drips_a_body(writer: asyncio.StreamWriter) -> None:
    await _push(writer, OK + b"Content-Length: 1000000\r\n\r\n")
    while True:
        await _push(writer, b"1")
        await asyncio.sleep(0.2)


async def drips_headers(writer: asyncio.StreamWriter) -> None:
    for byte in itertools.chain(OK, itertools.cycle(b"X-A: b\r\n")):
        await _push(writer, bytes([byte]))
        await asyncio.sleep(0.2)


async def sends_elsewhere(writer: asyncio.StreamWriter) -> None:
    await _push(writer, b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /Integra/again\r\nContent-Length: 0\r\n\r\n")


async def continues_without_end(writer: asyncio.StreamWriter) -> None:
    while True:
        await _push(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


async def reason_with_escapes(writer: asyncio.StreamWriter) -> None:
    reason = b"\x1b]0;owned\x07" + b"z" * 8000
    await _push(writer, OK + b"Plantel-Code: x\r\nPlantel-Reason: %b\r\nContent-Length: 1\r\n\r\n0" % reason)


ANSWERS: dict[str, Answers] = {
    "a body without end": body_without_end,
    "headers without end": headers_without_end,
    "a body that grows a thousandfold when unpacked": unpacks_to_much,
    "a body in drips": drips_a_body,
    "headers in drips": drips_headers,
    "redirections without end": sends_elsewhere,
    "100 Continue without end": continues_without_end,
    "a reason that writes to the terminal": reason_with_escapes,
}


@contextlib.asynccontextmanager
async def hostile_site(answers: Answers, certificate: Certificate) -> AsyncIterator[str]:
    """Its URL; TLS with `certificate`, and whatever is asked, `answers` is what comes."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                reading = asyncio.ensure_future(_swallow(reader))
                try:
                    await answers(writer)
                finally:
                    reading.cancel()
        writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}"


async def _swallow(reader: asyncio.StreamReader) -> None:
    """The body: of a request that is small, it has come with its headers or is about to."""
    with contextlib.suppress(OSError):
        await reader.read(65536)
