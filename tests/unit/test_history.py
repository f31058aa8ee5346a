"""The history checker: what is right it accepts, and whatever is made wrong it finds."""

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from plantel.batch import Batch, Change, Kind, Source
from plantel.ports import Entry
from plantel.roster import Member
from tests.support.history.attribution import Attribution
from tests.support.history.checker import check
from tests.support.history.example import example
from tests.support.history.history import History
from tests.support.history.minimal import minimised
from tests.support.history.operation import Declare, Dissolve, Operation, Read, Refused, Seen, Stored, Unknown
from tests.support.history.report import report
from tests.support.history.violation import Fault
from tests.support.rosters import NOON

replace = msgspec.structs.replace
seeds = st.integers(0, 2**32 - 1)
thorough = settings(max_examples=40, deadline=None)


@thorough
@given(seed=seeds)
def test_a_history_that_is_right_is_accepted(seed: int) -> None:
    history = example(seed)
    assert check(history) == []
    assert report(history) == ""


# --- what can be wrong -----------------------------------------------------------------------------------------------


def without_batch(history: History, batch: str) -> History:
    return replace(
        history,
        batches=tuple(one for one in history.batches if one.id != batch),
        lines=tuple(one for one in history.lines if one.batch != batch),
    )


def with_operation(history: History, operation: Operation) -> History:
    operations = tuple(operation if one.number == operation.number else one for one in history.operations)
    return replace(history, operations=operations)


def outcomes(history: History, kind: type) -> list[Operation]:
    return [one for one in history.operations if isinstance(one.outcome, kind)]


def lines_of(history: History, batch: str) -> list[Entry]:
    return [one for one in history.lines if one.batch == batch]


def stored(history: History, lines: int = 0) -> Iterator[tuple[Operation, str]]:
    """The operations answered as done, with their batch, of at least so many lines."""
    for one in history.operations:
        if isinstance(one.outcome, Stored) and len(lines_of(history, one.outcome.batch)) >= lines:
            yield one, one.outcome.batch


def lose_a_write(history: History, draw: random.Random) -> History:
    return without_batch(history, draw.choice(list(stored(history)))[1])


def lose_a_refusal(history: History, draw: random.Random) -> History:
    refused = [one.outcome.batch for one in outcomes(history, Refused) if isinstance(one.outcome, Refused)]
    return without_batch(history, draw.choice([batch for batch in refused if batch]))


def record_it_twice(history: History, draw: random.Random) -> History:
    _, batch = draw.choice(list(stored(history)))
    again = next(one for one in history.batches if one.id == batch)
    return replace(history, batches=(*history.batches, again))


def do_it_twice(history: History, draw: random.Random) -> History | None:
    """As a proxy does that sends a request again."""
    unsure = {one.process for one in history.operations if not getattr(one.outcome, "batch", "")}
    sure = [batch for operation, batch in stored(history) if operation.process not in unsure]
    if not sure:
        return None
    chosen = draw.choice(sure)
    again = replace(next(one for one in history.batches if one.id == chosen), id="again")
    return replace(history, batches=(*history.batches, again))


def do_the_unknown_twice(history: History, draw: random.Random) -> History | None:
    open_ = {one.process for one in outcomes(history, Unknown) if not isinstance(one.ask, Read)}
    left = [batch for batch in history.batches if batch.actor in open_ and unanswered(history, batch)]
    if not left:
        return None
    return replace(history, batches=(*history.batches, replace(draw.choice(left), id="again")))


def unanswered(history: History, batch: Batch) -> bool:
    return all(getattr(one.outcome, "batch", "") != batch.id for one in history.operations)


def answer_two_with_one_batch(history: History, draw: random.Random) -> History:
    (_, batch), (other, _) = draw.sample(list(stored(history)), 2)
    return with_operation(history, replace(other, outcome=Stored(batch)))


def do_what_nobody_asked(history: History, draw: random.Random) -> History:
    phantom = Batch("phantom", "default", draw.choice(("nobody", "0-99")), Source.WIRE, NOON, 1)
    place = draw.randrange(len(history.batches))
    return replace(history, batches=(*history.batches[:place], phantom, *history.batches[place:]))


