"""The front door: which instance, from which address, to which handler; CORS around all of it."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

from plantel import errors
from plantel.http import ops
from plantel.http.api import make_api
from plantel.http.bridge import App, Bridge
from plantel.http.instance import Instance
from plantel.http.integra import PREFIX, TEXT, ZERO, Integra
from plantel.http.problems import headers, statuses
from plantel.http.request import Request
from plantel.http.rsgi import Exchange, Headers, Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_EXPOSED = "Plantel-Batch, Plantel-Code, Plantel-Reason, Plantel-Delivery, Plantel-Warning, Retry-After"
_JSON = ("content-type", "application/json")
_METRICS = ("content-type", "text/plain; version=0.0.4; charset=utf-8")


class FrontDoor:
    """The whole RSGI application.

    `hosts` maps lower-case host names to instances; `default` answers for any other host, None refuses them. Forwarding
    headers (X-Forwarded-For, X-Forwarded-Host) count only from `trusted` networks; `origins` may call from a browser
    (`*`: any), none by default. `trouble`: why the store cannot be reached just now, as far as is known.
    """

    def __init__(
        self,
        hosts: Mapping[str, Instance],
        default: Instance | None,
        integra: Integra,
        *,
        body_limit: int,
        body_timeout: float = 30.0,
        trouble: Callable[[], errors.StoreError | None] = lambda: None,
        trusted: Sequence[str] = (),
        origins: Iterable[str] = (),
    ) -> None:
        self._hosts = dict(hosts)
        self._default = default
        self._integra = integra
        # Litestar spells the ASGI types in its own way
        self._api = Bridge(cast("App", make_api()), body_limit, body_timeout)
        self._trouble = trouble
        self._trusted: tuple[Network, ...] = tuple(ipaddress.ip_network(one, strict=False) for one in trusted)
        self._origins = frozenset(origins)

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """One HTTP request."""
        request = Request(scope, exchange)
        if self._origins and self._crosses(request):
            return
        proxied = bool(self._trusted) and self._is_trusted(request.peer)
        if proxied:
            request.address = self._client(request)
        instance = self._instance(request, proxied=proxied) if self._hosts else self._default
        path = request.path
        if instance is None:
            error = errors.UnknownInstance(host=request.host)
            body = ZERO if path.startswith(PREFIX) else b""
            request.respond(statuses(error).integra, [TEXT, *headers(error)], body)
        elif path.startswith(PREFIX):
            await self._integra(instance, request)
        elif path == "/health":
            trouble = self._trouble()
            status = 200 if trouble is None else statuses(trouble).api
            request.respond(status, [_JSON], ops.health(instance, trouble))
        # behind a proxy on this machine everybody comes from it
        elif path == "/metrics" and _is_loopback(request.peer) and _is_loopback(request.address):
            instances = {one.name: one for one in (*self._hosts.values(), self._default) if one}
            request.respond(200, [_METRICS], ops.metrics(instances.values(), self._trouble()))
        elif path == "/api" or path.startswith("/api/"):
            await self._api(request, {"plantel_instance": instance, "plantel_address": request.address})
        else:
            request.respond(404, [TEXT, *headers(errors.NotFound())], ZERO)

    def _crosses(self, request: Request) -> bool:
        """Have the answer say that a listed origin may read it; whether that, to a preflight request, was all."""
        origin = request.header("origin")
        if not origin or (origin not in self._origins and "*" not in self._origins):
            return False
        if request.scope.method == "OPTIONS" and request.header("access-control-request-method"):
            request.respond(200, _preflight(origin, request.header("access-control-request-headers")), b"")
            return True
        request.added = (
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", _EXPOSED),
            ("vary", "Origin"),
        )
        return False

    def _instance(self, request: Request, *, proxied: bool) -> Instance | None:
        forwarded = [value for name, value in request.headers() if name == "x-forwarded-host"] if proxied else []
        # the last line is the proxy's own
        host = forwarded[-1].partition(",")[0].strip() if forwarded else ""
        name = (host or request.host).lower()
        return self._hosts.get(name) or self._hosts.get(_without_port(name)) or self._default

    def _is_trusted(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)

    def _client(self, request: Request) -> str:
        """The address farthest along X-Forwarded-For that a trusted proxy vouches for."""
        address = request.peer
        forwarded = ",".join(value for name, value in request.headers() if name == "x-forwarded-for")
        for hop in reversed(forwarded.split(",")):
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


def _preflight(origin: str, wanted: str) -> Headers:
    return [
        TEXT,
        ("access-control-allow-origin", origin),
        ("access-control-allow-methods", "GET, POST"),
        ("access-control-allow-headers", wanted or "authorization, content-type, prefer"),
        ("access-control-max-age", "600"),
        ("vary", "Origin, Access-Control-Request-Headers"),
    ]
