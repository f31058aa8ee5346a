"""What carrying out a plan teaches: which ledger lines to write before and after each action, and what was refused."""

from collections.abc import Collection, Sequence
from functools import cached_property

import msgspec

from plantel import errors
from plantel.doubt import Key, key
from plantel.plan import Action, Add, Claim, Pause, Penalise, Plan, Remove
from plantel.ports import Outcome


class Application:
    """What carrying out a plan has taught so far."""

    def __init__(self, found: Plan) -> None:
        self.refusals: dict[Key, errors.PlantelError] = {}
        """The first for each queue and interface, both folded."""
        self._found = found

    def prepare(self) -> None:
        """Make what is needed for later chunks: for a large plan it takes a while, and by then Asterisk is busy."""
        _ = self._wanted, self._renamed, self._changing

    def intents(self, chunk: Sequence[Action]) -> list[Claim]:
        """The ledger lines of what is about to be sent, without what is not confirmed.

        Where the answer is lost, an addition is ours all the same, and a pause, a penalty or an absence that is found
        later must not be taken for somebody else's.
        """
        lines: dict[Key, Claim] = {}
        for action in chunk:
            if isinstance(action, Add | Remove):
                lines[key(action)] = Claim(action.queue, action.interface, added=True)
            elif key(action) not in lines and (line := self._changing.get(key(action))) is not None:
                lines[key(action)] = line
        return list(lines.values())

    def learn(self, chunk: Sequence[Action], outcomes: Sequence[Outcome]) -> tuple[list[Claim], list[Claim]]:
        """The ledger lines that the outcomes confirm, and those that they end.

        A phone that is removed and added again stays ours in between.
        """
        confirm: dict[Key, Claim] = {}
        drop: dict[Key, Claim] = {}
        for action, outcome in zip(chunk, outcomes, strict=True):
            at = key(action)
            if outcome is not None:
                self.refusals.setdefault(at, outcome)
            match action:
                case Remove():
                    if outcome is None and at not in self._renamed:
                        drop[at] = Claim(action.queue, action.interface, added=True)
                case Add():
                    if outcome is None:
                        confirm[at] = self._added(at)
                    elif at not in self._found.ours:
                        drop[at] = self._not_ours(at, action)
                case Penalise() | Pause():
                    if outcome is None and at in self._changing:
                        confirm[at] = self._changed(at, action)
        return list(confirm.values()), list(drop.values())

    def _added(self, at: Key) -> Claim:
        """The ledger line of a phone that is there now: without the pause, where its reason is still to be given."""
        line = self._wanted[at]
        if at in self._changing:
            line = self._changing[at] = msgspec.structs.replace(line, paused=None, reason="")
        return line

    def _not_ours(self, at: Key, action: Add) -> Claim:
        """The line to end: somebody else put this phone there between the look and the action."""
        if at in self._changing:
            self._changing[at] = Claim(action.queue, action.interface, added=False)
        return Claim(action.queue, action.interface, added=True)

    def _changed(self, at: Key, action: Penalise | Pause) -> Claim:
        """The ledger line after that change. A member's other change is confirmed by its own answer."""
        line = msgspec.structs.replace(self._changing[at], membername=self._wanted[at].membername)
        if isinstance(action, Penalise):
            line = msgspec.structs.replace(line, penalty=action.penalty)
        else:
            line = msgspec.structs.replace(line, paused=action.paused, reason=action.reason)
        self._changing[at] = line
        return line

    # Made when first needed, or by `prepare`.

    @cached_property
    def _wanted(self) -> dict[Key, Claim]:
        return {claim.key: claim for claim in self._found.claims}

    @cached_property
    def _renamed(self) -> Collection[Key]:
        return self._wanted.keys() & {key(one) for one in self._found.actions if isinstance(one, Remove)}

    @cached_property
    def _changing(self) -> dict[Key, Claim]:
        """The ledger lines that pauses and penalties give, as far as they are confirmed by now."""
        lines: dict[Key, Claim] = {}
        before: Action | None = None
        for action in self._found.actions:
            if isinstance(action, Penalise | Pause) and (at := key(action)) in self._wanted:
                if isinstance(before, Add) and key(before) == at:
                    # the reason for a pause; it may be in the next chunk, when nobody knows yet how the addition ended
                    lines[at] = Claim(action.queue, action.interface, added=True)
                else:
                    part = {"penalty": None} if isinstance(action, Penalise) else {"paused": None}
                    lines[at] = msgspec.structs.replace(lines.get(at, self._wanted[at]), **part)
            before = action
        return lines
