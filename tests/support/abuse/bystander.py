"""Somebody with honest work to do on a server while it is under attack, in a process that has nothing else to do.

`Bystander` starts and asks that process; the process itself is `python -m tests.support.abuse.bystander`.
"""

import contextlib
import http.client
import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlencode

import msgspec

ROOT = Path(__file__).resolve().parents[3]
ADD = "/Integra/resources/queues/addqueuemember"
LOG_IN = "/Integra/resources/auth/getUserToken"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PATIENCE = 20.0
"""Seconds after which an answer is given up."""

Kind = Literal["add", "newcomer", "login"]
"""`add`: one member after another over one connection; `newcomer`: each over a new one; `login`: a right password."""


class Task(msgspec.Struct, frozen=True):
    """What to do: one thing of a kind after the other, `rate` times a second at most."""

    kind: Kind
    rate: float


class Site(msgspec.Struct, frozen=True):
    """Where to do it. `ca` is empty for a server without TLS; `run` tells one bystander's members from another's."""

    port: int
    ca: str
    token: str
    user: str
    password: str
    campaign: str
    run: str


class Record(msgspec.Struct):
    """What became of one task.

    `waits`: the seconds until each answer.
    `stored`: the members of each add that was answered `1`. `wrong`: every other answer, or how it broke off.
    """

    waits: list[float] = []
    stored: list[str] = []
    wrong: list[str] = []


class Bystander:
    """The process, at work from the beginning of the `with` block until `finish`."""

    def __init__(self, site: Site, tasks: tuple[Task, ...]) -> None:
        self._order = msgspec.json.encode([site, tasks])
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.abuse.bystander"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(self._order + b"\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"at work\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def finish(self) -> dict[Kind, Record]:
        """Have it end with the answers that it is waiting for; what it saw."""
        assert self._process is not None
        seen, _ = self._process.communicate(timeout=4 * PATIENCE)
        return msgspec.json.decode(seen, type=dict[Kind, Record])


class _Worker(threading.Thread):
    def __init__(self, site: Site, task: Task, over: threading.Event) -> None:
        super().__init__()
        self._site = site
        self._task = task
        self._over = over
        self._connection: http.client.HTTPConnection | None = None
        self.record = Record()

    def run(self) -> None:
        began = time.monotonic()
        count = 0
        while not self._over.wait(max(0.0, began + count / self._task.rate - time.monotonic())):
            count += 1
            asked = time.monotonic()
            try:
                self._one(count)
            except (OSError, http.client.HTTPException) as error:
                self.record.wrong.append(f"{time.monotonic() - asked:.1f} s: {error!r}")
                self._close()
            answered = time.monotonic()
            self.record.waits.append(answered - asked)
            began = max(began, answered - count / self._task.rate)  # nobody catches up with what was not done

    def _one(self, count: int) -> None:
        site, kind = self._site, self._task.kind
        if kind == "login":
            self._close()
            self._ask(LOG_IN, {"user": site.user, "password": site.password}, lambda body: body.startswith(b"["))
            return
        if kind == "newcomer":
            self._close()
        name = f"{kind}-{site.run}-{count}"
        member = {"membername": name, "queueName": site.campaign, "interface1": f"SIP/{name}"}
        form = {"queuemember": json.dumps([{**member, "penalty": "0", "paused": "0"}])}
        if self._ask(ADD, form, lambda body: body == b"1"):
            self.record.stored.append(name)

    def _ask(self, path: str, form: dict[str, str], right: Callable[[bytes], bool]) -> bool:
        headers = FORM if path == LOG_IN else {**FORM, "Authorization": f"Basic {self._site.token}"}
        if self._connection is None:
            self._connection = self._connect()
        self._connection.request("POST", path, urlencode(form), headers)
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status == 200 and right(body):
            return True
        self.record.wrong.append(f"{answer.status} {body[:40]!r} {answer.headers.get('Plantel-Code')}")
        return False

    def _connect(self) -> http.client.HTTPConnection:
        if not self._site.ca:
            return http.client.HTTPConnection("127.0.0.1", self._site.port, timeout=PATIENCE)
        context = ssl.create_default_context(cafile=self._site.ca)
        return http.client.HTTPSConnection("localhost", self._site.port, timeout=PATIENCE, context=context)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def main() -> None:
    site, tasks = msgspec.json.decode(sys.stdin.readline(), type=tuple[Site, tuple[Task, ...]])
    over = threading.Event()
    workers = {task.kind: _Worker(site, task, over) for task in tasks}
    for worker in workers.values():
        worker.start()
    _say(b"at work\n")
    with contextlib.suppress(OSError):
        sys.stdin.read()  # until nobody is there who would say more
    over.set()
    records: dict[str, Any] = {}
    for kind, worker in workers.items():
        worker.join()
        records[kind] = worker.record
    _say(msgspec.json.encode(records))


def _say(text: bytes) -> None:
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
