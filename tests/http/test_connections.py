"""Connections that do nothing, that do not read, or that are too many: each at the socket of a real process."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import httpx
import pytest

from plantel.http.connections import Reason
from plantel.http.limits import HEADER_BYTES
from plantel.server import STREAMS
from tests.support.door import item
from tests.support.server import PlantelServer, served
from tests.support.tls import Certificate
from tests.support.wire import PATIENCE, Wire, add, form, head

VENTAS = "Ventas->"
MEMBERS = f"/Integra/resources/queues/getqueuemembersofqueue?queue={VENTAS.replace('>', '%3E')}"
MANY = 3000
"""Agents in VENTAS: an answer of some 300 KiB."""

SHORT = {"header_timeout": "1s", "idle_timeout": "2s", "write_timeout": "2s", "body_timeout": "20s"}


def with_members(server: PlantelServer) -> Iterator[PlantelServer]:
    server.declare([VENTAS])
    assert server.token
    with served(server):
        with Wire(server.port, server.context if server.certificate else None) as wire:
            many = [item(f"agent-{number}", phone=f"SIP/{number}") for number in range(MANY)]
            assert wire.send(add(server.token, many)).answer().body == b"1"
        yield server


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[PlantelServer]:
    yield from with_members(PlantelServer(tmp_path_factory.mktemp("secured"), certificate=certificate, http=SHORT))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantelServer]:
    yield from with_members(PlantelServer(tmp_path_factory.mktemp("plain"), http=SHORT))


class Http2:
    """One HTTP/2 connection; `window`: bytes of each answer that the server may send unasked."""

    def __init__(self, server: PlantelServer, window: int = 65_535) -> None:
        context = server.context
        context.set_alpn_protocols(["h2"])
        self.wire = Wire(server.port, context)
        self._token = server.token
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))
        initial = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        self.h2.local_settings = h2.settings.Settings(client=True, initial_values=initial)
        self.h2.initiate_connection()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()

    def flush(self) -> None:
        self.wire.send_anyway(self.h2.data_to_send())

    def ask(self, path: str = MEMBERS, *more: tuple[str, str], method: str = "POST", ends: bool = True) -> int:
        """Send the headers of a request; its stream."""
        stream: int = self.h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        fields = [("authorization", f"Basic {self._token}"), ("content-type", "application/x-www-form-urlencoded")]
        self.h2.send_headers(stream, [*pseudo, *fields, *more], end_stream=ends)
        self.flush()
        return stream

    def events(self) -> list[h2.events.Event]:
        """What came next; none at the end of the connection."""
        data = b""
        with suppress(ConnectionError):
            data = self.wire.socket.recv(65536)
        found = self.h2.receive_data(data) if data else []
        self.flush()
        return found or ([h2.events.Event()] if data else [])

    def status(self, stream: int) -> str:
        """That of the answer on the stream; "reset" if there is none."""
        while events := self.events():
            for event in events:
                if getattr(event, "stream_id", None) != stream:
                    continue
                if isinstance(event, h2.events.ResponseReceived):
                    return dict(event.headers)[b":status"].decode()
                if isinstance(event, h2.events.StreamReset):
                    return "reset"
        raise ConnectionError("the server closed the connection")

    def rest(self) -> None:
        """Read to the end of the connection, which the server has to close."""
        while self.events():
            pass


def metric(server: PlantelServer, reason: Reason) -> float:
    """How many connections were closed for it."""
    answer = httpx.get(f"{server.url}/metrics", verify=server.context if server.certificate else True, timeout=PATIENCE)
    name = f'plantel_http_connections_closed_total{{reason="{reason}"}} '
    (line,) = [line for line in answer.text.splitlines() if line.startswith(name)]
    return float(line.removeprefix(name))


# --- connections that do nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"", b"\x16\x03\x01\x02\x00\x01"], ids=["nothing", "half a hello"])
def test_a_handshake_that_does_not_come_is_not_waited_for(secured: PlantelServer, start: bytes) -> None:
    with Wire(secured.port) as wire:
        assert wire.send(start).rest() == b""


@pytest.mark.parametrize("start", [b"", b"PRI * HTT", b"GET / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\nX"])
def test_silence_after_the_handshake_is_not_waited_for(secured: PlantelServer, start: bytes) -> None:
    with Wire(secured.port, secured.context) as wire:
        assert wire.send(start).rest() == b""


def test_a_preface_that_drips_is_cut_off_all_the_same(secured: PlantelServer) -> None:
    before = metric(secured, Reason.SILENT)
    with Wire(secured.port, secured.context) as wire:
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r":
            if wire.readable(0.2):
                break
            wire.send_anyway(bytes([byte]))
        assert wire.rest() == b""
    assert metric(secured, Reason.SILENT) > before


def closed_while_it_talks(connection: Http2) -> bool:
    """Send a PING each 100 ms, and read the answer, until the server closes the connection; whether it does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        connection.h2.ping(bytes(8))
        connection.flush()
        if not connection.events():
            return True
        connection.wire.readable(0.1)
    return False


