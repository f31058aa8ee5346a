"""Operations as bytes for a node, and its answers as outcomes: now the wire call, now the JSON API."""

import json
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from plantel.roster import Member
from tests.support.history.operation import Add, Ask, Outcome, Pause, Read, Refused, Remove, Seen, Stored, Unknown
from tests.support.wire import Answer, add, head

API = "/api/v1/members"
WIRE_READ = "/Integra/resources/queues/getqueuemembersofqueue"


def request(ask: Ask, token: str, draw: random.Random) -> bytes:
    """One request, whole."""
    wire = draw.random() < 0.5
    match ask:
        case Add(members) if wire:
            return add(token, [_wire(one) for one in members])
        case Add(members):
            return _api(token, API, [_wire(one) for one in members])
        case Remove(campaign, agents):
            return _api(token, f"{API}/remove", {"campaign": campaign, "agents": agents})
        case Pause(campaign, agents, paused):
            return _api(token, f"{API}/pause", {"campaign": campaign, "agents": agents, "paused": paused})
        case Read(campaign) if wire:
            return head(token, 0, path=f"{WIRE_READ}?queue={quote(campaign, safe='')}")
        case Read(campaign):
            return head(token, method="GET", path=f"{API}?campaign={quote(campaign, safe='')}")


def outcome(ask: Ask, answer: Answer) -> Outcome:
    """What the answer says. Raises ValueError for one that has no place in the contract."""
    if answer.status >= 500:
        return Unknown(f"{answer.status} {answer.code or answer.body.decode()}")
    if answer.body == b"1":
        return Stored(answer.headers["plantel-batch"])
    if answer.body == b"0":
        return Refused(answer.code, answer.headers.get("plantel-batch", ""))
    told = json.loads(answer.body)
    if answer.status != 200:
        return Refused(told["code"], told["batch"] or "")
    if isinstance(ask, Read):
        return Seen(tuple(_member(one) for one in told))
    return Stored(told["batch"], told["changes"])


def _api(token: str, path: str, what: object) -> bytes:
    body = json.dumps(what).encode()
    return head(token, len(body), path=path, kind="application/json") + body


def _wire(member: Member) -> dict[str, object]:
    return {
        "membername": member.membername,
        "queueName": member.campaign,
        "interface1": member.interface,
        "penalty": member.penalty,
        "paused": int(member.paused),
    }


def _member(one: Mapping[str, Any]) -> Member:
    """As either dialect shows it."""
    campaign = one["queueName"] if "queueName" in one else one["campaign"]
    interface = one["interface1"] if "interface1" in one else one["interface"]
    return Member(campaign, one["membername"], interface, one["penalty"], bool(one["paused"]))
