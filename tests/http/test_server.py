"""The server's own behaviour, proven at the socket of a real process."""

import json
import resource
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from plantel.http.brake import FREE_TRIES
from tests.support.door import ADD, FORM, basic, item
from tests.support.server import PlantelServer, served
from tests.support.wire import CHUNKED, LAST_CHUNK, PATIENCE, Answer, Wire, add, chunked, form, head
from tests.support.wire import names as wire_names

VENTAS = "Ventas->"
LINEA = "Línea"
LIMIT = 64 * 1024
MEMBERS = "/Integra/resources/queues/getqueuemembersofqueue"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantelServer]:
    """A Plantel without TLS that is short of patience and of room."""
    http = {"header_timeout": "1s", "body_timeout": "2s", "body_limit": LIMIT}
    made = PlantelServer(tmp_path_factory.mktemp("short"), http=http)
    made.declare([VENTAS, LINEA])
    assert made.token
    with served(made):
        yield made


@pytest.fixture
def wire(server: PlantelServer) -> Iterator[Wire]:
    with Wire(server.port) as made:
        yield made


def names(server: PlantelServer) -> set[str]:
    """Who is in the campaign, asked over a connection of its own."""
    with Wire(server.port) as wire:
        return wire_names(wire, server.token, VENTAS)


def serves(server: PlantelServer, name: str) -> bool:
    """Add an agent over a new connection and find it there."""
    with Wire(server.port) as wire:
        answer = wire.send(add(server.token, [item(name, phone=f"SIP/{name}")])).answer()
    return is_one(answer) and name in names(server)


def is_one(answer: Answer) -> bool:
    return (answer.status, answer.body) == (200, b"1")


def is_zero(answer: Answer, code: str, status: int = 200) -> bool:
    return (answer.status, answer.body, answer.code) == (status, b"0", code)


# --- a wrong Content-Length -------------------------------------------------------------------------------------------


def test_a_body_shorter_than_announced_is_408_and_the_connection_ends(server: PlantelServer, wire: Wire) -> None:
    body = form([item("short")])
    answer = wire.send(head(server.token, len(body) + 30), body).answer()
    assert is_zero(answer, "body_too_late", 408)
    assert f"{len(body)} bytes" in answer.headers["plantel-reason"]
    assert wire.rest() == b""
    assert "short" not in names(server)


def test_a_client_that_only_closed_its_sending_side_reads_408(server: PlantelServer, wire: Wire) -> None:
    body = form([item("half-closed")])
    answer = wire.send(head(server.token, len(body) + 30), body).finish_sending().answer()
    assert is_zero(answer, "body_too_late", 408)
    assert wire.rest() == b""
    assert "half-closed" not in names(server)


def test_a_body_that_is_cut_off_stores_nothing(server: PlantelServer) -> None:
    body = form([item("cut-off")])
    for start in (
        head(server.token, len(body) + 1) + body,
        head(server.token, None, CHUNKED) + chunked([body]),
        head(server.token, None, CHUNKED) + chunked([body])[:-2],
    ):
        with Wire(server.port) as wire:
            wire.send(start)
        assert serves(server, "after")
    assert "cut-off" not in names(server)


def test_many_stuck_bodies_hold_nobody_up(server: PlantelServer) -> None:
    body = form([item("stuck")])
    with ExitStack() as stack:
        stuck = [
            stack.enter_context(Wire(server.port)).send(head(server.token, len(body) + 30), body) for _ in range(300)
        ]
        assert serves(server, "meanwhile")
        assert {answer.status for answer in (wire.answer() for wire in stuck)} == {408}
    assert "stuck" not in names(server)


@pytest.mark.parametrize("raw", [False, True], ids=["encoded", "raw"])
def test_a_body_longer_than_announced_is_cut_there(server: PlantelServer, wire: Wire, raw: bool) -> None:
    members = [item("long", phone="SIP/77"), item("longer", phone="SIP/78")]
    body = b"queuemember=" + json.dumps(members).encode() if raw else form(members)
    answer = wire.send(head(server.token, len(body) - 30), body).answer()
    assert is_zero(answer, "body_cut_short")
    assert f"byte {len(body) - 30} " in answer.headers["plantel-reason"]
    assert answer.headers["plantel-batch"]
    assert wire.rest() == b"", "the rest of the body must not be answered as a request"
    assert not {"long", "longer"} & names(server)


