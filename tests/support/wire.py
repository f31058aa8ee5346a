"""HTTP/1.1 byte by byte, for requests that no client library would send; and clients that go on until they cannot."""

import http.client
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import quote_plus

from tests.support.door import ADD, FORM

PATIENCE = 30.0
"""Seconds that a test waits for one thing; none comes near it on a machine that is well."""


@dataclass(frozen=True)
class Answer:
    """One answer. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """`Plantel-Code`, "" where there is none."""
        return self.headers.get("plantel-code", "")


class Wire:
    """One connection to a server on the loopback, over TLS where `context` is given."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket = plain if context is None else context.wrap_socket(plain, server_hostname="localhost")
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, *parts: bytes) -> Self:
        """Send these bytes."""
        self.socket.sendall(b"".join(parts))
        return self

    def send_anyway(self, *parts: bytes) -> Self:
        """Send these bytes, or as many as the server takes before it closes the connection."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send(*parts)
        return self

    def finish_sending(self) -> Self:
        """Close the sending side only."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def readable(self, seconds: float) -> bool:
        """Whether the server says something, or closes the connection, within `seconds`."""
        return bool(select.select([self.socket], [], [], seconds)[0])

    def line(self) -> bytes:
        """The next line, without its end. Raises ConnectionError where the connection ends before."""
        while b"\r\n" not in self._read:
            self._more()
        line, _, self._read = self._read.partition(b"\r\n")
        return line

    def answer(self) -> Answer:
        """The next answer, with the body that its Content-Length announces. Raises ConnectionError at the end."""
        status = int(self.line().split()[1])
        headers: dict[str, str] = {}
        while line := self.line():
            name, _, value = line.decode("iso-8859-1").partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", "0"))
        while len(self._read) < size:
            self._more()
        body, self._read = self._read[:size], self._read[size:]
        return Answer(status, headers, body)

    def rest(self) -> bytes:
        """Everything up to the end of the connection, which the server has to close."""
        with suppress(ConnectionError):
            while True:
                self._more()
        rest, self._read = self._read, b""
        return rest

    def close(self) -> None:
        self.socket.close()

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._read += data


def head(
    token: str, length: int | None = None, *more: str, method: str = "POST", path: str | bytes = ADD, kind: str = FORM
) -> bytes:
    """A request up to its body: Content-Length only where `length` is given, `more` are further header lines."""
    target = path if isinstance(path, bytes) else path.encode()
    lines = ["Host: localhost", f"Authorization: Basic {token}", f"Content-Type: {kind}", *more]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return b"%b %b HTTP/1.1\r\n" % (method.encode(), target) + "\r\n".join([*lines, "", ""]).encode()


def form(members: Sequence[Mapping[str, object]]) -> bytes:
    """The body of the published call, percent-encoded."""
    return b"queuemember=" + quote_plus(json.dumps(members)).encode()


def add(token: str, members: Sequence[Mapping[str, object]]) -> bytes:
    """The published call, whole."""
    body = form(members)
    return head(token, len(body)) + body


def names(wire: Wire, token: str, campaign: str) -> set[str]:
    """Who is in the campaign, asked over `wire`."""
    path = f"/Integra/resources/queues/getqueuemembersofqueue?queue={quote_plus(campaign)}"
    return {one["membername"] for one in json.loads(wire.send(head(token, 0, path=path)).answer().body)}


def chunked(pieces: Iterable[bytes]) -> bytes:
    """`pieces` in the chunked coding, without its end (LAST_CHUNK)."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)


LAST_CHUNK = b"0\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked"


class Adder(threading.Thread):
    """Adds one batch after another over one connection until the server no longer lets it.

    `make` gives the members of batch number 0, 1, 2, ...; `progress` is released for each that was answered `1`.
    """

    def __init__(
        self,
        port: int,
        token: str,
        make: Callable[[int], Sequence[Mapping[str, object]]],
        progress: threading.Semaphore,
    ) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": FORM}
        self._make = make
        self._progress = progress
        self.stored: list[str] = []
        """The id of every batch that was answered `1`, by its number."""
        self.refused: list[object] = []
        """Answers other than `1`, and answers that broke off."""

    def run(self) -> None:
        try:
            while self._add():
                self._progress.release()
        except ConnectionError:
            pass  # refused, or closed before the first byte of an answer
        except http.client.HTTPException as broken:
            self.refused.append(broken)
        finally:
            self._connection.close()

    def _add(self) -> bool:
        self._connection.request("POST", ADD, form(self._make(len(self.stored))), self._headers)
        answer = self._connection.getresponse()
        found = (answer.status, answer.read())
        if found != (200, b"1"):
            self.refused.append(found)
            return False
        self.stored.append(answer.headers["Plantel-Batch"])
        return True
