"""Both clients of the wire call behind the same awaitable methods, so that each test of them is written once."""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from plantel.client import AsyncIntegra, Integra, Member, Stored
from plantel.testing.integra_server import IntegraServer
from tests.support.tls import make_certificate

Kind = type[Integra | AsyncIntegra]
KINDS = (Integra, AsyncIntegra)

HARD_NAMES = ("José Ñandú", "Ventas & Cobros", "Línea 100%", "A+B", "POWER<-")
CAMPAIGNS = frozenset({*HARD_NAMES, "Ventas->", "grande"})
"""What a server under test has to know."""


class Server(Protocol):
    """What a server has to offer to be tested with the clients."""

    @property
    def url(self) -> str: ...
    @property
    def ca(self) -> Path: ...
    @property
    def token(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def password(self) -> str: ...

    def members(self, campaign: str) -> list[dict[str, Any]]: ...


@contextlib.contextmanager
def scripted_server(folder: Path) -> Iterator[IntegraServer]:
    """A running IntegraServer that knows CAMPAIGNS, its certificate in `folder`."""
    files = make_certificate(folder)
    with IntegraServer(files.cert, files.key, files.ca, CAMPAIGNS) as server:
        yield server


class Face:
    """One of the two clients."""

    def __init__(self, client: Integra | AsyncIntegra) -> None:
        self.client = client

    async def add(
        self, members: Iterable[Member | Mapping[str, Any]], stored: Callable[[Stored], object] | None = None
    ) -> list[Stored]:
        if isinstance(self.client, Integra):
            return self.client.add(members, stored)
        return await self.client.add(members, stored)

    async def members_of(self, campaign: str) -> list[Member]:
        if isinstance(self.client, Integra):
            return self.client.members_of(campaign)
        return await self.client.members_of(campaign)

    async def close(self) -> None:
        if isinstance(self.client, Integra):
            self.client.close()
        else:
            await self.client.close()


@contextlib.asynccontextmanager
async def face(kind: Kind, server: Server, **settings: Any) -> AsyncIterator[Face]:
    """A client of `server`, closed at the end; with its token and authority unless `settings` say otherwise."""
    if "user" not in settings:
        settings.setdefault("token", server.token)
    settings.setdefault("ca_file", server.ca)
    opened = Face(kind(server.url, **settings))
    try:
        yield opened
    finally:
        await opened.close()
