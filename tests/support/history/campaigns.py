"""Which campaigns there were when: of the passing one nothing but answers tells."""

from math import inf

from plantel.roster import fold
from tests.support.history.history import History
from tests.support.history.meaning import Rules
from tests.support.history.operation import NOT_SENT, Add, Declare, Dissolve, Operation, Refused, Unknown


class Campaigns:
    """By real time alone: the passing campaign is what its client was last told; while that client is at it, in doubt.

    After an outcome that nobody knows, it is in doubt for ever.
    """

    def __init__(self, history: History) -> None:
        self._passing = fold(history.passing)
        self._without = Rules(history.campaigns)
        self._with = Rules((*history.campaigns, history.passing))
        self._hidden = {one.number for one in history.hidden}
        self._changes = [
            one
            for one in sorted((*history.operations, *history.hidden), key=lambda one: one.invoked)
            if isinstance(one.ask, Declare | Dissolve) and one.outcome != Refused(NOT_SENT)
        ]

    def rules(self, operation: Operation) -> list[Rules]:
        """Under one of these it was carried out."""
        ask = operation.ask
        names = {one.campaign for one in ask.members} if isinstance(ask, Add) else {ask.campaign}
        if self._passing not in map(fold, names):
            return [self._without]
        there: bool | None = False
        end = inf if isinstance(operation.outcome, Unknown) else operation.returned
        for change in self._changes:
            if change.number == operation.number or change.invoked > end:
                continue
            if isinstance(change.outcome, Unknown) or change.returned >= operation.invoked:
                return [self._with, self._without]
            there = None if change.number in self._hidden else isinstance(change.ask, Declare)
        if there is None:
            return [self._with, self._without]
        return [self._with if there else self._without]
