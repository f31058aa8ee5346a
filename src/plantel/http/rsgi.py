"""What the HTTP server hands over with each request: the parts of RSGI that are used here, as granian has them.

The specification leaves open how a body ends; see `Request` for what granian does.
"""

from collections.abc import Awaitable, Sequence
from typing import Protocol

from granian import rsgi

Headers = Sequence[tuple[str, str]]
"""Names in lower case, values in printable ASCII: the server knows no others, in either direction."""


class Fields(Protocol):
    """The headers of a request. Those whose value is not ASCII are left out."""

    def get(self, key: str, default: str = ..., /) -> str:
        """The first of that name."""

    def get_all(self, key: str, /) -> list[str]:
        """All of that name, in order."""

    def items(self) -> list[tuple[str, str]]:
        """All of them, in order, a name as often as it came."""


class Scope(Protocol):
    """What was asked. Every look at an attribute makes its value anew."""

    @property
    def http_version(self) -> str:
        """`1` (which is 1.0), `1.1` or `2`."""

    @property
    def method(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def path(self) -> str:
        """Percent-decoded."""

    @property
    def query_string(self) -> str:
        """As it was sent."""

    @property
    def authority(self) -> str | None:
        """Host and port, where the request line (or `:authority`) has them."""

    @property
    def client(self) -> str:
        """`address:port`, an IPv6 address in brackets."""

    @property
    def server(self) -> str:
        """The same, of this side."""

    @property
    def headers(self) -> Fields: ...


# granian offers it by this name, only not to type checkers
ProtocolClosed: type[Exception] = rsgi.ProtocolClosed  # type: ignore[attr-defined]
"""There is nobody left to answer."""


class Transport(Protocol):
    """An answer that is sent bit by bit; it ends when nobody holds it any more."""

    async def send_bytes(self, data: bytes, /) -> None:
        """Raises ProtocolClosed where the client is gone."""


class Exchange(Protocol):
    """One request's body, and the way back. Answering a second time does nothing."""

    def __aiter__(self) -> "Exchange":
        """The body, in pieces; to be asked for once."""

    def __anext__(self) -> Awaitable[bytes]: ...

    async def client_disconnect(self) -> None:
        """Returns once the client is gone."""

    def response_bytes(self, status: int, headers: Headers, body: bytes, /) -> None:
        """The whole answer."""

    def response_stream(self, status: int, headers: Headers, /) -> Transport:
        """The beginning of an answer."""


class Application(Protocol):
    """What answers requests."""

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """One HTTP request."""