def test_http_2_without_a_request_is_closed_whatever_else_it_says(secured: PlantelServer) -> None:
    with Http2(secured) as silent, Http2(secured) as talking:
        assert closed_while_it_talks(talking)
        silent.rest()


def test_idle_http_2_is_closed_whatever_else_it_says(secured: PlantelServer) -> None:
    before = metric(secured, Reason.IDLE)
    with Http2(secured) as silent, Http2(secured) as talking:
        for each in (silent, talking):
            assert each.status(each.ask("/health", method="GET")) == "200"
        assert closed_while_it_talks(talking)
        silent.rest()
    assert metric(secured, Reason.IDLE) >= before + 2


def test_idle_http_1_is_closed(secured: PlantelServer, plain: PlantelServer) -> None:
    for server in (secured, plain):
        with Wire(server.port, server.context if server.certificate else None) as wire:
            assert wire.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").answer().status == 200
            assert wire.rest() == b""


def test_a_request_that_takes_longer_is_not_idle(secured: PlantelServer, plain: PlantelServer) -> None:
    body = form([item("late", phone="SIP/late")])
    with ExitStack() as stack:
        slow = stack.enter_context(Http2(secured))
        wires = [stack.enter_context(Wire(plain.port)), stack.enter_context(Wire(secured.port, secured.context))]
        stream = slow.ask("/Integra/resources/queues/addqueuemember", ends=False)
        for wire, server in zip(wires, (plain, secured), strict=True):
            wire.send(head(server.token, len(body)), body[:10])
        for _ in range(2):
            with Http2(secured) as other:  # which is closed when the deadline of an idle one is over
                assert other.status(other.ask("/health", method="GET")) == "200"
                other.rest()
        slow.h2.send_data(stream, body, end_stream=True)
        slow.flush()
        assert slow.status(stream) == "200"
        assert [wire.send(body[10:]).answer().body for wire in wires] == [b"1", b"1"]


# --- connections that do not read -------------------------------------------------------------------------------------


