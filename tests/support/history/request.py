"""Operations as bytes for a node, and its answers as outcomes: now the wire call, now the JSON API."""

import json
import random
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from plantel.roster import Member
from tests.support.history.operation import (
    Add,
    Ask,
    Declare,
    Dissolve,
    Done,
    Outcome,
    Pause,
    Read,
    Refused,
    Remove,
    Seen,
    Stored,
    Unknown,
)
from tests.support.wire import Answer, add, head

API = "/api/v1"
WIRE_READ = "/Integra/resources/queues/getqueuemembersofqueue"


def request(ask: Ask, token: str, draw: random.Random) -> bytes:
    """One request, whole."""
    wire = draw.random() < 0.5
    if isinstance(ask, Add) and wire:
        return add(token, [_wire(one) for one in ask.members])
    if isinstance(ask, Read):
        name = quote(ask.campaign, safe="")
        if wire:
            return head(token, 0, path=f"{WIRE_READ}?queue={name}")
        return head(token, method="GET", path=f"{API}/members?campaign={name}")
    path, what = _order(ask)
    body = json.dumps(what).encode()
    return head(token, len(body), path=f"{API}/{path}", kind="application/json") + body


def _order(ask: Add | Remove | Pause | Declare | Dissolve) -> tuple[str, object]:
    """For the JSON API: where, and what."""
    match ask:
        case Add(members):
            return "members", [_wire(one) for one in members]
        case Remove(campaign, agents):
            return "members/remove", {"campaign": campaign, "agents": agents}
        case Pause(campaign, agents, paused):
            return "members/pause", {"campaign": campaign, "agents": agents, "paused": paused}
        case Declare(campaign):
            return "campaigns", {"name": campaign}
        case Dissolve(campaign):
            return "campaigns/remove", {"name": campaign}


def outcome(ask: Ask, answer: Answer) -> Outcome:
    """What the answer says. Raises an error for one that has no place in the contract."""
    if answer.status >= 500:
        return Unknown(f"{answer.status} {answer.code or answer.body.decode()}")
    if answer.body == b"1":
        return Stored(answer.headers["plantel-batch"])
    if answer.body == b"0":
        return Refused(answer.code, answer.headers.get("plantel-batch", ""))
    told = json.loads(answer.body)
    return Refused(told["code"], told["batch"] or "") if answer.status >= 400 else _success(ask, told)


def _success(ask: Ask, told: Any) -> Outcome:
    match ask:
        case Read():
            return Seen(tuple(_member(one) for one in told))
        case Declare():
            return Done()
        case _:
            return Stored(told["batch"], told["changes"])


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