def tear(history: History, draw: random.Random) -> History | None:
    """Drop one of several lines, and all that this agent's later ones would tell of it."""
    torn = [batch for _, batch in stored(history, lines=2)]
    return without_line(history, draw.choice(torn), draw) if torn else None


def tear_the_unknown(history: History, draw: random.Random) -> History | None:
    whole = list(stored(history, lines=2))
    if not whole:
        return None
    operation, batch = draw.choice(whole)
    kept = [one for one in history.operations if one.process != operation.process or one.invoked <= operation.invoked]
    given = frozenset(one.id for one in history.batches if one.actor == operation.process and one.id != batch)
    unknown = replace(operation, outcome=Unknown("made up"))
    changed = with_operation(replace(history, operations=tuple(kept), given=given), unknown)
    return without_line(changed, batch, draw)


def without_line(history: History, batch: str, draw: random.Random) -> History:
    """Without one line of the batch, and with the next about that agent as if it had never been."""
    gone = draw.choice(lines_of(history, batch))
    agent = (gone.change.member.campaign, gone.change.member.membername)
    lines: list[Entry] = []
    healing = False
    for line in history.lines:
        if line == gone:
            healing = True
        elif healing and (line.change.member.campaign, line.change.member.membername) == agent:
            healing = False
            if gone.change.before is not None or line.change.after is not None:
                lines.append(replace(line, change=replace(line.change, before=gone.change.before)))
        else:
            lines.append(line)
    return replace(history, lines=tuple(lines))


def change_more(history: History, draw: random.Random) -> History:
    """A batch that also adds somebody who was not named."""
    _, batch = draw.choice(list(stored(history, lines=1)))
    last = lines_of(history, batch)[-1]
    extra = Change(Kind.ADDED, None, Member("Ventas->", "intruder", "SIP/99"))
    lines = list(history.lines)
    place = lines.index(last) + 1
    lines[place:] = [replace(last, change=extra), *lines[place:]]
    lines = [replace(line, revision=number) for number, line in enumerate(lines, 1)]
    members = (*history.members, extra.member)
    return replace(history, lines=tuple(lines), members=members)


def forget_a_before(history: History, draw: random.Random) -> History | None:
    changed = [line for line in history.lines if line.change.before is not None]
    if not changed:
        return None
    line = draw.choice(changed)
    assert line.change.before is not None
    other = replace(line, change=replace(line.change, before=replace(line.change.before, penalty=2**31 - 1)))
    return replace(history, lines=tuple(other if one == line else one for one in history.lines))


def swap_revisions(history: History, draw: random.Random) -> History:
    place = draw.randrange(len(history.lines) - 1)
    lines = list(history.lines)
    lines[place : place + 2] = reversed(lines[place : place + 2])
    return replace(history, lines=tuple(lines))


def move_to_the_front(history: History, draw: random.Random) -> History | None:
    """A batch that nothing else depends on is recorded before one that had been answered when it began."""
    by_place = Attribution(history).by_place
    alone = [place for place, one in by_place.items() if not lines_of(history, history.batches[place - 1].id)]
    for place in draw.sample(alone, len(alone)):
        operation = by_place[place]
        before = [
            at
            for at, one in by_place.items()
            if at < place and one.returned < operation.invoked and not isinstance(one.outcome, Unknown)
        ]
        if before:
            batches = list(history.batches)
            batches.insert(draw.choice(before) - 1, batches.pop(place - 1))
            return replace(history, batches=tuple(batches))
    return None


def begin_after_the_next(history: History, draw: random.Random) -> History | None:
    """Times, not places: what comes first in the record began only when a later batch had been answered."""
    by_place = Attribution(history).by_place
    end = max(one.returned for one in history.operations)
    firsts = [place for place in by_place if isinstance(by_place[place].outcome, Stored)]
    for place in draw.sample(firsts, len(firsts)):
        operation = by_place[place]
        last_of_process = all(
            one.invoked <= operation.invoked for one in history.operations if one.process == operation.process
        )
        later = [at for at, one in by_place.items() if at > place and not isinstance(one.outcome, Unknown)]
        if last_of_process and later:
            return with_operation(history, replace(operation, invoked=end + 1, returned=end + 2))
    return None


