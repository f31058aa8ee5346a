"""Forgetting what no question about a moment after a cutoff needs, a step at a time.

What a step deletes is found out beforehand, in a transaction that only reads: in a long journal each member's lines are
in another place of the index, and who writes would wait for the disk a thousand times. Old lines change by nothing but
a step, so that what was found stays true until one is taken.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Delete,
    Executable,
    Row,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    union_all,
    update,
)

from plantel.ports import Needless
from plantel.store import schema

STEP = 200
"""Lines, or batches, in one step: some tens of milliseconds in which nobody else writes. In a long journal each line
that goes makes one more page of the index, in a place of its own, to be written."""

_VALUES_MOST = 500
"""Values in one statement."""

Ask = Callable[[Executable], Sequence[Row[Any]]]
Change = Callable[[Executable], int]


class Forgotten(msgspec.Struct, frozen=True):
    """How far the past is forgotten."""

    since: int
    """The first moment (µs) about which everything is known: none of the batches up to `number` is later."""
    number: int
    """The last batch that lines may be missing of."""
    revision: int
    """Its last line."""
    done: int
    """The last line that was looked at."""


_coded = msgspec.json.Encoder()
_decoded = msgspec.json.Decoder(Forgotten)


def forgotten(ask: Ask) -> Forgotten | None:
    """None where all is kept."""
    k = schema.keys.c
    found = ask(select(k.value).where(k.name == schema.FORGOTTEN))
    return _decoded.decode(bytes(found[0][0])) if found else None


class Step(Needless, frozen=True):
    """What may be forgotten next."""

    known: Forgotten | None
    """How far the past was forgotten when this was found out."""
    then: Forgotten
    """And how far it will be."""
    lines: list[int]
    """Of the journal, those that go."""
    batches: set[int]
    """Those that may have lost their last line."""


def needless(ask: Ask, cutoff: int) -> Step | None:
    """Some more of what is older than `cutoff` (µs); None where there is no more.

    Of each member the newest line up to there stays, where the member is there after it, and the newest that tells why
    there is a pause (see `reasons` of `ports.Transaction`). With its last line a batch goes, and those without lines,
    but for the newest of each instance: there the state after them begins.
    """
    known = forgotten(ask)
    so_far = known or Forgotten(since=0, number=0, revision=0, done=0)
    if so_far.done == so_far.revision:
        found = _batches(ask, so_far, cutoff)
        if not found:
            return None
        last = found[-1]
        since = max(so_far.since, *(row.at for row in found))
        so_far = Forgotten(since=since, number=last.number, revision=last.revision, done=so_far.done)
        numbers = {row.number for row in found}
    else:
        numbers = {so_far.number}
    end = min(so_far.revision, so_far.done + STEP)
    gone = _needless_lines(ask, so_far.done, end)
    numbers |= {row.batch for row in gone}
    then = msgspec.structs.replace(so_far, done=end)
    return Step(known=known, then=then, lines=[row.revision for row in gone], batches=numbers)


def forget(ask: Ask, change: Change, step: Step) -> None:
    """Take this step; nothing happens where somebody else has taken one since it was found out."""
    if forgotten(ask) != step.known:
        return
    _delete(change, delete(schema.journal), schema.journal.c.revision, step.lines)
    if step.then.done == step.then.revision:
        _forget_batches(ask, change, set(step.batches), step.then.number)
    _put(change, step.then, new=step.known is None)


def _batches(ask: Ask, so_far: Forgotten, cutoff: int) -> list[Row[Any]]:
    """The next ones, as long as none is younger than `cutoff`: later than one that is there may be one that is not."""
    b = schema.batches.c
    following = select(b.number, b.at, b.revision).where(b.number > so_far.number).order_by(b.number).limit(STEP)
    found: list[Row[Any]] = []
    for row in ask(following):
        if row.at > cutoff or (found and row.revision > so_far.done + STEP):
            break
        found.append(row)
    return found


def _needless_lines(ask: Ask, start: int, end: int) -> list[Row[Any]]:
    """Those that go once the lines after `start` up to `end` are old."""
    j = schema.journal.c
    touched = {tuple(row) for row in ask(select(j.campaign, j.membername).where(j.revision > start, j.revision <= end))}
    histories: dict[tuple[int, str], list[Row[Any]]] = {}
    for some in _parts(touched):
        # what earlier steps have left of them, and these
        lines = select(
            j.revision, j.batch, j.campaign, j.membername, j.after_interface, j.before_paused, j.reason
        ).where(tuple_(j.campaign, j.membername).in_(some), j.revision <= end)
        for row in ask(lines.with_hint(schema.journal, "FORCE INDEX (journal_member)", "mariadb")):
            histories.setdefault((row.campaign, row.membername), []).append(row)
    # the last line of all says from where to count on
    newest = ask(select(func.max(j.revision)))[0][0]
    return [row for history in histories.values() for row in _needless(history) if row.revision != newest]


def _needless(history: list[Row[Any]]) -> list[Row[Any]]:
    history.sort(key=lambda row: int(row.revision))
    newest = history[-1]
    if newest.after_interface is None:
        return history
    telling = [row for row in history if row.reason is not None or not row.before_paused]
    kept = {newest.revision, *(row.revision for row in telling[-1:])}
    return [row for row in history if row.revision not in kept]


def _forget_batches(ask: Ask, change: Change, numbers: set[int], last: int) -> None:
    """Forget those of `numbers`, and what was kept as the newest before, of which nothing is left or to be found.

    Each question is about constants: asked of all batches together, MariaDB reads journal and batches from one end.
    """
    b, j = schema.batches.c, schema.journal.c
    instances = {row.instance for part in _parts(numbers) for row in ask(select(b.instance).where(b.number.in_(part)))}
    stay = set()
    for instance in instances:
        newest = select(func.max(b.number)).where(b.instance == instance)
        numbers |= {row[0] for row in ask(newest.where(b.number < min(numbers))) if row[0] is not None}
        stay |= {row[0] for row in ask(newest.where(b.number <= last))}
    needless: list[int] = []
    for part in _parts(numbers - stay):
        rows = ask(select(b.number, b.revision, b.changes).where(b.number.in_(part), b.number <= last))
        lines = (j.revision.between(row.revision - row.changes + 1, row.revision) for row in rows)
        full = [select(literal(row.number)).where(exists().where(its)) for row, its in zip(rows, lines, strict=True)]
        left = {row[0] for row in ask(union_all(*full))} if full else set()
        needless += [row.number for row in rows if row.number not in left]
    _delete(change, delete(schema.batches), b.number, needless)


def _put(change: Change, forgotten: Forgotten, *, new: bool) -> None:
    k = schema.keys.c
    value = _coded.encode(forgotten)
    if new:
        change(insert(schema.keys).values(name=schema.FORGOTTEN, value=value))
    else:
        change(update(schema.keys).where(k.name == schema.FORGOTTEN).values(value=value))


def _delete(change: Change, from_table: Delete, key: ColumnElement[int], values: Iterable[int]) -> None:
    for part in _parts(values):
        change(from_table.where(key.in_(part)))


def _parts(values: Iterable[Any]) -> Iterable[list[Any]]:
    every = list(values)
    return (every[first : first + _VALUES_MOST] for first in range(0, len(every), _VALUES_MOST))
