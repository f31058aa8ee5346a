"""Where a server is, and whether credentials may travel there."""

from ipaddress import ip_address
from typing import NamedTuple

import httpx

from plantel import errors

_ROOT = "/Integra"
"""The first part of every call's path; what stands before it is a proxy's prefix."""


class Address(NamedTuple):
    """`base` is the URL to which a call's path is appended. `loopback`: it never leaves this machine."""

    base: str
    loopback: bool


def parse_address(url: str, *, insecure_http: bool = False) -> Address:
    """The address in `url`: the server's root or, as integrators have it at hand, any of its calls.

    Raises UrlNotUsable; UrlNotSafe for plain HTTP to anything but loopback, unless `insecure_http`. Neither repeats the
    URL, which may hold a password.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise errors.UrlNotUsable from None
    if (
        parsed.scheme not in ("http", "https")
        or not parsed.host
        or parsed.userinfo
        or parsed.fragment
        or b"?" in parsed.raw_path
    ):
        raise errors.UrlNotUsable
    loopback = _is_loopback(parsed.host)
    if parsed.scheme != "https" and not loopback and not insecure_http:
        raise errors.UrlNotSafe(host=parsed.host)
    prefix = parsed.path.partition(_ROOT)[0].rstrip("/")
    return Address(f"{parsed.scheme}://{parsed.netloc.decode('ascii')}{prefix}", loopback)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
