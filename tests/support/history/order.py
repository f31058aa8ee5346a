"""Real time: what was answered before another thing began comes before it, in one order of all.

The order of the batches is given, by the record; a read may stand wherever the campaign was what it saw. Each read is
given the first such place that leaves all those answered before it in front. There is an order if, and only if, that
goes well: no later place would leave more room for those that come after.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from tests.support.history.operation import Operation, Read, Seen, Unknown
from tests.support.history.timeline import Timeline
from tests.support.history.violation import Fault, Violation


class Order:
    """`batches`: the operations that have one, by its place."""

    def __init__(self, operations: Iterable[Operation], batches: Mapping[int, Operation], timeline: Timeline) -> None:
        self.violations: list[Violation] = []
        self._timeline = timeline
        self._ceilings = _Ceilings(batches, timeline.place)
        places = {operation.number: place for place, operation in batches.items()}
        begun = sorted(operations, key=lambda one: one.invoked)
        answered = [one for one in begun if not isinstance(one.outcome, Unknown)]
        answered.sort(key=lambda one: one.returned, reverse=True)
        floor, holder = 0, None
        for operation in begun:
            while answered and answered[-1].returned < operation.invoked:
                earlier = answered.pop()
                if places.get(earlier.number, 0) > floor:
                    floor, holder = places[earlier.number], earlier
            if isinstance(operation.ask, Read):
                if isinstance(operation.outcome, Seen):
                    place = self._place_of(operation, operation.ask, operation.outcome, floor, holder)
                    if place is not None:
                        places[operation.number] = place
            elif operation.number in places and places[operation.number] <= floor:
                assert holder is not None
                text = f"recorded before #{holder.number}, which had been answered before it began"
                both = (holder.number, operation.number)
                self.violations.append(Violation(Fault.REORDERED, text, both, (places[operation.number], floor)))

    def _place_of(
        self, operation: Operation, ask: Read, outcome: Seen, floor: int, holder: Operation | None
    ) -> int | None:
        """The first place where the read may stand; None, and a violation, where there is none."""
        ceiling, follower = self._ceilings.of(operation)
        if floor > ceiling:
            return None  # the batches themselves are in the wrong order, which is told of them
        spans = self._timeline.spans(ask.campaign, outcome.members)
        for first, last in spans:
            if max(first, floor) <= min(last, ceiling):
                return max(first, floor)
        held = () if holder is None else (holder.number,)
        followed = () if follower is None else (follower.number,)
        allowed = f"it may stand after batch {floor} to {ceiling}"
        if not spans:
            violation = Violation(Fault.NEVER, f"it never was so; {allowed}", (operation.number,), (floor, ceiling))
        elif spans[0][0] > ceiling:
            text = f"so only after batch {spans[0][0]}; {allowed}"
            violation = Violation(Fault.EARLY, text, (operation.number, *followed), (ceiling, spans[0][0]))
        else:
            last = max(last for _, last in spans if last < floor)
            text = f"so only up to batch {last}; {allowed}"
            violation = Violation(Fault.STALE, text, (*held, operation.number), (last, floor))
        self.violations.append(violation)
        return None


class _Ceilings:
    """Up to which place a read may stand: before whatever began after its answer."""

    def __init__(self, batches: Mapping[int, Operation], last: int) -> None:
        self._last = last
        begun = sorted(batches.items(), key=lambda pair: pair[1].invoked)
        self._invoked = [operation.invoked for _, operation in begun]
        self._least: list[tuple[int, Operation]] = []
        """The batch with the least place of those begun then or later."""
        for pair in reversed(begun):
            self._least.append(min([pair, *self._least[-1:]], key=lambda one: one[0]))
        self._least.reverse()

    def of(self, read: Operation) -> tuple[int, Operation | None]:
        """The place, and what stands in the way."""
        first = bisect_right(self._invoked, read.returned)
        if first == len(self._least):
            return self._last, None
        place, operation = self._least[first]
        return place - 1, operation
