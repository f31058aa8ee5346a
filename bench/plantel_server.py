"""Plantel as it is served: `plantel serve` on a folder of its own."""

import contextlib
import http.client
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from bench import database
from bench.ami import READER
from bench.measure import BenchFailed
from bench.process import ServerProcess, free_tcp_port
from plantel.testing.asterisk import PrivateAsterisk

ADD = "/Integra/resources/queues/addqueuemember"
PATIENCE = 60.0
"""Seconds to wait for one answer."""


class PlantelServer(ServerProcess):
    """Serves `campaigns` from a new store, and delivers to `asterisk` where there is one.

    `url`: where the store is to be; in a file in `folder` without it. `http`: more lines of `[http]`. `delivery`: as
    the configuration has it; with `realtime`, `asterisk` needs the user READER.
    """

    def __init__(
        self,
        folder: Path,
        campaigns: Sequence[str],
        asterisk: PrivateAsterisk | None = None,
        *,
        url: str = "",
        http: Sequence[str] = (),
        delivery: Literal["dynamic", "realtime"] = "dynamic",
    ) -> None:
        folder.mkdir()
        self.url = url or f"sqlite:///{folder / 'plantel.db'}"
        self.token = database.make(self.url, campaigns)
        port = free_tcp_port()
        config = folder / "plantel.toml"
        config.write_text(
            "\n".join(
                (
                    *("[http]", f'bind = "127.0.0.1:{port}"', *http),
                    f"[store]\nurl = {json.dumps(self.url)}",
                    "" if asterisk is None else _server(asterisk, delivery),
                )
            )
        )
        config.chmod(0o600)  # it may hold the secrets of a private Asterisk, or database
        super().__init__([sys.executable, "-m", "plantel", "--config", str(config), "serve"], port, folder / "log")

    def wait_until_agreed(self, seconds: float = 30.0) -> None:
        """Return once Asterisk shows the roster, as /health has it. Raises BenchFailed."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            with contextlib.closing(connection):
                connection.request("GET", "/health")
                states = json.loads(connection.getresponse().read())["servers"].values()
            if all(state == "agreed" for state in states):
                return
            time.sleep(0.02)  # /health can only be asked again
        raise BenchFailed("Plantel and Asterisk do not come to agree")


def _server(asterisk: PrivateAsterisk, delivery: str) -> str:
    user = READER if delivery == "realtime" else asterisk.user
    return f"""[[asterisk]]
name = "pbx"
host = "{asterisk.host}"
port = {asterisk.ami_port}
username = "{user.name}"
secret = "{user.secret}"
delivery = "{delivery}"
"""


class Caller:
    """One connection, kept alive, over which batches are added."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/x-www-form-urlencoded"}
        self.delivery = ""
        """`Plantel-Delivery` of the newest answer."""

    def close(self) -> None:
        self._connection.close()

    def send(self, body: bytes, *, wait: int = 0) -> None:
        """Send a batch; returns when its last byte has been handed to the socket.

        `wait`: seconds for which the answer may wait until the batch is live.
        """
        self._connection.request("POST", ADD, body, self._headers | ({"Prefer": f"wait={wait}"} if wait else {}))

    def answer(self) -> float:
        """The moment (`perf_counter`) at which the answer began. Raises BenchFailed if it is not `1`."""
        answer = self._connection.getresponse()
        began = time.perf_counter()
        found = (answer.status, answer.read())
        if found != (200, b"1"):
            raise BenchFailed(f"{found} in place of 1: {answer.headers.get('Plantel-Reason')}")
        self.delivery = answer.headers.get("Plantel-Delivery", "")
        return began

    def add(self, body: bytes) -> float:
        """Send a batch, and what `answer` gives."""
        self.send(body)
        return self.answer()
