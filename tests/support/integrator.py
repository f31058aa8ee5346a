"""An integrator of a running server, and waiting for what another process does."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import NamedTuple

from tests.support.server import PlantelServer


class Answer(NamedTuple):
    status: int
    body: str
    code: str


class Integrator:
    """Calls the wire dialect of one server."""

    def __init__(self, server: PlantelServer) -> None:
        self._server = server

    def call(self, path: str, fields: dict[str, str], token: str = "") -> Answer:
        headers = {"Authorization": f"Basic {token}"} if token else {}
        request = urllib.request.Request(
            f"{self._server.url}/Integra/resources/{path}", urllib.parse.urlencode(fields).encode(), headers
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Answer(answer.status, answer.read().decode(), answer.headers.get("Plantel-Code", ""))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), error.headers.get("Plantel-Code", ""))

    def add(self, token: str, campaign: str, agent: str = "ana", interface: str = "SIP/1001") -> Answer:
        item = {"membername": agent, "queueName": campaign, "interface1": interface, "penalty": "0", "paused": "0"}
        return self.call("queues/addqueuemember", {"queuemember": json.dumps([item])}, token)

    def agents(self, token: str, campaign: str) -> Answer:
        return self.call("queues/getqueuemembersofqueue", {"queue": campaign}, token)


def within(seconds: float, fulfilled: Callable[[], bool]) -> bool:
    """Whether it becomes so in time: what another process does is told by nobody."""
    deadline = time.monotonic() + seconds
    while not fulfilled():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
