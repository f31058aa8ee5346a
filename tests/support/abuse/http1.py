"""HTTP/1.1 requests, byte by byte as they are wanted."""

from collections.abc import Mapping

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
LOG_IN = "/Integra/resources/auth/getUserToken"
LOG_OUT = "/Integra/resources/auth/EndSession"
ADD = "/Integra/resources/queues/addqueuemember"
MEMBERS = "/Integra/resources/queues/getqueuemembersofqueue"
API = "/api/v1/"
DOCUMENT = f"{API}schema/openapi.json"
"""The largest answer that a stranger gets."""

CHUNKED = {"Transfer-Encoding": "chunked"}


def request(
    method: str,
    path: str,
    body: bytes = b"",
    *,
    token: str = "",
    host: str = "localhost",
    kind: str = FORM,
    headers: Mapping[str, str] | None = None,
    length: int | None = -1,
) -> bytes:
    """The whole request. `length` says what Content-Length tells in place of the truth; None leaves it out."""
    fields = {"Host": host, "Content-Type": kind, **(headers or {})}
    if token:
        fields["Authorization"] = f"Basic {token}"
    if length is not None:
        fields["Content-Length"] = str(len(body) if length < 0 else length)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)
