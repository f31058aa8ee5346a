"""Requests that say two things at once, connections that are never used: 400, or closed."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abuse.conftest import Stands
from tests.support.abuse.attack import BYSTANDERS, CONFIG, HTTP, Attack, AttackedServer
from tests.support.abuse.bystander import Task
from tests.support.abuse.http1 import ADD, request
from tests.support.abuse.http2 import PREFACE
from tests.support.abuse.strangers import many, many_log_ins
from tests.support.server import PlantelServer
from tests.support.tls import Certificate
from tests.support.wire import Wire

PATIENCE = 30.0

# --- one request, read as two -----------------------------------------------------------------------------------------

HOSTS = {
    "no host": "GET /health HTTP/1.1\r\n\r\n",
    "two hosts": "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: other.example.com\r\n\r\n",
    "the same host twice": "GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "another host than the address": "GET http://other.example.com/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
}

LENGTHS = {
    "two lengths": ["Content-Length: 5", "Content-Length: {size}"],
    "a list of lengths": ["Content-Length: 5, {size}"],
    "a length with a sign": ["Content-Length: +{size}"],
    "a length in hexadecimal": ["Content-Length: 0x5"],
    "a length with an underscore": ["Content-Length: 1_0"],
    "a length after a vertical tab": ["Content-Length:\x0b{size}"],
    "a length before a blank": ["Content-Length : {size}"],
    "a coding that is none": ["Transfer-Encoding: chunked-ish"],
    "a coding twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    "a coding before a blank": ["Transfer-Encoding : chunked", "Content-Length: 5"],
    "a coding after a tab": ["Transfer-Encoding:\x0bchunked", "Content-Length: 5"],
    "a coding that is not the last": ["Transfer-Encoding: chunked, gzip", "Content-Length: 5"],
    "a folded coding": ["Transfer-Encoding:\r\n chunked", "Content-Length: 5"],
    "a bare line feed": ["X: y\nTransfer-Encoding: chunked", "Content-Length: 5"],
    "a bare carriage return": ["X: y\rContent-Length: 7", "Content-Length: 5"],
    "a nul in a name": ["Content-Length\x00: 7", "Content-Length: 5"],
}


@pytest.fixture(scope="module")
def site(servers: dict[bool, AttackedServer]) -> AttackedServer:
    return servers[False]


@pytest.mark.parametrize("raw", HOSTS.values(), ids=HOSTS)
def test_an_address_that_is_none_or_two_is_400(site: AttackedServer, raw: str) -> None:
    with Wire(site.server.port) as wire:
        assert wire.send(raw.encode()).answer().status == 400


@pytest.mark.parametrize("lines", LENGTHS.values(), ids=LENGTHS)
def test_no_second_request_hides_in_a_body(site: AttackedServer, lines: list[str]) -> None:
    """Whatever a proxy before it may have understood: the second is refused with the first, or never asked."""
    member = {"membername": "smuggled", "queueName": BYSTANDERS, "interface1": "SIP/7", "penalty": "0", "paused": "0"}
    body = b"queuemember=" + json.dumps([member]).encode()
    second = request("POST", ADD, body, token=site.tokens["integrator"])
    hidden = b"0\r\n\r\n" + second
    head = ["POST /nowhere HTTP/1.1", "Host: localhost", *(line.format(size=len(hidden)) for line in lines), "", ""]
    with Wire(site.server.port) as wire:
        wire.send_anyway("\r\n".join(head).encode("latin-1"), hidden).rest()
    assert "smuggled" not in {one["membername"] for one in site.server.members(BYSTANDERS)}


# --- connections that nobody uses -------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("alpn", ["", "h2"], ids=["HTTP/1.1", "HTTP/2"])
@pytest.mark.parametrize("begin", [b"", PREFACE[:10], PREFACE], ids=["silence", "half a preface", "a preface"])
def test_a_connection_over_tls_that_says_nothing_is_closed(
    servers: dict[bool, AttackedServer], alpn: str, begin: bytes
) -> None:
    context = servers[True].server.context
    context.set_alpn_protocols([alpn] if alpn else [])
    with Wire(servers[True].server.port, context) as wire:
        wire.socket.settimeout(PATIENCE)
        wire.send(begin).rest()  # which returns once the server has closed the connection


@pytest.mark.long
def test_a_connection_without_a_handshake_is_closed(servers: dict[bool, AttackedServer]) -> None:
    with socket.create_connection(("127.0.0.1", servers[True].server.port), timeout=PATIENCE) as plain:
        assert plain.recv(1) == b""


@pytest.fixture(params=[False, True], ids=["plain", "TLS"])
def cramped(request: pytest.FixtureRequest, tmp_path: Path, certificate: Certificate) -> Iterator[AttackedServer]:
    """A server that may never open more than 1,024 descriptors."""
    server = PlantelServer(
        tmp_path,
        certificate=certificate if request.param else None,
        http=HTTP,
        config=CONFIG,
        under=["prlimit", "--nofile=1024:1024"],
    )
    with AttackedServer(server).running() as attacked:
        yield attacked


@pytest.mark.long
def test_more_connections_than_descriptors_starve_nobody(cramped: AttackedServer) -> None:
    """Whoever is connected is served on; whoever comes is, too, as soon as a deadline makes room."""
    attack = Attack("1,100 silent connections", "stranger", many(1100, b"", tls=False), side=1, full=True)
    outcome = cramped.measure(attack, 6.0, patience=20)
    assert not outcome.bystanders["add"].wrong
    assert outcome.wait(100) < 2
    with Wire(cramped.server.port, cramped.context()) as wire:
        assert wire.send(request("GET", "/health")).answer().status == 200
    assert outcome.settled, outcome


# --- a right password -------------------------------------------------------------------------------------------------


def test_a_right_password_does_not_wait_for_wrong_ones(stands: Stands) -> None:
    """Wrong ones from 100 addresses: those who log in from another are let in, if not at once."""
    attack = Attack("100 log-ins at once", "stranger", many_log_ins, side=1, memory=320)
    stands(attack, (Task("add", 20.0), Task("login", 2.0)))