@pytest.mark.parametrize(
    "lines", [("Content-Length: 5", "Content-Length: 7"), ("Content-Length: -5",), ("Content-Length: 5x",)]
)
def test_a_content_length_that_says_nothing_is_400(server: PlantelServer, wire: Wire, lines: tuple[str, ...]) -> None:
    assert wire.send(head(server.token, None, *lines), b"queue").answer().status == 400
    assert wire.rest() == b""


def test_a_second_request_cannot_hide_behind_both_lengths(server: PlantelServer, wire: Wire) -> None:
    smuggled = add(server.token, [item("smuggled")])
    answer = wire.send(head(server.token, len(LAST_CHUNK) + len(smuggled), CHUNKED), LAST_CHUNK, smuggled).answer()
    assert is_zero(answer, "field_missing")
    assert wire.rest() == b""
    assert "smuggled" not in names(server)


# --- deadlines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"", b"P", b"POST / HTTP/1.1\r\nHost: localhost\r\nX"])
def test_headers_that_never_end_are_cut_off(wire: Wire, start: bytes) -> None:
    assert wire.send(start).rest() == b""


def test_headers_that_drip_are_cut_off_all_the_same(server: PlantelServer, wire: Wire) -> None:
    dripped = drip(wire, head(server.token, 0), b"X-Drip: drop\r\n")
    assert dripped < 1000, "the deadline is for all of the headers"
    assert wire.rest() == b""


def test_a_body_that_drips_is_408_all_the_same(server: PlantelServer, wire: Wire) -> None:
    body = form([item("drip")])
    wire.send(head(server.token, len(body) + 1000), body)
    assert drip(wire, b"", b" ") < 1000, "the deadline is for the whole body"
    assert is_zero(wire.answer(), "body_too_late", 408)
    assert "drip" not in names(server)


def drip(wire: Wire, start: bytes, drop: bytes) -> int:
    """Send `start` without its last line, then a `drop` every 50 ms until the server reacts; how many drops it took."""
    wire.send(start.removesuffix(b"\r\n"))
    for count in range(1000):
        if wire.readable(0.05):
            return count
        wire.send_anyway(drop)
    return 1000


# --- too large --------------------------------------------------------------------------------------------------------


def test_a_body_announced_too_large_is_413_while_it_is_being_sent(server: PlantelServer, wire: Wire) -> None:
    size = 50 * LIMIT
    answer = wire.send_anyway(head(server.token, size), b"x" * size).answer()
    assert is_zero(answer, "body_too_large", 413)
    assert str(LIMIT) in answer.headers["plantel-reason"]
    assert wire.send(add(server.token, [item("after-413")])).answer().body == b"1", "the connection is still good"


def test_a_body_announced_too_large_need_not_come(server: PlantelServer, wire: Wire) -> None:
    assert is_zero(wire.send(head(server.token, LIMIT + 1)).answer(), "body_too_large", 413)
    assert wire.rest() == b""


def test_a_chunked_body_that_grows_too_large_is_413(server: PlantelServer, wire: Wire) -> None:
    wire.send(head(server.token, None, CHUNKED)).send_anyway(chunked([b"x" * 40_000] * 50), LAST_CHUNK)
    assert is_zero(wire.answer(), "body_too_large", 413)


def test_a_body_of_just_the_limit_is_taken(server: PlantelServer, wire: Wire) -> None:
    body = form([item("just")])
    body += b"&filler=" + b"x" * (LIMIT - len(body) - len("&filler="))
    assert is_one(wire.send(head(server.token, LIMIT), body).answer())


def test_the_body_limit_is_16_mib_unless_set_otherwise(plantel_server: PlantelServer) -> None:
    with Wire(plantel_server.port, plantel_server.context) as wire:
        within = wire.send(head(plantel_server.token, 2**24, "Expect: 100-continue")).line()
    with Wire(plantel_server.port, plantel_server.context) as wire:
        beyond = wire.send(head(plantel_server.token, 2**24 + 1, "Expect: 100-continue")).answer()
    assert within == b"HTTP/1.1 100 Continue"
    assert is_zero(beyond, "body_too_large", 413)


# --- chunks and 100 Continue ------------------------------------------------------------------------------------------