def reads(history: History) -> list[tuple[Operation, Seen]]:
    return [(one, one.outcome) for one in history.operations if isinstance(one.outcome, Seen)]


def read_what_is_over(history: History, draw: random.Random) -> History | None:
    """A read after all was quiet sees a campaign as it was before something that had been answered long ago."""
    answered = [place for place, one in Attribution(history).by_place.items() if not isinstance(one.outcome, Unknown)]
    return read_at(history, draw, max(one.returned for one in history.operations) + 1, max(answered))


def read_what_is_to_come(history: History, draw: random.Random) -> History | None:
    """A read before everything sees a campaign as it was only later."""
    return read_at(history, draw, -1, 0)


def read_at(history: History, draw: random.Random, moment: float, place: int) -> History | None:
    """A read at that moment sees a campaign as it was, but not from that place on (0: not at first)."""
    wrong = [
        (name, crew)
        for name in history.campaigns
        for crews in [[frozenset[Member](), *crews_of(history, name)]]
        for crew in set(crews).difference(crews[place:] if place else crews[:1])
    ]
    if not wrong:
        return None
    name, crew = draw.choice(sorted(wrong, key=repr))
    read = Operation(10**6, "reader", "node 0", moment, moment + 0.5, Read(name), Seen(tuple(crew)))
    return replace(history, operations=(*history.operations, read))


def crews_of(history: History, campaign: str) -> Iterator[frozenset[Member]]:
    """What the campaign was after each batch."""
    crew: dict[str, Member] = {}
    for batch in history.batches:
        for line in lines_of(history, batch.id):
            if line.change.member.campaign == campaign:
                crew.pop(line.change.member.membername, None)
                if line.change.after is not None:
                    crew[line.change.after.membername] = line.change.after
        yield frozenset(crew.values())


def read_backwards(history: History, draw: random.Random) -> History | None:
    """One client sees the newer state first, then one that was over by then."""
    name = history.lines[-1].change.member.campaign
    crews = [frozenset[Member](), *crews_of(history, name)]
    newer = max(crews, key=crews.index)
    over = set(crews).difference(crews[crews.index(newer) :])
    if not over:
        return None
    older = draw.choice(sorted(over, key=repr))
    end = max(one.returned for one in history.operations) + 1
    first = Operation(10**6 + 1, "reader", "node 0", end, end + 1, Read(name), Seen(tuple(newer)))
    second = Operation(10**6 + 2, "reader", "node 1", end + 2, end + 3, Read(name), Seen(tuple(older)))
    return replace(history, operations=(*history.operations, first, second))


def read_a_mixture(history: History, draw: random.Random) -> History | None:
    found = [(one, seen) for one, seen in reads(history) if seen.members]
    if not found:
        return None
    operation, seen = draw.choice(found)
    strange = replace(seen.members[0], penalty=2**31 - 1)
    return with_operation(history, replace(operation, outcome=Seen((strange, *seen.members[1:]))))


def refuse_what_is_stored(history: History, draw: random.Random) -> History:
    operation, batch = draw.choice(list(stored(history)))
    return with_operation(history, replace(operation, outcome=Refused("unknown_member", batch)))


def refuse_for_nothing(history: History, draw: random.Random) -> History:
    operation, batch = draw.choice(list(stored(history)))
    changed = without_batch(history, batch)
    return with_operation(changed, replace(operation, outcome=Refused("not_authenticated")))


def see_what_is_gone(history: History, draw: random.Random) -> History | None:
    """A read of a campaign that was found to be dissolved when all was quiet."""
    changes = [one for one in history.operations if isinstance(one.ask, Declare | Dissolve)]
    if any(isinstance(one.outcome, Unknown) for one in changes):
        return None
    end = max(one.returned for one in history.operations) + 1
    gone = Operation(
        10**6, changes[0].process, "node 0", end, end + 1, Dissolve(history.passing), Refused("no_such_thing")
    )
    read = Operation(10**6 + 1, "reader", "node 0", end + 2, end + 3, Read(history.passing), Seen(()))
    return replace(history, operations=(*history.operations, gone, read))


