"""HTTPS and HTTP/2, served directly: real handshakes, curl, httpx and single HTTP/2 frames."""

import json
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Self, TypeVar

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings
import httpx
import pytest

from plantel.server import STREAMS
from tests.support.door import ADD, FORM, basic, item
from tests.support.server import PlantelServer, served
from tests.support.tls import Certificate
from tests.support.wire import PATIENCE, Wire, add, form
from tests.support.wire import names as wire_names

VENTAS = "Ventas->"
LIMIT = 1024 * 1024

Event = TypeVar("Event", bound=h2.events.Event)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[PlantelServer]:
    """A Plantel over TLS that is short of patience and of room."""
    http = {"header_timeout": "1s", "body_timeout": "2s", "body_limit": LIMIT}
    made = PlantelServer(tmp_path_factory.mktemp("tls-server"), certificate=certificate, http=http)
    made.declare([VENTAS])
    assert made.token
    with served(made):
        yield made


@pytest.fixture
def client(server: PlantelServer) -> Iterator[httpx.Client]:
    with httpx.Client(http2=True, verify=server.context, timeout=PATIENCE) as made:
        yield made


def names(server: PlantelServer) -> set[str]:
    """Who is in the campaign, asked over a connection of its own."""
    with Wire(server.port, server.context) as wire:
        return wire_names(wire, server.token, VENTAS)


# --- versions ---------------------------------------------------------------------------------------------------------


