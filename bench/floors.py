"""The two servers that single adds are held against, on the very server that Plantel runs on, over ASGI.

    python -m bench.floors bare PORT [CERT KEY]              reads the body and answers `1`
    python -m bench.floors transactions PORT [CERT KEY]      stores the one member of the body as well, in a transaction

The second is what one would write first: the plain driver in the handler, a statement for the member and one for the
journal, a durable commit, then the answer. The URL of its store, which may hold a password, is BENCH_STORE in the
environment. With a certificate they speak TLS, and HTTP/2.
"""

import os
import sys
from urllib.parse import unquote_to_bytes

import msgspec
import uvloop
from granian.constants import Interfaces

from bench.database import connect
from plantel.config import HttpSettings, Settings
from plantel.http.bridge import App, Receive, Scope, Send
from plantel.server import http_server  # so that the settings are Plantel's for good, not a copy of today's

_HEADERS = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"1")]
_FIELD = len(b"queuemember=")


async def read(receive: Receive) -> bytes:
    """The body."""
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def answer(send: Send) -> None:
    """`1`."""
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"1"})


async def bare(_scope: Scope, receive: Receive, send: Send) -> None:
    """Answer `1`."""
    await read(receive)
    await answer(send)


def transactions(url: str) -> App:
    """Answer `1` once the member is stored in the store at `url`."""
    store = connect(url)
    ids = store.campaign_ids()

    async def handle(_scope: Scope, receive: Receive, send: Send) -> None:
        (item,) = msgspec.json.decode(unquote_to_bytes((await read(receive))[_FIELD:]))
        campaign, agent, phone = ids[item["queueName"]], item["membername"], item["interface1"]
        store.add((campaign, agent, phone.lower(), phone, int(item["penalty"]), item["paused"] == "1"))
        await answer(send)

    return handle


async def serve(app: App, port: int, cert: str = "", key: str = "") -> None:
    """Serve until the process is ended."""
    settings = Settings(http=HttpSettings(bind=f"127.0.0.1:{port}", tls_cert=cert, tls_key=key))
    await http_server(settings.http, app, Interfaces.ASGINL).serve()


if __name__ == "__main__":
    kind, port, *certificate = sys.argv[1:]
    uvloop.run(serve(bare if kind == "bare" else transactions(os.environ["BENCH_STORE"]), int(port), *certificate))