def narrow(server: PlantelServer) -> Wire:
    """A connection on which the client's kernel takes a few KiB only."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(PATIENCE)
    plain.connect(("127.0.0.1", server.port))
    wire = Wire.__new__(Wire)
    wire.socket = server.context.wrap_socket(plain, server_hostname="localhost") if server.certificate else plain
    wire._read = b""
    return wire


def test_an_answer_that_is_not_read_is_given_up(made: Callable[..., PlantelServer]) -> None:
    server = made(header_timeout="60s", write_timeout="1s")
    for _ in with_members(server):
        with narrow(server) as wire:
            wire.send(head(server.token, 0, path=MEMBERS))
            ended = select.poll()
            ended.register(wire.socket, 0)  # only errors and the end of the connection
            assert ended.poll(PATIENCE * 1000)
        assert metric(server, Reason.NOT_READING) == 1


def test_an_answer_that_is_read_slowly_is_sent_to_its_end(plain: PlantelServer) -> None:
    with narrow(plain) as wire:
        wire.send(head(plain.token, 0, "Connection: close", path=MEMBERS))
        size, begun = 0, time.monotonic()
        while data := wire.socket.recv(2048):
            size += len(data)
            if time.monotonic() - begun < 5:  # more than twice the deadline
                time.sleep(0.05)  # 40 KiB in a second
    assert size > MANY * 50


def resident(server: PlantelServer) -> int:
    """Bytes of memory that the service has."""
    assert server.process is not None
    (line,) = [line for line in Path(f"/proc/{server.process.pid}/status").read_text().splitlines() if "VmRSS" in line]
    return int(line.split()[1]) * 1024


def test_answers_of_http_2_that_are_not_read_are_few_and_given_up(secured: PlantelServer) -> None:
    before, answers = metric(secured, Reason.NOT_READING), resident(secured)
    with Http2(secured, window=0) as hoarding:
        streams = [hoarding.ask() for _ in range(3 * STREAMS)]
        assert hoarding.status(streams[-1]) == "reset", "there are not so many streams"
        assert resident(secured) - answers < 64 * 2**20
        hoarding.rest()
    assert metric(secured, Reason.NOT_READING) == before + 1


# --- headers ----------------------------------------------------------------------------------------------------------


def test_headers_of_http_1_are_bounded(plain: PlantelServer) -> None:
    with Wire(plain.port) as wire:
        fits = head(plain.token, 0, "X-Long: " + "x" * (HEADER_BYTES - 2048), path="/nowhere")
        assert wire.send(fits).answer().status == 404
        large = head(plain.token, 0, "X-Long: " + "x" * HEADER_BYTES, path="/nowhere")
        assert wire.send_anyway(large).answer().status == 431


def test_headers_of_http_2_are_bounded_however_small_they_arrive(secured: PlantelServer) -> None:
    with Http2(secured) as connection:
        assert connection.status(connection.ask("/health", ("a", "b"), method="GET")) == "200"
        # a byte each, since the line is in the table by now; 34 by the count of HTTP/2
        many = [("a", "b")] * (HEADER_BYTES // 34 + 1)
        assert connection.status(connection.ask("/health", *many, method="GET")) in {"431", "reset"}
        assert connection.status(connection.ask("/health", *many[: len(many) // 2], method="GET")) == "200"


# --- too many connections ---------------------------------------------------------------------------------------------


def from_address(server: PlantelServer, address: str) -> socket.socket:
    """A connection that only the kernels know of as yet."""
    end = socket.socket()
    end.setblocking(False)
    end.bind((address, 0))
    with suppress(BlockingIOError):
        end.connect(("127.0.0.1", server.port))
    return end


def is_answered(server: PlantelServer, address: str) -> bool:
    """Whether a new client from there is served."""
    transport = httpx.HTTPTransport(
        verify=server.context if server.certificate else True, local_address=address, retries=3
    )
    with httpx.Client(transport=transport, timeout=PATIENCE) as client:
        return client.get(f"{server.url}/health").status_code == 200


@pytest.fixture(params=["plain", "secured"])
def made(request: pytest.FixtureRequest, tmp_path: Path, certificate: Certificate) -> Callable[..., PlantelServer]:
    """A Plantel in the making, over either."""

    def make(descriptors: int = 0, **http: object) -> PlantelServer:
        chosen = certificate if request.param == "secured" else None
        return PlantelServer(
            tmp_path,
            certificate=chosen,
            http=http,
            under=["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else [],
        )

    return make


def test_one_address_with_too_many_loses_some_and_nobody_else_does(made: Callable[..., PlantelServer]) -> None:
    server = made(connections=40, header_timeout="60s")
    with served(server), ExitStack() as stack:
        first = stack.enter_context(from_address(server, "127.0.0.2"))
        assert select.select([], [first], [], PATIENCE)[1]
        greedy = [stack.enter_context(from_address(server, "127.0.0.3")) for _ in range(60)]
        assert select.select(greedy, [], [], PATIENCE)[0], "one of them is closed"
        assert is_answered(server, "127.0.0.4")
        assert metric(server, Reason.FULL) >= 20
        assert "connections_full" in server.log.read_text("utf-8")
        assert not select.select([first], [], [], 0)[0], "idle longest, yet the only one of its address"


@pytest.mark.parametrize("addresses", [1, 200])
def test_more_connections_than_descriptors_stop_nothing(made: Callable[..., PlantelServer], addresses: int) -> None:
    server = made(descriptors=1024, header_timeout="60s")
    with served(server):
        with ExitStack() as stack:
            for number in range(4000):
                stack.enter_context(from_address(server, f"127.0.1.{number % addresses + 1}"))
            assert is_answered(server, "127.0.0.2")
        assert is_answered(server, "127.0.1.1")
        assert "connections_lowered" in server.log.read_text("utf-8")
        assert metric(server, Reason.FULL) > 0
        assert server.stop() == 0