def only(server: PlantelServer, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = server.context
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.1 is what one test is about
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_are_spoken(server: PlantelServer, version: ssl.TLSVersion) -> None:
    with Wire(server.port, only(server, version)) as wire:
        answer = wire.send(add(server.token, [item(version.name, phone=f"SIP/{version.name}")])).answer()
    assert answer.body == b"1"
    assert version.name in names(server)


def test_tls_1_1_is_refused_by_the_server(server: PlantelServer) -> None:
    with pytest.raises(ssl.SSLError) as refused:
        Wire(server.port, only(server, ssl.TLSVersion.TLSv1_1))
    assert "ALERT" in refused.value.reason, "the server said so, not this side"


def test_plain_http_on_the_tls_port_is_not_answered(server: PlantelServer) -> None:
    with Wire(server.port) as wire:
        assert not wire.send(add(server.token, [item("in-the-clear")])).rest().startswith(b"HTTP/")
    assert "in-the-clear" not in names(server)


def test_headers_that_never_end_are_cut_off(server: PlantelServer) -> None:
    with Wire(server.port, server.context) as wire:
        assert wire.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nX").rest() == b""


# --- curl -------------------------------------------------------------------------------------------------------------


def curl(server: PlantelServer, token: str, *options: str) -> tuple[str, str, str]:
    """Body, status and HTTP version."""
    told = ("--write-out", "\n%{http_code} %{http_version}")
    command = ["curl", "-sS", "-m", str(int(PATIENCE)), "--cacert", str(server.ca), *told, *options, server.url + ADD]
    done = subprocess.run(
        [*command, "-H", f"Authorization: Basic {token}"], capture_output=True, text=True, timeout=60, check=True
    )
    body, _, rest = done.stdout.partition("\n")
    status, version = rest.split()
    return body, status, version


@pytest.mark.parametrize(("option", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_curl_adds_over_either_http(server: PlantelServer, option: str, version: str, tls: str) -> None:
    name = f"curl-{version}-{tls}"
    field = "queuemember=" + json.dumps([item(name, phone=f"SIP/{name.replace('.', '-')}")])
    answer = curl(server, server.token, option, "--tlsv1.2", "--tls-max", tls, "--data-urlencode", field)
    assert answer == ("1", "200", version)
    assert name in names(server)


@pytest.mark.parametrize(("option", "version"), [("--http2", "2"), ("--http1.1", "1.1")])
def test_curl_reads_an_early_answer_while_it_sends(
    server: PlantelServer, tmp_path: Path, option: str, version: str
) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"queuemember=" + b"x" * 5 * LIMIT)
    sending = (option, "--data-binary", f"@{big}")
    assert curl(server, server.token, *sending) == ("0", "413", version)
    assert curl(server, basic("curl", "wrong"), *sending) == ("0", "401", version)


# --- httpx ------------------------------------------------------------------------------------------------------------


def test_httpx_reads_an_early_answer_while_it_sends(server: PlantelServer, client: httpx.Client) -> None:
    def post(token: str, size: int) -> tuple[str, int, str]:
        headers = {"authorization": f"Basic {token}", "content-type": FORM}
        answer = client.post(server.url + ADD, content=b"x" * size, headers=headers)
        return answer.http_version, answer.status_code, answer.headers["plantel-code"]

    for size in (100, LIMIT - 1, 8 * LIMIT):
        assert post(basic(f"httpx-{size}", "wrong"), size) == ("HTTP/2", 401, "not_authenticated")
    assert post(server.token, 8 * LIMIT) == ("HTTP/2", 413, "body_too_large")
    assert post(server.token, 100) == ("HTTP/2", 200, "field_missing")


def test_a_body_of_unannounced_size_that_grows_too_large_is_413(server: PlantelServer, client: httpx.Client) -> None:
    headers = {"authorization": f"Basic {server.token}", "content-type": FORM}
    answer = client.post(server.url + ADD, content=(b"x" * 65536 for _ in range(64)), headers=headers)
    assert (answer.http_version, answer.status_code, answer.text) == ("HTTP/2", 413, "0")


# --- single frames ----------------------------------------------------------------------------------------------------


class Frames:
    """One HTTP/2 connection, frame by frame."""

    def __init__(self, server: PlantelServer) -> None:
        context = server.context
        context.set_alpn_protocols(["h2"])
        self._token = server.token
        self._wire = Wire(server.port, context)
        # what this side sends may be wrong on purpose
        config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self._unseen: list[h2.events.Event] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._wire.close()

    def request(self, *more: tuple[str, str]) -> int:
        """The headers of the published call on a new stream; its number."""
        stream: int = self.h2.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", ADD)]
        fields = [("authorization", f"Basic {self._token}"), ("content-type", FORM)]
        self.h2.send_headers(stream, [*pseudo, *fields, *more])
        return stream

    def flush(self) -> None:
        self._wire.send(self.h2.data_to_send())

    def wait(self, kind: type[Event], stream: int) -> Event:
        """The next event of that kind on that stream; all others are passed over."""
        self.flush()
        while True:
            for place, event in enumerate(self._unseen):
                if isinstance(event, kind) and getattr(event, "stream_id", None) == stream:
                    return self._unseen.pop(place)  # type: ignore[return-value]  # isinstance has seen to it
            data = self._wire.socket.recv(65536)
            assert data, "the server closed the connection"
            self._unseen += self.h2.receive_data(data)
            self.flush()

    def answer(self, stream: int) -> tuple[str, bytes]:
        """Status and body."""
        headers = {bytes(name): bytes(value) for name, value in self.wait(h2.events.ResponseReceived, stream).headers}
        body = self.wait(h2.events.DataReceived, stream).data
        self.wait(h2.events.StreamEnded, stream)
        return headers[b":status"].decode(), bytes(body)

    def add(self, name: str) -> tuple[str, bytes]:
        """Add one agent on a new stream."""
        stream = self.request()
        self.h2.send_data(stream, form([item(name, phone=f"SIP/{name}")]), end_stream=True)
        return self.answer(stream)


@pytest.fixture
def frames(server: PlantelServer) -> Iterator[Frames]:
    with Frames(server) as made:
        yield made


@pytest.mark.parametrize("code", [h2.errors.ErrorCodes.CANCEL, h2.errors.ErrorCodes.INTERNAL_ERROR])
def test_a_stream_that_is_reset_stores_nothing(
    server: PlantelServer, frames: Frames, code: h2.errors.ErrorCodes
) -> None:
    body = form([item("reset", phone="SIP/reset")])
    for more in ((), (("content-length", str(len(body) + 1)),)):
        stream = frames.request(*more)
        frames.h2.send_data(stream, body)
        frames.flush()
        frames.h2.reset_stream(stream, code)
    assert frames.add("after-reset") == ("200", b"1")
    assert "reset" not in names(server)


@pytest.mark.parametrize("end", ["empty", "trailers"])
def test_a_stream_of_unannounced_size_may_end_with_an_empty_frame_or_trailers(
    server: PlantelServer, frames: Frames, end: str
) -> None:
    stream = frames.request()
    frames.h2.send_data(stream, form([item(f"ended-{end}", phone=f"SIP/{end}")]))
    if end == "empty":
        frames.h2.send_data(stream, b"", end_stream=True)
    else:
        frames.h2.send_headers(stream, [("x-sum", "1")], end_stream=True)
    assert frames.answer(stream) == ("200", b"1")
    assert f"ended-{end}" in names(server)


def test_a_connection_that_ends_amid_a_stream_stores_nothing(server: PlantelServer) -> None:
    with Frames(server) as cut:
        cut.h2.send_data(cut.request(), form([item("dropped", phone="SIP/dropped")]))
        cut.flush()
    with Frames(server) as frames:
        assert frames.add("after-drop") == ("200", b"1")
    assert "dropped" not in names(server)


def test_a_stream_that_never_ends_is_408_and_the_others_go_on(server: PlantelServer, frames: Frames) -> None:
    body = form([item("unended", phone="SIP/unended")])
    unended = frames.request(("content-length", str(len(body) + 30)))
    frames.h2.send_data(unended, body)
    assert frames.add("beside") == ("200", b"1")
    assert frames.answer(unended) == ("408", b"0")
    assert frames.add("behind") == ("200", b"1")
    assert "unended" not in names(server)


@pytest.mark.parametrize("off", [-1, 1])
def test_a_stream_whose_length_is_not_the_announced_one_is_reset(
    server: PlantelServer, frames: Frames, off: int
) -> None:
    body = form([item("misled", phone="SIP/misled")])
    stream = frames.request(("content-length", str(len(body) + off)))
    frames.h2.send_data(stream, body, end_stream=True)
    assert frames.wait(h2.events.StreamReset, stream).error_code == h2.errors.ErrorCodes.PROTOCOL_ERROR
    assert frames.add("after-misled") == ("200", b"1")
    assert "misled" not in names(server)


def test_many_streams_share_a_connection(server: PlantelServer, frames: Frames) -> None:
    streams = [frames.request() for _ in range(STREAMS)]
    for stream in streams:
        frames.h2.send_data(stream, form([item(f"stream-{stream}", phone=f"SIP/stream{stream}")]), end_stream=True)
    assert {frames.answer(stream) for stream in streams} == {("200", b"1")}
    assert {f"stream-{stream}" for stream in streams} <= names(server)
