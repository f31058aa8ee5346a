"""Whether one order explains a whole history: strict serialisability, with the journal as the witness.

The record of batches is the order of the writes, so there is nothing to search, and the answer is exact: each answer is
held against what the operation means at its place, and each place against real time. In linear time, all but.
"""

from tests.support.history.attribution import Attribution
from tests.support.history.campaigns import Campaigns
from tests.support.history.history import History
from tests.support.history.operation import NOT_SENT, Declare, Dissolve, Done, Operation, Read, Refused, Seen
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
    """What was answered without a batch, and for which there is no reason whatever the roster."""
    campaigns = Campaigns(history)
    judged = (
        (one, _judged(one, [rules.problems(one.ask, {}) for rules in campaigns.rules(one)]))
        for one in history.operations
    )
    return [Violation(*wrong, (one.number,)) for one, wrong in judged if wrong is not None]


def _judged(operation: Operation, problems: list[frozenset[str]]) -> tuple[Fault, str] | None:
    """What is wrong with its answer, where one of `problems` is all that stood against it."""
    match operation.outcome:
        case Seen() | Done() if all(problems):
            return Fault.WRONG, f"done, in spite of {', '.join(problems[0])}"
        case Refused(code, "") if code != NOT_SENT:
            known = isinstance(operation.ask, Read | Declare | Dissolve) and any(code in one for one in problems)
            return None if known else (Fault.REFUSED_WITHOUT_REASON, f"answered {code}")
    return None
