"""All that is known after a run."""

from datetime import datetime

import msgspec

from plantel.batch import Batch
from plantel.ports import Entry
from plantel.roster import Member
from tests.support.history.operation import Operation


class Past(msgspec.Struct, frozen=True):
    """What the store says, in the end, that the roster was at `moment`."""

    moment: datetime
    members: tuple[Member, ...]


class History(msgspec.Struct, frozen=True):
    """What the clients were told, and what the store has in the end; at first it had no members.

    `campaigns` were there from first to last. `passing` is one that one client declares and dissolves, "" for none;
    `hidden`: what else that client did, of which only is known that it did something.
    `batches` in the order of commits, `lines` by revision. `given`: ids of batches that no operation has to explain.
    """

    seed: str
    campaigns: tuple[str, ...]
    operations: tuple[Operation, ...]
    batches: tuple[Batch, ...]
    lines: tuple[Entry, ...]
    members: tuple[Member, ...]
    pasts: tuple[Past, ...] = ()
    passing: str = ""
    hidden: tuple[Operation, ...] = ()
    given: frozenset[str] = frozenset()
