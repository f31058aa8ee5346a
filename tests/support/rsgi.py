"""What the HTTP server hands to the door with a request, without a server; bodies end and break off as granian's do."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from plantel.http.rsgi import Headers, ProtocolClosed


@dataclass
class Answer:
    """What came back; `chunks` are the pieces of one that was sent bit by bit."""

    status: int
    headers: dict[str, str]
    body: bytes
    chunks: tuple[bytes, ...] = ()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Fields:
    """The headers of a request."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = [(name, value) for name, value in pairs if value.isascii()]

    def get(self, key: str, default: str = "") -> str:
        return next((value for name, value in self._pairs if name == key), default)

    def get_all(self, key: str) -> list[str]:
        return [value for name, value in self._pairs if name == key]

    def items(self) -> list[tuple[str, str]]:
        return self._pairs


class Scope:
    """A request by HTTP `http_version`."""

    scheme = "http"
    server = "127.0.0.1:80"
    authority: str | None = None

    def __init__(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: Iterable[tuple[str, str]] = (),
        client: str = "192.0.2.7:40000",
        http_version: str = "1.1",
    ) -> None:
        self.method = method
        self.path = path
        self.query_string = query
        self.headers = Fields(headers)
        self.client = client
        self.http_version = http_version


class Cut(NamedTuple):
    """In place of a piece: here the body breaks off. Granian gives `empties` empty pieces, and then ends."""

    empties: int


class Exchange:
    """A body of `pieces`, and what is answered. `disconnected` is for a test to set."""

    def __init__(self, pieces: Iterable[bytes | Cut] = ()) -> None:
        self._pieces = self._granian(pieces)
        self._begun = False
        self._status = 0
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._whole: bytes | None = None
        self.disconnected = asyncio.Event()

    @property
    def answer(self) -> Answer:
        """What was answered. Fails where nothing was."""
        assert self._status, "no answer"
        body = b"".join(self._chunks) if self._whole is None else self._whole
        return Answer(self._status, self._headers, body, tuple(self._chunks))

    @staticmethod
    def _granian(pieces: Iterable[bytes | Cut]) -> Iterator[bytes]:
        for piece in pieces:
            if isinstance(piece, Cut):
                yield from [b""] * piece.empties
                return
            yield piece
        yield b""

    def __aiter__(self) -> "Exchange":
        assert not self._begun, "a body can be asked for once"
        self._begun = True
        return self

    async def __anext__(self) -> bytes:
        await asyncio.sleep(0)
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration

    async def client_disconnect(self) -> None:
        await self.disconnected.wait()

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        self._begin(status, headers)
        self._headers.setdefault("content-length", str(len(body)))
        self._whole = body

    def response_stream(self, status: int, headers: Headers) -> "Exchange":
        self._begin(status, headers)
        return self

    async def send_bytes(self, data: bytes) -> None:
        if self.disconnected.is_set():
            raise ProtocolClosed
        self._chunks.append(data)

    def _begin(self, status: int, headers: Headers) -> None:
        assert not self._status, "answered twice"
        assert all(text.isascii() and text.isprintable() for pair in headers for text in pair), "no header can be that"
        self._status = status
        self._headers = dict(headers)
