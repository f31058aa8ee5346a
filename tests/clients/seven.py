"""The seven usual clients of CONTRACT: how each is prepared, and how it is started.

Their programs are in `programs/`, written as an integrator would. Every one takes `URL TOKEN FILE...`, sends the JSON
text in each FILE, and prints one line for each answer: the body as it came, a blank, the status. The test's authority
is not their business: each finds it where its platform looks for one, and verifies TLS as ever.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from tests.support.tls import key_pin

PROGRAMS = Path(__file__).with_name("programs")
JQUERY = Path("/usr/share/javascript/jquery/jquery.min.js")
JARS = ("/usr/share/java/okhttp.jar", "/usr/share/java/okio.jar")

HARD_NAMES = ("José Ñandú", "Ventas & Cobros", "Línea 100%", "A+B", "POWER<-")
"""Names in which a form, JSON or a charset goes wrong where it is handled carelessly."""

RUN_SECONDS = 60
"""How long one run of a client may take, a slow start included."""


@dataclass(frozen=True)
class Bench:
    """What the clients are run with: the call's `url`, the authority `ca` of its certificate, the `origin` from which
    the pages are served, and a `folder` for what they need to have made.

    `url` has a host name: Mono does not find an address among a certificate's names.
    """

    url: str
    ca: Path
    origin: str
    folder: Path


@dataclass(frozen=True)
class Launch:
    """A client made ready: the command before `URL TOKEN FILE...` and what its environment has to hold."""

    command: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)


def run(client: str, bench: Bench, token: str, files: Sequence[Path]) -> bytes:
    """What the client printed. Raises subprocess.CalledProcessError, with its words, where it ended in an error, and
    subprocess.TimeoutExpired after RUN_SECONDS."""
    launch = CLIENTS[client](bench)
    return _run([*launch.command, bench.url, token, *files], bench.folder, launch.env)


@contextmanager
def pages() -> Iterator[str]:
    """Serve the pages of the browser clients and jQuery on loopback; gives their origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class _Pages(SimpleHTTPRequestHandler):
    timeout = 30

    def translate_path(self, path: str) -> str:
        return str(JQUERY if path == "/jquery.min.js" else PROGRAMS / Path(path).name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        pass


def _curl(bench: Bench) -> Launch:
    return Launch(["sh", PROGRAMS / "curl.sh"], {"CURL_CA_BUNDLE": str(bench.ca)})


def _node(bench: Bench) -> Launch:
    return Launch(["node", PROGRAMS / "fetch.mjs"], {"NODE_EXTRA_CA_CERTS": str(bench.ca)})


def _chromium(page: str, bench: Bench) -> Launch:
    place = urlsplit(bench.url)
    pin = key_pin(place.hostname or "", place.port or 443, bench.ca)
    return Launch([sys.executable, PROGRAMS / "browse.py", f"{bench.origin}/{page}", pin])


def _csharp(bench: Bench) -> Launch:
    # Mono keeps the authorities that one user trusts below its configuration folder, in a form of its own.
    env = {"XDG_CONFIG_HOME": str(bench.folder / "mono")}
    program = bench.folder / "Client.exe"
    _run(["cert-sync", "--user", bench.ca], bench.folder, env)
    _run(["mcs", f"-out:{program}", "-r:System.Net.Http.dll", PROGRAMS / "Client.cs"], bench.folder)
    return Launch(["mono", program], env)


def _okhttp(bench: Bench) -> Launch:
    store = bench.folder / "trust.p12"
    store.unlink(missing_ok=True)
    where: list[str | Path] = ["-keystore", store, "-storetype", "PKCS12", "-storepass", "plantel"]
    _run(["keytool", "-importcert", "-noprompt", "-alias", "plantel", "-file", bench.ca, *where], bench.folder)
    trust = [f"-Djavax.net.ssl.trustStore={store}", "-Djavax.net.ssl.trustStorePassword=plantel"]
    # A program as short as this one gains nothing from the second compiler: without it the start costs half.
    return Launch(["java", "-XX:TieredStopAtLevel=1", *trust, "-cp", ":".join(JARS), PROGRAMS / "Client.java"])


def _python(program: str, bench: Bench) -> Launch:
    return Launch([sys.executable, PROGRAMS / program], {"SSL_CERT_FILE": str(bench.ca)})


CLIENTS: Mapping[str, Callable[[Bench], Launch]] = {
    "curl": _curl,
    "fetch-node": _node,
    "fetch-chromium": partial(_chromium, "fetch.html"),
    "jquery": partial(_chromium, "jquery.html"),
    "csharp": _csharp,
    "raw": partial(_python, "raw.py"),
    "okhttp": _okhttp,
    "httpclient": partial(_python, "httpclient.py"),
}
"""Each client by name; `fetch` twice, in Node and in a browser."""


def _run(command: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None) -> bytes:
    """Standard output of the command, in an environment that holds nothing of this machine's but PATH."""
    small = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **(env or {})}
    done = subprocess.run(
        command, check=False, capture_output=True, env=small, stdin=subprocess.DEVNULL, timeout=RUN_SECONDS
    )
    if done.returncode != 0:
        error = subprocess.CalledProcessError(done.returncode, command)
        error.add_note((done.stdout + done.stderr).decode(errors="replace"))
        raise error
    return done.stdout
