"""What an integrator and an operator do with a running Plantel, over HTTP."""

import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import httpx
import msgspec

from tests.support.server import PlantelServer

LIVE = 20
"""Seconds within which a change has to be live, back-off after a restart included."""


class Site:
    """A Plantel and its `campaigns`, which are left empty in the end."""

    def __init__(self, plantel: PlantelServer, campaigns: Sequence[str]) -> None:
        self.plantel = plantel
        self.campaigns = campaigns
        self.http = httpx.Client(
            base_url=plantel.url, headers={"authorization": f"Basic {plantel.token}"}, timeout=2 * LIVE
        )

    @contextmanager
    def tidied(self) -> Iterator[Self]:
        """This, until nobody is needed any more."""
        with self.http:
            yield self
            for campaign in self.campaigns:
                if agents := [one["membername"] for one in self.members(campaign)]:
                    self.order("members/remove", campaign=campaign, agents=agents)

    def call(self, *items: dict[str, object], prefer: str = f"wait={LIVE}") -> httpx.Response:
        """The published call, which by default returns once every member is live."""
        return self.http.post(
            "/Integra/resources/queues/addqueuemember",
            content=urllib.parse.urlencode({"queuemember": msgspec.json.encode(items)}),
            headers={"content-type": "application/x-www-form-urlencoded", "prefer": prefer},
        )

    def order(self, path: str, **keys: object) -> None:
        """An order of the JSON API; it is stored when this returns."""
        assert self.http.post(f"/api/v1/{path}", json=keys).status_code == 200

    def members(self, campaign: str) -> list[dict[str, Any]]:
        """As the JSON API lists them."""
        return list(self.http.get("/api/v1/members", params={"campaign": campaign}).json())


def item(membername: str, campaign: str, interface: str, **keys: object) -> dict[str, object]:
    """One item of the published call."""
    return {
        "membername": membername,
        "queueName": campaign,
        "interface1": interface,
        "penalty": "0",
        "paused": "0",
        **keys,
    }
