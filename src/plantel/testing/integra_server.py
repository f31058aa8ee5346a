"""A server that answers what is published of the wire call and nothing else: no header of Plantel's own, no JSON API.

It stands for the original product where a client is tested, and can be told to fail as networks and servers do.
"""

import base64
import contextlib
import json
import socket
import ssl
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

from plantel import errors
from plantel.batch import settle
from plantel.roster import Member, fold, parse_member


class Status(NamedTuple):
    """Answer this in place of doing anything."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b"0"


class Lose(NamedTuple):
    """Close the connection in place of answering, after (or, if not `done`, before) doing what was asked."""

    done: bool = True


class Silence(NamedTuple):
    """Do nothing and keep the connection open, until the server closes."""


class Trickle(NamedTuple):
    """Begin an answer and send a byte of it each `seconds`, without end."""

    seconds: float


class Raw(NamedTuple):
    """Send `head`, whatever it is, then `again` each `seconds` without end, if it is anything; then hang up."""

    head: bytes
    again: bytes = b""
    seconds: float = 0


Reaction = Status | Lose | Silence | Trickle | Raw


class Received(NamedTuple):
    """A request as it came. `headers` by lower-case name."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class IntegraServer:
    """The published calls over TLS on a free port of loopback, from threads of its own. Use it as a context manager.

    `user` with `password` may log in; `token` is good always. `reactions` are used up one per request; when there is
    none, the request is served. `received` holds every request. A campaign exists once it is in `campaigns`.
    """

    user = "integrador"
    password = "una contraseña & más"  # noqa: S105  # nothing but a test's

    def __init__(self, certificate: Path, key: Path, ca: Path, campaigns: frozenset[str] = frozenset()) -> None:
        self.ca = ca
        self.token = _token(self.user)
        self.tokens = {self.token}
        self.campaigns = set(campaigns)
        self.reactions: deque[Reaction] = deque()
        self.received: list[Received] = []
        self.closing = threading.Event()
        self._by_agent: dict[tuple[str, str], Member] = {}
        self._on_phone: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["http/1.1"])
        self._http = _Http(self, context)
        self.url = f"https://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.hang_up()
        self._http.server_close()
        if self._http.failures and error is None:
            raise self._http.failures[0]

    def members(self, campaign: str) -> list[dict[str, Any]]:
        """The members of a campaign as the wire call lists them."""
        with self._lock:
            return [_listed(each) for each in self._by_agent.values() if fold(each.campaign) == fold(campaign)]

    def receive(self, request: Received) -> Reaction | None:
        """Note the request; what was planned for it, if anything."""
        with self._lock:
            self.received.append(request)
            return self.reactions.popleft() if self.reactions else None

    def serve(self, request: Received) -> Status:
        """Do what is asked."""
        path = urlsplit(request.path)
        call = _CALLS.get(path.path)
        if call is None:
            return Status(404)
        if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
            return Status(415)
        form = {name: values[-1] for name, values in parse_qs(request.body.decode("ascii"), errors="strict").items()}
        return call(self, request, form, path.query)

    def _log_in(self, _request: Received, form: Mapping[str, str], _query: str) -> Status:
        if (form.get("user"), form.get("password")) != (self.user, self.password):
            return Status(200)
        token = _token(self.user)
        with self._lock:
            self.tokens.add(token)
        return Status(200, body=json.dumps([self.user, "agent", token]).encode())

    def _log_out(self, _request: Received, form: Mapping[str, str], _query: str) -> Status:
        with self._lock:
            if form.get("user") != self.user or form.get("token") not in self.tokens:
                return Status(200)
            self.tokens.discard(form["token"])
        return Status(200, body=b"1")

    def _list(self, request: Received, _form: Mapping[str, str], query: str) -> Status:
        if not self._knows(request):
            return _UNKNOWN_TOKEN
        campaign = unquote(query.removeprefix("queue="), errors="strict")
        return Status(200, body=json.dumps(self.members(campaign)).encode())

    def _add(self, request: Received, form: Mapping[str, str], _query: str) -> Status:
        if not self._knows(request):
            return _UNKNOWN_TOKEN
        try:
            members = [parse_member(item) for item in json.loads(form["queuemember"])]
        except (KeyError, ValueError, errors.InvalidItem):
            return Status(200)
        members, clashes = settle(members)
        with self._lock:
            if clashes or not members or not {member.campaign for member in members} <= self.campaigns:
                return Status(200)
            for member in members:
                self._put(member)
        return Status(200, body=b"1")

    def _put(self, member: Member) -> None:
        """An agent has one phone in a campaign and a phone one agent: whoever else was there goes."""
        campaign = fold(member.campaign)
        agent, phone = (campaign, member.membername), (campaign, member.phone)
        if before := self._by_agent.get(agent):
            del self._on_phone[campaign, before.phone]
        if holder := self._on_phone.get(phone):
            del self._by_agent[campaign, holder]
        self._by_agent[agent] = member
        self._on_phone[phone] = member.membername

    def _knows(self, request: Received) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            return scheme == "Basic" and token in self.tokens