def test_a_body_may_come_in_chunks(server: PlantelServer, wire: Wire) -> None:
    body = form([item("chunky", phone="SIP/chunky")])
    pieces = [body[place : place + 11] for place in range(0, len(body), 11)]
    assert is_one(wire.send(head(server.token, None, CHUNKED), chunked(pieces), LAST_CHUNK).answer())
    assert "chunky" in names(server)


def test_chunks_that_are_none_store_nothing(server: PlantelServer, wire: Wire) -> None:
    answer = wire.send(head(server.token, None, CHUNKED), chunked([form([item("no-chunk")])]), b"zz\r\n").answer()
    assert is_zero(answer, "body_too_late", 408)
    assert "no-chunk" not in names(server)


def test_trailers_pass_for_a_body_that_broke_off(server: PlantelServer, wire: Wire) -> None:
    """The HTTP server gives no sign by which to tell them apart: nothing is stored that may be half a body."""
    body = form([item("trailing", phone="SIP/trailing")])
    wire.send(head(server.token, None, CHUNKED, "Trailer: X-Sum"), chunked([body]), b"0\r\nX-Sum: 1\r\n\r\n")
    assert is_zero(wire.answer(), "body_too_late", 408)
    assert "trailing" not in names(server)


def test_100_continue_is_sent_for_a_good_request(server: PlantelServer, wire: Wire) -> None:
    body = form([item("expected", phone="SIP/expected")])
    wire.send(head(server.token, len(body), "Expect: 100-continue"))
    assert (wire.line(), wire.line()) == (b"HTTP/1.1 100 Continue", b"")
    assert is_one(wire.send(body).answer())
    assert "expected" in names(server)


def test_a_wrong_token_is_told_without_100_continue(wire: Wire) -> None:
    answer = wire.send(head(basic("expecting", "wrong"), 1000, "Expect: 100-continue")).answer()
    assert is_zero(answer, "not_authenticated", 401)
    assert wire.rest() == b""


def test_a_wrong_token_is_told_while_the_body_is_being_sent(server: PlantelServer, wire: Wire) -> None:
    size = 50 * LIMIT
    answer = wire.send_anyway(head(basic("sending", "wrong"), size), b"x" * size).answer()
    assert is_zero(answer, "not_authenticated", 401)


# --- the JSON API is bounded just so ----------------------------------------------------------------------------------


def api_head(token: str, length: int) -> bytes:
    return head(token, length, path="/api/v1/members", kind="application/json")


@pytest.mark.parametrize("half_closed", [False, True])
def test_an_api_body_shorter_than_announced_is_408(server: PlantelServer, wire: Wire, half_closed: bool) -> None:
    body = json.dumps([item("api-short")]).encode()
    wire.send(api_head(server.token, len(body) + 1), body)
    if half_closed:
        wire.finish_sending()
    answer = wire.answer()
    assert (answer.status, json.loads(answer.body)["code"]) == (408, "body_too_late")
    assert wire.rest() == b""
    assert "api-short" not in names(server)


def test_an_api_body_too_large_is_413(server: PlantelServer, wire: Wire) -> None:
    answer = wire.send(api_head(server.token, LIMIT + 1)).answer()
    assert (answer.status, json.loads(answer.body)["code"]) == (413, "body_too_large")


# --- requests of other kinds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "body"), [("GET", b"0"), ("OPTIONS", b"0"), ("PUT", b"0"), ("DELETE", b"0")])
def test_other_methods_are_405(server: PlantelServer, wire: Wire, method: str, body: bytes) -> None:
    answer = wire.send(head(server.token, method=method)).answer()
    assert (answer.status, answer.body, answer.headers["allow"]) == (405, body, "POST")


def test_head_is_answered_without_a_body(server: PlantelServer, wire: Wire) -> None:
    wire.send(head(server.token, None, "Connection: close", method="HEAD"))
    assert wire.line() == b"HTTP/1.1 405 Method Not Allowed"
    assert wire.rest().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", ["/", "/Integra", "/Integra/resources/queues/other", "/%00", "/" + "x" * 60_000, "*"])
def test_unknown_paths_are_404(server: PlantelServer, wire: Wire, path: str) -> None:
    assert is_zero(wire.send(head(server.token, 0, path=path)).answer(), "not_found", 404)
    assert is_one(wire.send(add(server.token, [item("after-404")])).answer()), "the connection is still good"


