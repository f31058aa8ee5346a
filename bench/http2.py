"""Single adds over HTTP/2, as `add.lua` has them over HTTP/1.1.

    python -m bench.http2 PORT CONNECTIONS SECONDS       and in the environment what add.lua needs

Neither wrk (no HTTP/2) nor h2load (the same body in every request) can send such a load. A connection has one request
under way, in frames that are made beforehand but for the numbers in them; so it takes a server to keep this busy.
Prints what `add.lua` prints. RFC 9113 has the frames, RFC 7541 the headers.
"""

import contextlib
import itertools
import json
import os
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterator
from urllib.parse import quote

from bench.measure import BenchFailed, percentile

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 1
_END_HEADERS = 4

_STATUS_200 = 0x88
"""`:status: 200`, which stands in the table that every connection begins with."""

_SILENCE = 10.0
"""Seconds without any answer after which the server counts as dead."""

_OF_CONNECTION = 0x100
"""Beside a frame's flags: it belongs to no stream."""

_OPENED = 2**31 - 1 - 65_535
"""So much is added to the window for what the server sends: it is never in question again."""


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _header_blocks(port: int, token: str, length: int) -> tuple[bytes, bytes]:
    """The headers of a connection's first request, which fill the server's table, and those of all others."""
    named = {
        ":path": "/Integra/resources/queues/addqueuemember",
        ":authority": f"127.0.0.1:{port}",
        "authorization": f"Basic {token}",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": str(length),
    }
    fixed = bytes([0x83, 0x87])  # :method: POST, :scheme: https
    first = fixed
    for name, value in named.items():
        assert len(value) < 127
        first += bytes([0x40, len(name), *name.encode(), len(value), *value.encode()])
    newest = 62  # what the table numbers the entry that was added last
    return first, fixed + bytes([0x80 | place for place in range(newest + len(named) - 1, newest - 1, -1)])


def _bodies(run: int, campaign: str) -> Iterator[bytes]:
    """Every one changes something, as in add.lua."""
    head, phone, penalty, tail = (
        quote(piece, safe="").encode()
        for piece in (
            '[{"membername":"agent-',
            f'","queueName":"{campaign}","interface1":"SIP/',
            '","penalty":"',
            '","paused":"0"}]',
        )
    )
    for number in itertools.count(run * 1_000_000 + 1):
        agent = b"%010d" % (number if number % 10 == 0 else number % 5000)
        yield b"".join((b"queuemember=", head, agent, phone, agent, penalty, b"%010d" % number, tail))


class _Connection:
    """One connection. Raises BenchFailed where it ends, or where an answer is not 200 and `1`."""

    def __init__(self, port: int, context: ssl.SSLContext, blocks: tuple[bytes, bytes]) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=_SILENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = context.wrap_socket(plain)
        if self._socket.selected_alpn_protocol() != "h2":
            raise BenchFailed("the server speaks no HTTP/2")
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0) + _frame(_WINDOW, 0, 0, struct.pack(">I", _OPENED)))
        self._socket.setblocking(False)
        self._blocks = blocks
        self._stream = -1
        self._room = 65_535
        self._waiting = b""
        self._read = b""
        self._answer = b""
        self.began = 0.0
        """When the newest request was sent (`perf_counter`)."""

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def ask(self, body: bytes) -> None:
        """Send the next request, or keep it until the server has room for it."""
        self.began = time.perf_counter()
        self._waiting = body
        self._send()

    def _send(self) -> None:
        body = self._waiting
        if not body or len(body) > self._room:
            return
        self._room -= len(body)
        self._waiting = b""
        self._stream += 2
        block = self._blocks[self._stream > 1]
        self._socket.sendall(
            _frame(_HEADERS, _END_HEADERS, self._stream, block) + _frame(_DATA, _END_STREAM, self._stream, body)
        )

    def answered(self) -> bool:
        """Read what there is; whether the newest request has been answered by it."""
        ended = False
        for kind, flags, payload in self._frames():
            if kind == _DATA:
                self._answer += payload
            elif kind == _HEADERS:
                if payload[0] != _STATUS_200:
                    raise BenchFailed("an answer is not 200")
            elif kind == _WINDOW:
                # those of a stream count, too, but no body is as long as a stream's first window
                self._room += struct.unpack(">I", payload)[0] if flags & _OF_CONNECTION else 0
                self._send()
            elif kind in {_SETTINGS, _PING} and not flags & _ACK:
                self._socket.sendall(_frame(kind, _ACK, 0, payload if kind == _PING else b""))
            elif kind in {_RESET, _GOAWAY}:
                raise BenchFailed(f"the server ended a {'request' if kind == _RESET else 'connection'}")
            ended = ended or (kind in {_DATA, _HEADERS} and bool(flags & _END_STREAM))
        if ended:
            if self._answer != b"1":
                raise BenchFailed(f"{self._answer!r} in place of 1")
            self._answer = b""
        return ended

    def _frames(self) -> Iterator[tuple[int, int, bytes]]:
        """Kind, flags and payload of every whole frame that has come."""
        try:
            data = self._socket.recv(65_536)
        except ssl.SSLWantReadError:
            return
        while self._socket.pending():
            data += self._socket.recv(65_536)
        if not data:
            raise BenchFailed("the server closed a connection")
        self._read += data
        while len(self._read) >= 9:
            end = 9 + int.from_bytes(self._read[:3])
            if len(self._read) < end:
                return
            kind, flags, stream = struct.unpack(">BBI", self._read[3:9])
            payload, self._read = self._read[9:end], self._read[end:]
            yield kind, flags | (0 if stream else _OF_CONNECTION), payload


def _load(port: int, connections: int, seconds: float) -> dict[str, float]:
    """Keep as many connections busy for so long; what add.lua reports."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # as wrk does
    context.set_alpn_protocols(["h2"])
    bodies = _bodies(int(os.environ["BENCH_RUN"]), os.environ["BENCH_CAMPAIGN"])
    blocks = _header_blocks(port, os.environ["BENCH_TOKEN"], len(next(bodies)))
    took: list[float] = []
    with contextlib.ExitStack() as stack, select.epoll() as poll:
        open_ones = {}
        for _ in range(connections):
            one = stack.enter_context(contextlib.closing(_Connection(port, context, blocks)))
            open_ones[one.fileno()] = one
            poll.register(one.fileno(), select.EPOLLIN)
        started = now = time.perf_counter()
        for one in open_ones.values():
            one.ask(next(bodies))
        while now - started < seconds:
            ready = poll.poll(_SILENCE)
            if not ready:
                raise BenchFailed(f"no answer within {_SILENCE} s")
            for number, _ in ready:
                one = open_ones[number]
                if one.answered():
                    now = time.perf_counter()
                    took.append(now - one.began)
                    one.ask(next(bodies))
    return {
        "microseconds": (now - started) * 1e6,
        "requests": len(took),
        "errors": 0,
        "p50": percentile(took, 50) * 1e6,
        "p99": percentile(took, 99) * 1e6,
    }


if __name__ == "__main__":
    try:
        print(json.dumps(_load(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
    except BenchFailed as error:
        sys.exit(str(error))
