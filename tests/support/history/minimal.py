"""The smallest part of a history that still is wrong in the same way."""

from collections.abc import Callable, Sequence

import msgspec

from tests.support.history.attribution import Attribution
from tests.support.history.checker import check
from tests.support.history.history import History
from tests.support.history.operation import Declare, Dissolve, Operation
from tests.support.history.violation import Fault, Violation


def minimised(history: History) -> tuple[Violation, History] | None:
    """The first violation, and the history without any operation that it does not take; None where there is none.

    What an operation left in the journal stays when it is taken out: nobody is asked to explain it then. So each step
    only asks for less, and what is found in the rest is wrong in the whole too.
    """
    violations = check(history)
    if not violations:
        return None
    fault = violations[0].fault
    batch_of = {
        operation.number: history.batches[place - 1].id for place, operation in Attribution(history).by_place.items()
    }

    def only(operations: Sequence[Operation]) -> History:
        kept = {operation.number for operation in operations}
        given = frozenset(batch for number, batch in batch_of.items() if number not in kept)
        hidden = tuple(
            one for one in history.operations if one.number not in kept and isinstance(one.ask, Declare | Dissolve)
        )
        return msgspec.structs.replace(
            history, operations=tuple(operations), given=history.given | given, hidden=hidden
        )

    least = only(_least(history.operations, lambda some: _shows(only(some), fault)))
    return next(one for one in check(least) if one.fault is fault), least


def _shows(history: History, fault: Fault) -> bool:
    return any(one.fault is fault for one in check(history))


def _least(operations: Sequence[Operation], shows: Callable[[Sequence[Operation]], bool]) -> Sequence[Operation]:
    """Delta debugging: leave out ever smaller pieces, as long as it still shows."""
    pieces = 1
    while operations:
        size = -(-len(operations) // pieces)
        for first in range(0, len(operations), size):
            rest = [*operations[:first], *operations[first + size :]]
            if shows(rest):
                operations, pieces = rest, max(pieces - 1, 1)
                break
        else:
            if size == 1:
                break
            pieces = min(2 * pieces, len(operations))
    return operations