def test_an_address_that_is_too_long_is_414(server: PlantelServer, wire: Wire) -> None:
    assert wire.send_anyway(head(server.token, 0, path="/" + "x" * 70_000)).answer().status == 414


def test_too_many_headers_are_431(server: PlantelServer, wire: Wire) -> None:
    many = [f"X-{number}: y" for number in range(300)]
    assert wire.send_anyway(head(server.token, 0, *many)).answer().status == 431


@pytest.mark.parametrize(
    "bad",
    [
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n",
        b"GET / HTTP/3.9\r\n\r\n",
        b"POST\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
    ],
)
def test_what_is_not_http_1_is_400(wire: Wire, bad: bytes) -> None:
    assert wire.send(bad).answer().status == 400
    assert wire.rest() == b""


def test_http_1_0_is_answered_and_closed(wire: Wire) -> None:
    assert json.loads(wire.send(b"GET /health HTTP/1.0\r\n\r\n").answer().body)["status"] == "ok"
    assert wire.rest() == b""


# --- names as they stand in a query -----------------------------------------------------------------------------------


def ask(server: PlantelServer, wire: Wire, query: bytes) -> Answer:
    return wire.send(head(server.token, 0, path=MEMBERS.encode() + b"?queue=" + query)).answer()


def test_raw_utf_8_in_the_query_is_read(server: PlantelServer, wire: Wire) -> None:
    assert is_one(wire.send(add(server.token, [item("raw-query", LINEA)])).answer())
    answer = ask(server, wire, LINEA.encode())
    assert [one["membername"] for one in json.loads(answer.body)] == ["raw-query"]


@pytest.mark.parametrize("query", [LINEA.encode("iso-8859-1"), b"Ventas->", b"POWER<-", b"Ventas 2"])
def test_raw_iso_8859_1_angles_and_blanks_in_the_query_never_reach_plantel(
    server: PlantelServer, wire: Wire, query: bytes
) -> None:
    """Whoever sends these (`<`, `>` and blanks are not allowed in a URL, RFC 3986) is refused by the HTTP server."""
    answer = ask(server, wire, query)
    assert (answer.status, answer.body) == (400, b"")


def test_the_same_names_may_stand_raw_in_the_form(server: PlantelServer, wire: Wire) -> None:
    body = b"queue=Ventas->"
    answer = wire.send(head(server.token, len(body), path=MEMBERS), body).answer()
    assert isinstance(json.loads(answer.body), list)


# --- connections ------------------------------------------------------------------------------------------------------


def test_one_connection_carries_many_requests(server: PlantelServer, wire: Wire) -> None:
    wanted = {f"kept-{number}" for number in range(200)}
    for name in sorted(wanted):
        assert is_one(wire.send(add(server.token, [item(name, phone=f"SIP/{name}")])).answer())
    assert wanted <= names(server)


def test_requests_may_be_sent_before_the_answers_are_read(server: PlantelServer, wire: Wire) -> None:
    calls = [add(server.token, [item(f"piped-{number}", phone=f"SIP/piped{number}")]) for number in range(20)]
    wire.send(*calls)
    assert all(is_one(wire.answer()) for _ in calls)
    assert {f"piped-{number}" for number in range(20)} <= names(server)


def test_idle_connections_starve_nobody_even_where_few_files_may_be_open(tmp_path: Path) -> None:
    server = PlantelServer(tmp_path)
    server.declare([VENTAS])
    assert server.token
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))  # what the server begins with
        try:
            stack.enter_context(served(server))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        idle = [stack.enter_context(Wire(server.port)) for _ in range(500)]
        for wire in idle:
            assert wire.send(head(server.token, 0, path="/", method="GET")).answer().status == 404
        assert serves(server, "one-more")
        assert all(is_one(wire.send(add(server.token, [item("idle")])).answer()) for wire in idle)


# --- who calls --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantelServer]:
    """A Plantel that trusts proxies on the loopback, and lets one origin call from browsers."""
    http = {"trusted_proxies": ["127.0.0.1"], "cors_origins": ["https://crm.example.com"]}
    made = PlantelServer(tmp_path_factory.mktemp("proxied"), http=http)
    made.declare([VENTAS])
    assert made.token
    with served(made):
        yield made