_Served = Callable[[IntegraServer, Received, Mapping[str, str], str], Status]

_CALLS: dict[str, _Served] = {
    "/Integra/resources/queues/addqueuemember": IntegraServer._add,  # noqa: SLF001  # the table of its own calls
    "/Integra/resources/queues/getqueuemembersofqueue": IntegraServer._list,  # noqa: SLF001  # the same
    "/Integra/resources/auth/getUserToken": IntegraServer._log_in,  # noqa: SLF001  # the same
    "/Integra/resources/auth/EndSession": IntegraServer._log_out,  # noqa: SLF001  # the same
}

_UNKNOWN_TOKEN = Status(401, {"WWW-Authenticate": "Basic"})


def _token(user: str) -> str:
    return base64.b64encode(f"{user}:{uuid.uuid4()}".encode()).decode()


def _listed(member: Member) -> dict[str, Any]:
    return {
        "membername": member.membername,
        "queueName": member.campaign,
        "interface1": member.interface,
        "penalty": member.penalty,
        "paused": int(member.paused),
    }


class _Http(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, integra: IntegraServer, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.integra = integra
        self.failures: list[BaseException] = []
        self._context = context
        self._open: set[ssl.SSLSocket] = set()
        self._lock = threading.Lock()

    def finish_request(self, request: Any, client_address: Any) -> None:
        # Here, in the connection's own thread, a handshake that never ends holds nobody else up.
        request.settimeout(10)
        with self._context.wrap_socket(request, server_side=True) as secured:
            with self._lock:
                self._open.add(secured)
            try:
                if not self.integra.closing.is_set():
                    super().finish_request(secured, client_address)
            finally:
                with self._lock:
                    self._open.discard(secured)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # the base class' parameters
        error = sys.exception()
        # A client that refuses our certificate or hangs up is what some tests are about.
        if error is not None and not isinstance(error, OSError):
            self.failures.append(error)

    def hang_up(self) -> None:
        with self._lock:
            for each in self._open:
                # Not SSLSocket's own, which would pull the TLS state from under the thread that reads.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(each, socket.SHUT_RDWR)


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http
    timeout: ClassVar[float] = 30
    wbufsize = -1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        integra = self.server.integra
        match integra.receive(request):
            case Status() as answer:
                self._answer(answer)
            case Lose(done):
                if done:
                    integra.serve(request)
                self.close_connection = True
            case Silence():
                integra.closing.wait(_PATIENCE)
                self.close_connection = True
            case Trickle(seconds):
                self._trickle(seconds)
            case Raw() as answer:
                self._send_raw(answer)
            case None:
                self._answer(integra.serve(request))

    def _answer(self, answer: Status) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": "text/plain", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _trickle(self, seconds: float) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.integra.closing.wait(seconds):
            self.wfile.write(b" ")
            self.wfile.flush()

    def _send_raw(self, answer: Raw) -> None:
        self.close_connection = True
        self.wfile.write(answer.head)
        while answer.again and not self.server.integra.closing.wait(answer.seconds):
            self.wfile.write(answer.again)
            self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class' name
        """Keep quiet: `received` has it all."""


_PATIENCE = 120.0
"""Seconds that a silent answer is silent at most."""
