"""Record what each of the seven clients sends: `python -m tests.clients.record`, from the root of the project.

Writes `recorded/NAME.http` for every client, the bytes of its request with the headers that differ from run to run put
to fixed values; the body is untouched.
"""

import json
import re
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

from tests.clients.seven import CLIENTS, HARD_NAMES, Bench, pages, run
from tests.support.tls import Certificate, make_certificate

RECORDED = Path(__file__).with_name("recorded")
TOKEN = "TOKEN"

FIXED = {
    "host": "plantel.example.com",
    "origin": "https://crm.example.com",
    "referer": "https://crm.example.com/",
}
"""Values of the headers that name this run's ports."""

VERSION = re.compile(r"(?<=[/\"])\d+(\.\d+)*")
"""A program's version, as in `curl/7.88.1` and `v="120"`; it becomes 0."""


class _Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    requests: "list[bytes]"

    def do_OPTIONS(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = [self.requestline, *(f"{name}: {_fixed(name, value)}" for name, value in self.headers.items())]
        self.requests.append("".join(f"{line}\r\n" for line in [*head, ""]).encode("latin-1") + body)
        self._answer(b"1")

    def _answer(self, body: bytes) -> None:
        self.send_response_only(200)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "authorization, content-type")
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        pass


def _fixed(name: str, value: str) -> str:
    return FIXED.get(name.lower()) or VERSION.sub("0", value)


@contextmanager
def _recorder(certificate: Certificate) -> Iterator[tuple[str, list[bytes]]]:
    """A TLS server that answers `1` to everything; gives its URL and the list of the requests so far."""
    requests: list[bytes] = []
    handler = type("Recorder", (_Recorder,), {"requests": requests})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://localhost:{server.server_port}/Integra/resources/queues/addqueuemember", requests
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    """Run every client once with all the hard names in one batch."""
    members = [
        {"membername": name, "queueName": name, "interface1": f"SIP/{1001 + at}", "penalty": "0", "paused": "0"}
        for at, name in enumerate(HARD_NAMES)
    ]
    batch = RECORDED / "members.json"
    batch.write_text(json.dumps(members, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    with TemporaryDirectory() as made, pages() as origin:
        folder = Path(made)
        certificate = make_certificate(folder)
        with _recorder(certificate) as (url, requests):
            bench = Bench(url, certificate.ca, origin, folder)
            for name in CLIENTS:
                printed = run(name, bench, TOKEN, [batch])
                sys.stdout.write(f"{name}: {printed!r}\n")
                (RECORDED / f"{name}.http").write_bytes(requests.pop())


if __name__ == "__main__":
    main()