def tell_another_count(history: History, draw: random.Random) -> History:
    operation, batch = draw.choice(list(stored(history)))
    return with_operation(history, replace(operation, outcome=Stored(batch, 77)))


def put_it_on_another(history: History, draw: random.Random) -> History:
    _, batch = draw.choice(list(stored(history, lines=1)))
    batches = tuple(replace(one, actor="other") if one.id == batch else one for one in history.batches)
    return replace(history, batches=batches)


def lose_a_member(history: History, draw: random.Random) -> History | None:
    if not history.members:
        return None
    gone = draw.choice(history.members)
    return replace(history, members=tuple(one for one in history.members if one != gone))


def keep_a_member(history: History, draw: random.Random) -> History:
    return replace(history, members=(*history.members, Member("Ventas->", "ghost", "SIP/98")))


def tell_another_past(history: History, draw: random.Random) -> History:
    first, *rest = history.pasts
    members = (*first.members, Member("Ventas->", "ghost", "SIP/98"))
    return replace(history, pasts=(replace(first, members=members), *rest))


class Damage(NamedTuple):
    make: Callable[[History, random.Random], History | None]
    fault: Fault


DAMAGES = [
    Damage(lose_a_write, Fault.LOST),
    Damage(lose_a_refusal, Fault.LOST),
    Damage(record_it_twice, Fault.TWICE),
    Damage(do_it_twice, Fault.PHANTOM),
    Damage(do_the_unknown_twice, Fault.TWICE),
    Damage(answer_two_with_one_batch, Fault.TWICE),
    Damage(do_what_nobody_asked, Fault.PHANTOM),
    Damage(tear, Fault.TORN),
    Damage(tear_the_unknown, Fault.TORN),
    Damage(change_more, Fault.WRONG),
    Damage(forget_a_before, Fault.GAP),
    Damage(swap_revisions, Fault.GAP),
    Damage(move_to_the_front, Fault.REORDERED),
    Damage(begin_after_the_next, Fault.REORDERED),
    Damage(read_what_is_over, Fault.STALE),
    Damage(read_what_is_to_come, Fault.EARLY),
    Damage(read_backwards, Fault.STALE),
    Damage(read_a_mixture, Fault.NEVER),
    Damage(refuse_what_is_stored, Fault.STORED_THOUGH_REFUSED),
    Damage(refuse_for_nothing, Fault.REFUSED_WITHOUT_REASON),
    Damage(see_what_is_gone, Fault.WRONG),
    Damage(tell_another_count, Fault.WRONG),
    Damage(put_it_on_another, Fault.WRONG),
    Damage(tell_another_past, Fault.PAST),
    Damage(lose_a_member, Fault.END),
    Damage(keep_a_member, Fault.END),
]


OPERATIONS_MOST = {
    Fault.GAP: 0,
    Fault.PHANTOM: 0,
    Fault.PAST: 0,
    Fault.END: 0,
    Fault.LOST: 1,
    Fault.TORN: 1,
    Fault.NEVER: 1,
    Fault.STORED_THOUGH_REFUSED: 1,
}
"""How many of a hundred are left when the rest is taken out; 2 for those not named: it, and what it clashes with."""


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.make.__name__)
@settings(max_examples=8, deadline=None)
@given(seed=seeds)
def test_whatever_is_made_wrong_is_found_and_told_in_few_words(damage: Damage, seed: int) -> None:
    right = example(seed, 20)
    assume(right.lines)
    wrong = damage.make(right, random.Random(seed))
    assume(wrong is not None)
    assert wrong is not None
    assert damage.fault in {one.fault for one in check(wrong)}
    found = minimised(wrong)
    assert found is not None
    violation, least = found
    assert len(least.operations) <= OPERATIONS_MOST.get(violation.fault, 2)
    told = report(wrong)
    assert told.startswith(violation.fault.upper())
    assert f"seed {right.seed}" in told
    assert all(f"#{one.number} " in told for one in least.operations)
    assert all(wrong.batches[place - 1].id in told for place in violation.places if place > 0)
