"""A violation, for somebody who has to find out."""

from collections.abc import Iterator

from plantel.roster import fold
from tests.support.history.history import History
from tests.support.history.meaning import key_of
from tests.support.history.minimal import minimised
from tests.support.history.operation import (
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
)
from tests.support.history.replay import shown
from tests.support.history.violation import Violation

LINES_MOST = 40


def report(history: History) -> str:
    """What is wrong, the few operations that show it, and the journal around them; "" where nothing is."""
    found = minimised(history)
    if found is None:
        return ""
    violation, least = found
    return "\n".join(_told(violation, least))


def _told(violation: Violation, history: History) -> Iterator[str]:
    who = " and ".join(f"#{number}" for number in violation.operations)
    yield f"{violation.fault.upper()}: {who + ': ' if who else ''}{violation.text}"
    yield f"seed {history.seed}; the operations without which it would not show:"
    for operation in sorted(history.operations, key=lambda one: one.invoked):
        yield f"  {_operation(operation)}"
    yield "the journal there:"
    yield from _batches(violation, history)
    yield from _journal(violation, history)


def _batches(violation: Violation, history: History) -> Iterator[str]:
    """The batches concerned: one that changes nothing has no lines to be seen by."""
    for place in sorted({place for place in violation.places if 0 < place <= len(history.batches)}):
        batch = history.batches[place - 1]
        codes = ", ".join(problem.code for problem in batch.problems)
        lines = sum(line.batch == batch.id for line in history.lines)
        what = f"stored, {lines} lines" if batch.stored else f"refused for {codes}"
        yield f"  batch {place} ({batch.id}) of {batch.actor}: {batch.items} items, {what}"


def _journal(violation: Violation, history: History) -> Iterator[str]:
    """The lines about the campaigns concerned, of the batches concerned and those between."""
    named = {outcome.batch for one in history.operations if isinstance(outcome := one.outcome, Stored | Refused)}
    places = {place for place, batch in enumerate(history.batches, 1) if batch.id in named} | set(violation.places)
    numbers = {batch.id: place for place, batch in enumerate(history.batches, 1)}
    campaigns = {fold(name) for one in history.operations for name in _campaigns(one.ask)}
    first, last = (min(places), max(places)) if places else (1, 0)
    lines = [
        line
        for line in history.lines
        if first <= numbers.get(line.batch, first) <= last
        and (not campaigns or key_of(line.change.member)[0] in campaigns)
    ]
    for line in lines[:LINES_MOST]:
        change = line.change
        head = f"batch {numbers.get(line.batch, '?')} ({line.batch}) of {line.actor}, revision {line.revision}"
        yield f"  {head}: {change.kind}: {shown(change.before)} => {shown(change.after)}"
    if len(lines) > LINES_MOST:
        yield f"  and {len(lines) - LINES_MOST} more"


def _operation(operation: Operation) -> str:
    when = f"{operation.invoked:.4f}-{operation.returned:.4f} s"
    asked = f"#{operation.number} {when} {operation.process} at {operation.node}: {_ask(operation.ask)}"
    return f"{asked} -> {_outcome(operation.outcome)}"


def _ask(ask: Ask) -> str:
    match ask:
        case Add(members):
            return f"add {', '.join(map(shown, members))}"
        case Remove(campaign, agents):
            return f"remove {', '.join(agents)} from {campaign}"
        case Pause(campaign, agents, paused):
            return f"{'pause' if paused else 'end the pause of'} {', '.join(agents)} in {campaign}"
        case Read(campaign):
            return f"read {campaign}"
        case Declare(campaign):
            return f"declare {campaign}"
        case Dissolve(campaign):
            return f"dissolve {campaign}"


def _outcome(outcome: Outcome) -> str:
    match outcome:
        case Stored(batch, changes):
            return f"done, batch {batch}" + ("" if changes is None else f", {changes} changes")
        case Done():
            return "done"
        case Seen(members):
            return f"saw {', '.join(map(shown, members)) or 'nobody'}"
        case Refused(code, batch):
            return f"refused: {code}" + (f", batch {batch}" if batch else "")
        case _:
            return f"unknown: {outcome.why}"


def _campaigns(ask: Ask) -> set[str]:
    return {one.campaign for one in ask.members} if isinstance(ask, Add) else {ask.campaign}
