"""The front door: which instance, from which address, to which handler; CORS around all of it."""

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import msgspec
import structlog

from plantel import errors
from plantel.http import limits, ops
from plantel.http.api import BATCHES, ErrorView, make_api
from plantel.http.bridge import App, Bridge
from plantel.http.instance import Instance
from plantel.http.integra import PREFIX, TEXT, ZERO, Integra
from plantel.http.problems import headers, statuses
from plantel.http.request import Request
from plantel.http.rsgi import Exchange, Headers, Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_EXPOSED = "Plantel-Batch, Plantel-Code, Plantel-Reason, Plantel-Delivery, Plantel-Warning, Retry-After"
_JSON = ("content-type", "application/json")
_HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
_FOREIGN = frozenset({"cross-site", "same-site"})
"""What browsers say in Sec-Fetch-Site of a page that is not of this very host, whatever else its site has."""
_METRICS = ("content-type", "text/plain; version=0.0.4; charset=utf-8")

log = structlog.get_logger()


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
        self._api = Bridge(cast("App", make_api()), body_timeout)
        self._body_limit = body_limit
        self._trouble = trouble
        self._trusted: tuple[Network, ...] = tuple(ipaddress.ip_network(one, strict=False) for one in trusted)
        self._origins = frozenset(origins)

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """One HTTP request."""
        request = Request(scope, exchange)
        proxied = bool(self._trusted) and self._is_trusted(request.peer)
        if proxied:
            request.address = self._client(request)
        try:
            if not request.names_one_host:
                raise errors.HostUnclear
            if self._crosses(request, proxied=proxied):
                return
            instance = self._default
            if self._hosts:
                instance = self._instance(self._host(request, proxied=proxied))
            if instance is None:
                raise errors.UnknownInstance(host=self._host(request, proxied=proxied))
        except errors.PlantelError as error:
            await _refuse(request, error)
        else:
            await self._answer(request, instance)

    async def _answer(self, request: Request, instance: Instance) -> None:
        path = request.path
        if path.startswith(PREFIX):
            await self._integra(instance, request)
        elif path == "/health":
            trouble = self._trouble()
            status = 200 if trouble is None else statuses(trouble).api
            request.respond(status, [_JSON], ops.health(instance, trouble))
        # behind a proxy on this machine everybody comes from it
        elif path == "/metrics" and _is_loopback(request.peer) and _is_loopback(request.address):
            instances = {one.name: one for one in (*self._hosts.values(), self._default) if one}
            request.respond(200, [_METRICS], ops.metrics(instances.values(), self._trouble()))
        elif (path == "/api" or path.startswith("/api/")) and len(path) <= limits.PATH and "\0" not in path:
            limit = self._body_limit if path in BATCHES else limits.SMALL_BODY
            await self._api(request, {"plantel_instance": instance, "plantel_request": request}, limit)
        else:
            request.respond(404, [TEXT, *headers(errors.NotFound())], ZERO)

    def _host(self, request: Request, *, proxied: bool) -> str:
        """The host that the client asked for."""
        forwarded = [value for name, value in request.headers() if name == "x-forwarded-host"] if proxied else []
        # the last line is the proxy's own
        return (forwarded[-1].partition(",")[0].strip() if forwarded else "") or request.host

    def _crosses(self, request: Request, *, proxied: bool) -> bool:
        """Have the answer say that a listed origin may read it; whether that, to a preflight request, was all.

        Raises ForeignOrigin if a page of another site would change something: a browser sends along the credentials
        that it has for this server. Other clients send neither Origin nor Sec-Fetch-Site.
        """
        origin, site = request.header("origin"), request.header("sec-fetch-site")
        if not origin and not site:
            return False
        method = request.scope.method
        if not origin or (origin not in self._origins and "*" not in self._origins):
            if method not in _HARMLESS and (
                site in _FOREIGN or (origin and not _same_host(origin, self._host(request, proxied=proxied)))
            ):
                raise errors.ForeignOrigin(origin=origin or site)
            return False
        if method == "OPTIONS" and request.header("access-control-request-method"):
            request.respond(200, _preflight(origin, request.header("access-control-request-headers")), b"")
            return True
        request.added = (
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", _EXPOSED),
            ("vary", "Origin"),
        )
        return False

    def _instance(self, host: str) -> Instance | None:
        name = host.lower()
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
        for hop in reversed(forwarded.rsplit(",", limits.HOPS)[-limits.HOPS :]):
            candidate = _address(hop.strip())
            if candidate is None:
                break
            address = candidate
            if not self._is_trusted(candidate):
                break
        return address


async def _refuse(request: Request, error: errors.PlantelError) -> None:
    """Answer a request that nobody looks at any further."""
    extra = headers(error)
    if not await request.drain():
        extra.append(("connection", "close"))
    log.warning("refused", path=request.path, address=request.address, code=error.code, reason=str(error))
    if request.path.startswith("/api"):
        body, kind = msgspec.json.encode(ErrorView(error.code, error.say(request.language))), _JSON
    else:
        body, kind = ZERO if request.path.startswith(PREFIX) else b"", TEXT
    request.respond(statuses(error).integra, [kind, *extra], body)


def _same_host(origin: str, host: str) -> bool:
    """Whether `origin` (`https://crm.example.com`) is a page of this server. Behind a proxy the scheme may differ."""
    return _without_usual_port(origin.partition("://")[2]) == _without_usual_port(host)


def _without_usual_port(host: str) -> str:
    return host.lower().removesuffix(":443").removesuffix(":80")


def _address(hop: str) -> str | None:
    """The IP address of a hop, None if it is none. Some proxies add a port: `192.0.2.7:400`, `[2001:db8::7]:400`."""
    if "%" in hop:  # the name of an interface may follow, as long as anybody likes
        return None
    for text in (hop, hop.partition("]")[0].removeprefix("["), hop.partition(":")[0]):
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            continue
    return None


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
