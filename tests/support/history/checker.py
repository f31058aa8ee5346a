"""Whether one order explains a whole history: strict serialisability, with the journal as the witness.

The record of batches is the order of the writes, so there is nothing to search, and the answer is exact: each answer is
held against what the operation means at its place, and each place against real time. In linear time, all but.
"""

from tests.support.history.attribution import Attribution
from tests.support.history.history import History
from tests.support.history.meaning import Rules
from tests.support.history.operation import NOT_SENT, Read, Refused
from tests.support.history.order import Order
from tests.support.history.replay import Replay
from tests.support.history.violation import Fault, Violation


def check(history: History) -> list[Violation]:
    """All that is wrong with it, roughly causes before effects; nothing where one order explains it all.

    Raises ValueError for what cannot be a history: a process that did two things at a time, or went on after an outcome
    that nobody knows.
    """
    _check_processes(history)
    attribution = Attribution(history)
    replay = Replay(history, attribution.by_place)
    order = Order(history.operations, attribution.by_place, replay.timeline)
    return [*attribution.violations, *_unrecorded(history), *replay.violations, *order.violations]


def _check_processes(history: History) -> None:
    busy: dict[str, float] = {}
    for operation in sorted(history.operations, key=lambda one: one.invoked):
        if operation.invoked < busy.get(operation.process, operation.invoked) or operation.returned < operation.invoked:
            raise ValueError(f"{operation.process} was not done when #{operation.number} began")
        busy[operation.process] = operation.returned


def _unrecorded(history: History) -> list[Violation]:
    """Refusals of which nothing is recorded, and for which there is no reason whatever the roster."""
    rules = Rules(history.campaigns)
    return [
        Violation(Fault.REFUSED_WITHOUT_REASON, f"answered {one.outcome.code}", (one.number,))
        for one in history.operations
        if isinstance(one.outcome, Refused)
        and not one.outcome.batch
        and one.outcome.code != NOT_SENT
        and not (isinstance(one.ask, Read) and one.outcome.code in rules.problems(one.ask, {}))
    ]
