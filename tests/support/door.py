"""The whole HTTP side in this process, on a MemoryStore: for what needs no socket."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus, urlencode

from plantel.access import Actor, Role, Token, digest, token_text
from plantel.delivery import Delivery
from plantel.errors import StoreError
from plantel.http.app import FrontDoor
from plantel.http.auth import Authenticator
from plantel.http.instance import Instance
from plantel.http.integra import Integra
from plantel.http.passwords import Passwords
from plantel.ports import Store
from plantel.roster import Interfaces, Member
from plantel.service import Service
from plantel.testing.memory_store import MemoryData, MemoryStore
from tests.support.rsgi import Answer, Exchange, Scope

ADD = "/Integra/resources/queues/addqueuemember"
FORM = "application/x-www-form-urlencoded"
OPERATOR = Actor("tests", Role.ADMIN)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class SetClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = EPOCH

    def now(self) -> datetime:
        return self.moment


@dataclass
class Door:
    """Two instances (`default`, and `other` under the host other.example.com), and a way to knock."""

    door: FrontDoor
    store: Store
    clock: SetClock
    instances: dict[str, Instance]
    passwords: Passwords
    secrets: dict[str, str] = field(default_factory=dict)

    async def token(
        self,
        name: str = "tests",
        role: Role = Role.ADMIN,
        campaigns: tuple[str, ...] = (),
        instance: str = "default",
        expires: datetime | None = None,
    ) -> str:
        """A new token's text."""
        secret = f"secret-of-{name}"
        key = await self.store.write(lambda transaction: transaction.token_key())
        token = Token(instance, name, digest(key, secret), role, campaigns, EPOCH, expires)
        await self.store.write(lambda transaction: transaction.add_token(token))
        return token_text(name, secret)

    async def declare(self, *names: str, instance: str = "default") -> None:
        for name in names:
            await self.instances[instance].service.declare(OPERATOR, name)

    async def members(self, campaign: str, instance: str = "default") -> list[Member]:
        return await self.instances[instance].service.members(OPERATOR, campaign)

    async def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        chunks: Iterable[bytes] | None = None,
        host: str = "plantel.example.com",
        address: str = "192.0.2.7",
    ) -> Answer:
        """One request; `chunks` sends the body in pieces."""
        path, _, query = path.partition("?")
        pieces = list(chunks) if chunks is not None else [body]
        names = {"host": host, "content-length": str(sum(map(len, pieces))), **(headers or {})}
        exchange = Exchange(pieces)
        fields = [(name.lower(), value) for name, value in names.items() if value]
        await self.door.__rsgi__(Scope(method, path, query, fields, f"{address}:40000"), exchange)
        return exchange.answer

    async def add(self, token: str, members: object, *, raw: bytes | None = None, **options: Any) -> Answer:
        """The published call with `members` as JSON, percent-encoded; or with the body `raw`."""
        body = (
            raw if raw is not None else urlencode({"queuemember": json.dumps(members)}, quote_via=quote_plus).encode()
        )
        headers = {"content-type": FORM, "authorization": f"Basic {token}", **options.pop("headers", {})}
        return await self.call("POST", ADD, headers=headers, body=body, **options)


def item(
    membername: str = "ana", campaign: str = "Ventas->", phone: str = "SIP/1001", **keys: object
) -> dict[str, object]:
    """One object of the wire call."""
    return {"membername": membername, "queueName": campaign, "interface1": phone, "penalty": "0", "paused": "0", **keys}


def make_door(
    *,
    trusted: tuple[str, ...] = (),
    origins: tuple[str, ...] = (),
    body_limit: int = 2**20,
    trouble: Callable[[], StoreError | None] = lambda: None,
    data: MemoryData | None = None,
) -> Door:
    store = MemoryStore(data or MemoryData())
    clock = SetClock()
    instances = {}
    passwords = Passwords()
    for name in ("default", "other"):
        delivery = Delivery(())
        service = Service(store, name, clock, Interfaces(), delivery.wake)
        instances[name] = Instance(name, service, Authenticator(store, name, clock, 3600, passwords), delivery)
    integra = Integra(body_limit=body_limit, body_timeout=5, confirm="stored", deadline=1)
    door = FrontDoor(
        {"other.example.com": instances["other"]},
        instances["default"],
        integra,
        body_limit=body_limit,
        trouble=trouble,
        trusted=trusted,
        origins=origins,
    )
    return Door(door, store, clock, instances, passwords)


def basic(user: str, secret: str) -> str:
    return base64.b64encode(f"{user}:{secret}".encode()).decode()
