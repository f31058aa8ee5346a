"""One request over RSGI: what was asked, a body that is bounded in size and in time, and the answer."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from plantel import errors
from plantel.http.connections import LARGE, large_answers
from plantel.http.rsgi import Exchange, Headers, Scope, Transport
from plantel.language import Language
from plantel.watch import Watch

DRAIN_TIME = 2.0
"""Seconds in which an early answer still swallows the body, so that the client gets to read the answer."""

_ENDS = {"1": 1, "1.1": 1, "2": 2}
"""By HTTP version, how many empty pieces may come in a whole body whose size was not announced.

Granian has no other sign for a body that broke off: of HTTP/1 it is a second empty piece, of HTTP/2 empty pieces
without end. Where all went well one says that nothing follows; an HTTP/2 client may have ended with an empty frame or
with trailers, which is one more. Trailers of HTTP/1 cannot be told from a body that broke off, and pass for one: that
the client is still there says nothing, since it is so, too, where a chunk is none or only the sending side was closed.
"""

_watch = Watch()

T = TypeVar("T")


class ClientGone(Exception):
    """The client hung up: there is nobody left to answer."""


Body = bytes | bytearray
"""Nobody changes it."""


class Request:
    """An HTTP request, and its one answer.

    `path` is percent-decoded. `peer` is the address of the connection's other end, `address` the client's: another,
    where a trusted proxy forwards the request. `added` are headers that the answer carries, whatever it is. `read`:
    whether the whole body came in.
    """

    __slots__ = ("_address", "_begun", "_exchange", "_fields", "added", "path", "read", "scope")

    def __init__(self, scope: Scope, exchange: Exchange) -> None:
        self.scope = scope
        self.path = scope.path
        self.added: Headers = ()
        self.read = False
        self._fields = scope.headers
        self._exchange = exchange
        self._begun = False
        self._address = ""

    # --- what was asked ----------------------------------------------------------------------------------------------

    def header(self, name: str) -> str:
        """The first header of that (lower-case) name, "" where there is none."""
        return self._fields.get(name, "")

    def headers(self) -> list[tuple[str, str]]:
        """All headers."""
        return self._fields.items()

    @property
    def host(self) -> str:
        """The name under which the client looks for this server, with the port if it gave one."""
        return self.header("host") or self.scope.authority or ""

    @property
    def language(self) -> Language:
        """The one in which the client wants to be told."""
        return "es" if self.header("accept-language").lower().startswith("es") else "en"

    @property
    def names_one_host(self) -> bool:
        """Whether it is clear which host is meant: a proxy and this server must not each take another one.

        HTTP/1.0 need not name any.
        """
        hosts, authority = self._fields.get_all("host"), self.scope.authority
        if len(hosts) == 1:
            return authority is None or authority.lower() == hosts[0].lower()
        return not hosts and (authority is not None or self.scope.http_version == "1")

    @property
    def peer(self) -> str:
        return self.scope.client.rpartition(":")[0].strip("[]")

    @property
    def address(self) -> str:
        return self._address or self.peer

    @address.setter
    def address(self, address: str) -> None:
        self._address = address

    # --- its body ----------------------------------------------------------------------------------------------------

    async def body(self, limit: int, seconds: float) -> Body:
        """The whole body. Raises BodyTooLarge, and BodyTooLate where it does not come or breaks off."""
        expected = self._expected()
        if expected == 0:
            return b""
        if expected is not None and expected > limit:
            raise errors.BodyTooLarge(most=limit)
        empties = _ENDS[self.scope.http_version] if expected is None else 0
        whole = bytearray()  # a list of its pieces, joined at the end, would hold a large one twice
        size = 0
        self._begun = True
        wait = _watch.begin(seconds)
        try:
            async for piece in self._exchange:
                size += len(piece)
                if size > limit:
                    raise errors.BodyTooLarge(most=limit)
                if size == expected:
                    # nothing can follow: no need to go round again for the empty last piece
                    self.read = True
                    if not whole:
                        return piece
                    whole += piece
                    return whole
                if piece:
                    whole += piece
                elif empties:
                    empties -= 1
                else:
                    # perhaps only its sending side is closed: whoever still reads is told
                    raise errors.BodyTooLate(seconds=round(seconds), received=size)
        finally:
            if _watch.end(wait):
                raise errors.BodyTooLate(seconds=round(seconds), received=size)
        self.read = True
        return whole

    async def drain(self) -> bool:
        """Swallow a body that nobody will read, of any size, within DRAIN_TIME; whether it came to its end.

        Without it HTTP/1.1 clients that are still sending may see a reset instead of the early answer, and HTTP/2
        streams an error or, where the client waits for its window to open, nothing at all. A client that waits for
        `100 Continue` has sent nothing and needs nothing.
        """
        if self.header("expect").lower() == "100-continue":
            return False
        if not self._begun:
            self._begun = True
            aiter(self._exchange)
        empties = _ENDS[self.scope.http_version]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_TIME):
                try:
                    while empties >= 0:
                        if not await anext(self._exchange):
                            empties -= 1
                except StopAsyncIteration:
                    return True
        return False

    def _expected(self) -> int | None:
        # the server lets nothing pass that is no number, nor one beside another length
        announced = self._fields.get("content-length", "")
        return int(announced) if announced else None

    async def gone(self) -> None:
        """Return once the client is gone."""
        await self._exchange.client_disconnect()

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises; cancel it, and raise ClientGone, if the client hangs up first.

        For work that takes long and that nobody needs without its answer, e.g. checking a password.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self.gone())
        try:
            await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGone
            return task.result()
        finally:
            task.cancel()
            gone.cancel()
            # a task has what it raises, which knows this frame: they would hold each other, and the body with them
            del task, gone

    # --- its answer --------------------------------------------------------------------------------------------------

    def respond(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer, all at once. The length need not be said."""
        if len(body) > LARGE:
            large_answers.append((self.scope.client, len(body)))
        self._exchange.response_bytes(status, [*headers, *self.added] if self.added else headers, body)

    def begin_response(self, status: int, headers: Headers) -> Transport:
        """Begin an answer that is sent bit by bit, and ends when the transport is let go."""
        return self._exchange.response_stream(status, [*headers, *self.added])
