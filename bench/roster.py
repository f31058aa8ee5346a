"""The roster that is made up for a measurement: campaigns of 100 agents."""

from collections.abc import Iterable, Sequence
from urllib.parse import quote_plus

import msgspec

from plantel.roster import Member

PER_CAMPAIGN = 100


def campaigns(count: int) -> list[str]:
    """`count` names."""
    return [f"Ventas-{number:04d}->" for number in range(count)]


def members(names: Sequence[str]) -> list[Member]:
    """The agents of these campaigns, by campaign and name, each on a phone of its own."""
    return [
        Member(name, f"Agente {place:03d}", f"SIP/{10_000 + PER_CAMPAIGN * number + place}", penalty=place % 5)
        for number, name in enumerate(names)
        for place in range(PER_CAMPAIGN)
    ]


def is_last(member: Member) -> bool:
    """Whether it comes last of its campaign."""
    return member.membername == f"Agente {PER_CAMPAIGN - 1:03d}"


def last(batch: Sequence[Member]) -> list[Member]:
    """Those of the name that comes last: in a batch of whole campaigns, the last member of each."""
    return [one for one in batch if one.membername == batch[-1].membername]


def form(batch: Iterable[Member]) -> bytes:
    """The body of the published call, percent-encoded as browsers and curl do it."""
    items = [
        {
            "membername": one.membername,
            "queueName": one.campaign,
            "interface1": one.interface,
            "penalty": str(one.penalty),
            "paused": str(int(one.paused)),
        }
        for one in batch
    ]
    return b"queuemember=" + quote_plus(msgspec.json.encode(items)).encode()