def knock(server: PlantelServer, token: str, address: str) -> int:
    with httpx.Client(timeout=PATIENCE) as client:
        headers = {"authorization": f"Basic {token}", "content-type": FORM, "x-forwarded-for": address}
        return client.post(server.url + ADD, content=form([item()]), headers=headers).status_code


def test_wrong_credentials_are_slowed_for_the_address_that_a_trusted_proxy_names(proxied: PlantelServer) -> None:
    guesses = [knock(proxied, basic("laura", f"guess {number}"), "192.0.2.1") for number in range(FREE_TRIES + 1)]
    assert guesses == [401] * FREE_TRIES + [429]
    assert knock(proxied, basic("laura", "guess"), "192.0.2.2") == 401
    assert knock(proxied, basic("tomas", "guess"), "192.0.2.1") == 401
    assert knock(proxied, proxied.token, "192.0.2.1") == 200


def test_nobody_else_gets_round_it_by_naming_an_address(server: PlantelServer) -> None:
    guesses = [
        knock(server, basic("laura", f"guess {number}"), f"192.0.2.{number}") for number in range(FREE_TRIES + 1)
    ]
    assert guesses == [401] * FREE_TRIES + [429]
    assert knock(server, server.token, "192.0.2.1") == 200


def test_browsers_may_call_from_a_listed_origin_only(server: PlantelServer, proxied: PlantelServer) -> None:
    def allowed(server: PlantelServer, origin: str) -> str | None:
        asked = {"origin": origin, "access-control-request-method": "POST"}
        found: str | None = httpx.options(server.url + ADD, headers=asked, timeout=PATIENCE).headers.get(
            "access-control-allow-origin"
        )
        return found

    assert allowed(proxied, "https://crm.example.com") == "https://crm.example.com"
    assert allowed(proxied, "https://evil.example.com") is None
    assert allowed(server, "https://crm.example.com") is None


# --- the port and the store -------------------------------------------------------------------------------------------


def test_a_port_in_use_is_said_and_harms_nobody(server: PlantelServer, tmp_path: Path) -> None:
    second = PlantelServer(tmp_path)
    taken, free = f"127.0.0.1:{server.port}", f"127.0.0.1:{second.port}"
    second.config.write_text(second.config.read_text("utf-8").replace(free, taken), "utf-8")
    for lang, said in (("en", "cannot listen on"), ("es", "no se puede escuchar en")):
        done = second.outcome("serve", lang=lang)
        assert done.returncode == 1
        assert f"{said} {taken}" in done.stderr
        assert "Traceback" not in done.stderr
    assert serves(server, "unharmed")


@pytest.mark.parametrize("kind", ["missing", "file", "directory"])
def test_a_store_that_cannot_be_opened_is_said(tmp_path: Path, kind: str) -> None:
    server = PlantelServer(tmp_path)
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("this is no folder", "utf-8")
    elif kind == "directory":
        (place / "plantel.db").mkdir(parents=True)
    server.config.write_text(
        server.config.read_text("utf-8").replace(f"{tmp_path}/plantel.db", f"{place}/plantel.db"), "utf-8"
    )
    done: subprocess.CompletedProcess[str] = server.outcome("serve")
    assert done.returncode == 1
    assert "the store is unavailable" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def no_room(server: PlantelServer) -> Iterator[None]:
    """Within the block no file of the server's can grow beyond the store's largest: its disk is as good as full."""
    assert server.process is not None
    largest = max(file.stat().st_size for file in server.folder.glob("plantel.db*"))
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_full_disk_is_503_and_over_when_there_is_room_again(tmp_path: Path) -> None:
    server = PlantelServer(tmp_path)
    server.declare([VENTAS])
    assert server.token
    many = [item(f"many-{number}", phone=f"SIP/{number}") for number in range(5000)]
    with served(server), Wire(server.port) as wire:
        with no_room(server):
            answer = wire.send(add(server.token, many)).answer()
            assert answer.status == 503
            assert answer.body == b"0"
            assert answer.code in {"store_full", "store_unavailable"}
            assert int(answer.headers["retry-after"]) >= 1
            assert names(server) == set(), "what is there can still be read"
        assert is_one(wire.send(add(server.token, many)).answer())
        assert len(names(server)) == len(many)
