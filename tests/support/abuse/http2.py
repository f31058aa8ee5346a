"""HTTP/2 frame by frame (RFC 9113), for what no library would send."""

import asyncio
import contextlib
import struct
from collections.abc import Iterable

from hpack import Encoder

from tests.support.abuse.attack import Attacker

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW = 4


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def fields(method: str, path: str, *more: tuple[str, str]) -> list[tuple[str, str]]:
    own = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "localhost")]
    return [*own, *more]


class Http2:
    """One connection. What the server sends is read and thrown away, if `reads`; the status of each answer is not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reads: bool) -> None:
        self.writer = writer
        self.ended = False
        self._stream = -1
        self._encoder = Encoder()
        self._reading = asyncio.ensure_future(self._read(reader)) if reads else None

    def next_stream(self) -> int:
        self._stream += 2
        return self._stream

    def block(self, pairs: Iterable[tuple[str, str]]) -> bytes:
        """Those headers, compressed."""
        encoded: bytes = self._encoder.encode(list(pairs))
        return encoded

    def ask(self, pairs: Iterable[tuple[str, str]], *, end: bool = True) -> bytes:
        """The frame that begins a request (and ends it, if `end`)."""
        return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), self.next_stream(), self.block(pairs))

    async def send(self, *frames: bytes) -> None:
        """Raises ConnectionError once the server has closed the connection."""
        if self.ended:
            raise ConnectionResetError
        self.writer.write(b"".join(frames))
        await self.writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await reader.read(65536):
                pass
        self.ended = True

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()


async def open_http2(attacker: Attacker, *pairs: tuple[int, int], reads: bool = True) -> Http2:
    """A connection with its preface and these settings sent."""
    reader, writer = await attacker.connect(alpn="h2")
    connection = Http2(reader, writer, reads=reads)
    await connection.send(PREFACE, settings(*pairs))
    return connection
