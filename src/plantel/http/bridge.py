"""From RSGI to ASGI, for what a framework has built."""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

import structlog

from plantel.http.problems import UNREAD
from plantel.http.request import ClientGone, Request
from plantel.http.rsgi import Headers, ProtocolClosed, Transport

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]

log = structlog.get_logger()


class Bridge:
    """An ASGI application without a lifespan, behind the front door.

    It receives each body whole, within `seconds` of asking for it: BodyTooLarge and BodyTooLate are raised from its
    `receive`. A question (GET) whose client hangs up is dropped; what changes something is not.
    """

    def __init__(self, app: App, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, request: Request, state: dict[str, Any], limit: int) -> None:
        """Have one request answered, whose body may have `limit` bytes; `state` becomes that of the scope."""
        reader = _Reader(request, limit, self._seconds)
        answering = self._app(_scope(request, state), reader.receive, _Writer(request).send)
        if request.scope.method != "GET":
            await answering
            return
        try:
            await request.while_there(answering)
        except ClientGone:
            log.info("gone", path=request.path, address=request.address)


def _scope(request: Request, state: dict[str, Any]) -> Scope:
    asked = request.scope
    headers = [(name.encode(), value.encode()) for name, value in request.headers()]
    if not request.header("host"):
        headers.append((b"host", request.host.encode()))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": asked.http_version,
        "method": asked.method,
        "scheme": asked.scheme,
        "path": request.path,
        "raw_path": request.path.encode(),
        "root_path": "",
        "query_string": asked.query_string.encode(),
        "headers": headers,
        "client": _address(asked.client),
        "server": _address(asked.server),
        "state": state,
    }


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


class _Reader:
    """`receive`: the body, then, once there is nobody left to answer, the disconnection."""

    def __init__(self, request: Request, limit: int, seconds: float) -> None:
        self._request = request
        self._limit = limit
        self._seconds = seconds
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:
            await self._request.gone()
            return {"type": "http.disconnect"}
        body = bytes(await self._request.body(self._limit, self._seconds))  # all that ASGI allows
        self._complete = True
        return {"type": "http.request", "body": body, "more_body": False}


class _Writer:
    """`send`: an answer that comes in one piece goes out in one, with its length; another, bit by bit."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._start: tuple[int, Headers] = (500, ())
        self._transport: Transport | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            self._start = message["status"], [(name.decode().lower(), value.decode()) for name, value in headers]
            await self._drain()
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._transport is None:
            if not more:
                self._request.respond(*self._start, body)
                return
            self._transport = self._request.begin_response(*self._start)
        if body:
            try:
                await self._transport.send_bytes(body)
            except ProtocolClosed as error:
                # what ASGI says that `send` raises to nobody
                raise ConnectionResetError from error
        if not more:
            self._transport = None

    async def _drain(self) -> None:
        """Have the client read a refusal that comes before its body was read."""
        status, headers = self._start
        unread = status in UNREAD and self._request.scope.method != "GET" and not self._request.read
        if unread and not await self._request.drain():
            self._start = status, [*headers, ("connection", "close")]
