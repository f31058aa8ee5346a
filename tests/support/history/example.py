"""Histories that are right, for the checker to accept: what clients see of a service that does one thing at a time."""

import asyncio
import random
from datetime import timedelta

from plantel import errors
from plantel.access import Actor, Role
from plantel.batch import Source
from plantel.ports import Transaction
from plantel.roster import Interfaces
from plantel.service import Receipt, Service
from plantel.testing.memory_store import MemoryStore
from tests.support.door import EPOCH, OPERATOR, SetClock
from tests.support.history.history import History
from tests.support.history.operation import (
    NOT_SENT,
    Add,
    Ask,
    Declare,
    Dissolve,
    Done,
    Operation,
    Outcome,
    Pause,
    Read,
    Refused,
    Remove,
    Seen,
    Stored,
    Unknown,
)
from tests.support.history.pasts import pasts
from tests.support.history.workload import DECLARED, PASSING, Coming, Workload

CLIENTS = 5
"""Besides them, one makes the passing campaign come and go."""

PASTS = 5
UNANSWERED = 0.06
"""How often an answer is lost. In a third of the cases nothing is done; in another, only after the client gave up."""


class _Attempt:
    """One operation, and when it is really carried out (None: never)."""

    def __init__(self, process: str, begun: float, draw: random.Random) -> None:
        self.process = process
        self.invoked = begun
        self.moment: float | None = begun + draw.expovariate(1)
        self.returned = self.moment + draw.expovariate(1)
        self.answered = draw.random() >= UNANSWERED
        self.sent = draw.random() >= UNANSWERED / 2
        if not self.sent:
            self.moment = None
        elif not self.answered:
            self.moment = draw.choice((None, self.moment, self.returned + draw.expovariate(0.3)))


def example(seed: int, seconds: float = 60) -> History:
    """About `seconds` operations of each of CLIENTS, in made-up time."""
    return asyncio.run(_example(seed, seconds))


async def _example(seed: int, seconds: float) -> History:
    draw = random.Random(seed)
    store = MemoryStore()
    clock = SetClock()
    service = Service(store, "default", clock, Interfaces(), lambda *_: None)
    for name in DECLARED:
        await service.declare(OPERATOR, name)
    attempts = sorted(
        (attempt for client in range(CLIENTS + 1) for attempt in _attempts(client, draw, seconds)),
        key=lambda one: one.invoked if one.moment is None else one.moment,
    )
    workload, coming = Workload(draw), Coming(lambda: None)
    operations: list[Operation] = []
    for number, attempt in enumerate(attempts):
        ask = (coming if attempt.process.startswith(f"{CLIENTS}-") else workload).next(number)
        outcome: Outcome = Refused(NOT_SENT)
        if attempt.moment is not None:
            clock.moment = EPOCH + timedelta(seconds=attempt.invoked)  # as where clocks differ
            outcome = await _outcome(service, attempt.process, ask)
        if attempt.sent and not attempt.answered:
            outcome = Unknown("made up")
        times = (attempt.invoked, attempt.returned)
        operations.append(Operation(number, attempt.process, f"node {number % 2}", *times, ask, outcome))

    def everything(transaction: Transaction) -> History:
        return History(
            f"example {seed}",
            DECLARED,
            tuple(operations),
            tuple(reversed(transaction.batches("default", 10**6))),
            tuple(transaction.journal("default", limit=10**6)),
            tuple(transaction.members("default")),
            pasts(transaction, "default", draw, PASTS),
            PASSING,
        )

    return await store.read(everything)


def _attempts(client: int, draw: random.Random, seconds: float) -> list[_Attempt]:
    found: list[_Attempt] = []
    now, life = draw.random(), 0
    while now < seconds:
        attempt = _Attempt(f"{client}-{life}", now, draw)
        found.append(attempt)
        if attempt.sent and not attempt.answered:
            life += 1  # as a client goes on under another name when it does not know what became of a thing
        now = attempt.returned + draw.expovariate(2)
    return found


async def _outcome(service: Service, process: str, ask: Ask) -> Outcome:
    actor = Actor(process, Role.ADMIN)
    try:
        match ask:
            case Read(campaign):
                return Seen(tuple(await service.members(actor, campaign)))
            case Declare(campaign):
                await service.declare(actor, campaign)
                return Done()
        receipt = await _done(service, actor, ask)
    except errors.BatchRefused as error:
        return Refused(error.problems[0].code, error.batch)
    except (errors.UnknownCampaign, errors.NameTaken, errors.NoSuchThing) as error:
        return Refused(error.code)
    return Stored(receipt.batch, len(receipt.changes))


async def _done(service: Service, actor: Actor, ask: Add | Remove | Pause | Dissolve) -> Receipt:
    match ask:
        case Add(members):
            return await service.add(actor, members, Source.WIRE)
        case Remove(campaign, agents):
            return await service.remove(actor, campaign, agents, Source.API)
        case Pause(campaign, agents, paused):
            return await service.pause(actor, campaign, agents, Source.API, paused=paused)
        case Dissolve(campaign):
            return await service.dissolve(actor, campaign, Source.API)
