"""The front door: which instance, from which address, to which handler; CORS around all of it."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from plantel import errors
from plantel.http import ops
from plantel.http.api import make_api
from plantel.http.instance import Instance
from plantel.http.integra import PREFIX, Integra
from plantel.http.problems import headers, statuses
from plantel.http.request import App, Message, Receive, Request, Scope, Send, respond, timely

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_EXPOSED = b"Plantel-Batch, Plantel-Code, Plantel-Reason, Plantel-Delivery, Plantel-Warning, Retry-After"


class FrontDoor:
    """The whole ASGI application.

    `hosts` maps lower-case host names to instances; `default` answers for any other host, None refuses them. Forwarding
    headers (X-Forwarded-For, X-Forwarded-Host) count only from `trusted` networks; `origins` may call from a browser
    (`*`: any), none by default.
    """

    def __init__(
        self,
        hosts: Mapping[str, Instance],
        default: Instance | None,
        integra: Integra,
        *,
        body_limit: int,
        body_timeout: float = 30.0,
        trusted: Sequence[str] = (),
        origins: Iterable[str] = (),
    ) -> None:
        self._hosts = dict(hosts)
        self._default = default
        self._integra = integra
        # Litestar spells the ASGI types in its own way
        self._api = cast("App", make_api(body_limit))
        self._body_timeout = body_timeout
        self._trusted: tuple[Network, ...] = tuple(ipaddress.ip_network(one, strict=False) for one in trusted)
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        if scope["type"] != "http":
            return
        fields: dict[bytes, bytes] = dict(scope["headers"])
        if self._origins and (origin := fields.get(b"origin")) and (origin in self._origins or b"*" in self._origins):
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in fields:
                await _preflight(send, origin, fields.get(b"access-control-request-headers", b""))
                return
            send = _with_cors(send, origin)
        path: str = scope["path"]
        address: str = (scope.get("client") or ("", 0))[0]
        peer = address
        proxied = bool(self._trusted) and self._is_trusted(address)
        if proxied:
            address = self._client(scope, address)
        instance = self._instance(fields, proxied=proxied) if self._hosts else self._default
        if instance is None:
            error = errors.UnknownInstance(host=fields.get(b"host", b"").decode("iso-8859-1"))
            body = b"0" if path.startswith(PREFIX) else b""
            await respond(send, statuses(error).integra, body, b"text/plain; charset=utf-8", headers(error))
        elif path.startswith(PREFIX):
            await self._integra(instance, Request(scope, receive, fields, address), send)
        elif path == "/health":
            await respond(send, 200, ops.health(instance), b"application/json", [])
        elif path == "/metrics" and _is_loopback(peer):
            body = ops.metrics({one.name: one for one in (*self._hosts.values(), self._default) if one}.values())
            await respond(send, 200, body, b"text/plain; version=0.0.4; charset=utf-8", [])
        elif path == "/api" or path.startswith("/api/"):
            scope["state"] = {**scope.get("state", {}), "plantel_instance": instance, "plantel_address": address}
            await self._api(scope, timely(receive, self._body_timeout), send)
        else:
            error_there = errors.NotFound()
            await respond(send, 404, b"0", b"text/plain; charset=utf-8", headers(error_there))

    def _instance(self, fields: dict[bytes, bytes], *, proxied: bool) -> Instance | None:
        host = fields.get(b"x-forwarded-host", b"").partition(b",")[0].strip() if proxied else b""
        name = (host or fields.get(b"host", b"")).decode("iso-8859-1").lower()
        return self._hosts.get(name) or self._hosts.get(_without_port(name)) or self._default

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)

    def _client(self, scope: Scope, address: str) -> str:
        """The address farthest along X-Forwarded-For that a trusted proxy vouches for."""
        forwarded = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
        for hop in reversed(forwarded.decode("iso-8859-1").split(",")):
            candidate = hop.strip()
            if not candidate:
                break
            address = candidate
            if not self._is_trusted(candidate):
                break
        return address


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


async def _preflight(send: Send, origin: bytes, wanted: bytes) -> None:
    allowed = [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", wanted or b"authorization, content-type, prefer"),
        (b"access-control-max-age", b"600"),
        (b"vary", b"Origin, Access-Control-Request-Headers"),
    ]
    await respond(send, 200, b"", b"text/plain; charset=utf-8", allowed)


def _with_cors(send: Send, origin: bytes) -> Send:
    async def sender(message: Message) -> None:
        if message["type"] == "http.response.start":
            extra = [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", _EXPOSED),
                (b"vary", b"Origin"),
            ]
            message = {**message, "headers": [*message.get("headers", ()), *extra]}
        await send(message)

    return sender
