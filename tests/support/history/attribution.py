"""Which batch is whose."""

from tests.support.history.history import History
from tests.support.history.operation import Add, Ask, Declare, Dissolve, Operation, Read, Refused, Stored, Unknown
from tests.support.history.violation import Fault, Violation


class Attribution:
    """The operation of each batch, and what is wrong already with that.

    An answer names its batch. An operation without one may have left a batch all the same: then it is under the name of
    its process, and the process has no other such operation.
    """

    def __init__(self, history: History) -> None:
        self.violations: list[Violation] = []
        self.by_place: dict[int, Operation] = {}
        """By the batch's place, counted from 1."""
        self._history = history
        self._place: dict[str, int] = {}
        for place, batch in enumerate(history.batches, 1):
            if self._place.setdefault(batch.id, place) != place:
                self._blame(Fault.TWICE, f"batch {batch.id} is recorded twice", places=(self._place[batch.id], place))
        self._open: dict[str, Operation] = {}
        """The operation of each process whose outcome nobody told."""
        self._unsent: dict[str, Operation] = {}
        """The last operation of each process that was refused without a batch."""
        for operation in history.operations:
            self._claim(operation)
        for place in sorted({*self._place.values()} - self.by_place.keys()):
            self._explain(place)

    def _claim(self, operation: Operation) -> None:
        outcome = operation.outcome
        if isinstance(outcome, Unknown) and not isinstance(operation.ask, Read | Declare):
            if self._open.setdefault(operation.process, operation) is not operation:
                raise ValueError(f"{operation.process} went on after an unknown outcome")
        elif isinstance(outcome, Refused) and not outcome.batch:
            self._unsent[operation.process] = operation
        elif isinstance(outcome, Stored | Refused):
            self._claim_batch(operation, outcome)

    def _claim_batch(self, operation: Operation, outcome: Stored | Refused) -> None:
        place = self._place.get(outcome.batch)
        if place is None:
            self._blame(Fault.LOST, f"batch {outcome.batch} is not in the record", operation)
            return
        other = self.by_place.setdefault(place, operation)
        if other is not operation:
            self._blame(Fault.TWICE, "two operations were answered with one batch", other, operation, places=(place,))
            return
        if isinstance(outcome, Stored) and not self._history.batches[place - 1].stored:
            self._blame(Fault.LOST, "answered as done, recorded as refused", operation, places=(place,))
        elif isinstance(outcome, Refused) and self._history.batches[place - 1].stored:
            self._blame(Fault.STORED_THOUGH_REFUSED, "answered as refused, stored", operation, places=(place,))
        self._check_head(operation, place)

    def _explain(self, place: int) -> None:
        """A batch that no answer names."""
        batch = self._history.batches[place - 1]
        if batch.id in self._history.given:
            return
        operation = self._open.get(batch.actor)
        if operation is not None:
            if operation in self.by_place.values():
                self._blame(Fault.TWICE, "one operation has left two batches", operation, places=(place,))
            else:
                self.by_place[place] = operation
                self._check_head(operation, place)
            return
        unsent = self._unsent.get(batch.actor)
        if unsent is None:
            self._blame(Fault.PHANTOM, f"nobody asked for batch {batch.id}", places=(place,))
        elif batch.stored:
            self._blame(Fault.STORED_THOUGH_REFUSED, "refused, or not sent, and stored", unsent, places=(place,))

    def _check_head(self, operation: Operation, place: int) -> None:
        batch, items = self._history.batches[place - 1], _items(operation.ask)
        if batch.actor != operation.process:
            self._blame(Fault.WRONG, f"recorded as done by {batch.actor}", operation, places=(place,))
        if batch.items != items:
            self._blame(Fault.WRONG, f"recorded with {batch.items} items, not {items}", operation, places=(place,))

    def _blame(self, fault: Fault, text: str, *operations: Operation, places: tuple[int, ...] = ()) -> None:
        self.violations.append(Violation(fault, text, tuple(one.number for one in operations), places))


def _items(ask: Ask) -> int:
    match ask:
        case Add(members):
            return len(members)
        case Read() | Declare():
            return 0
        case Dissolve():
            return 1
        case _:
            return len(ask.agents)
