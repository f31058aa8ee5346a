"""Units of work that share one database transaction.

Recording is buffered: the rows of a unit are kept until it has ended, and sent together with those of the other units
of the group, a few statements for all of them. So a unit that fails has usually nothing to undo, and only one that
reads its own writes, or writes something other than a batch, pays for a savepoint of its own. Rows are sent earlier
when a unit is about to read, or to change, what may be among them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Row

from plantel import errors
from plantel.batch import Batch, Change, Kind
from plantel.ports import Like
from plantel.roster import fold
from plantel.store import rows
from plantel.store.campaigns import Known, stamp
from plantel.store.connection import Connection, LikeRow, MemberRow, PlacedRow
from plantel.store.transaction import SqlTransaction, like_rows

_LARGE = 500
"""A unit with more changes goes to the database by itself: telling which keys it touches would cost more."""

_SLICE = 1_000
"""So many changes of a large unit are rows at one time: all of them would take more memory than the request itself."""

_FEW = 16
"""Units that ask for so many members at most share a look-up."""

_LEAVING = frozenset({Kind.MOVED, Kind.REPLACED, Kind.REMOVED})

_ADDED = str(Kind.ADDED)

_Key = tuple[int, str]


class Rows:
    """What units have recorded: rows to write, in the form in which a `Connection` takes them."""

    __slots__ = ("batches", "journal", "placed", "updated", "vacated")

    def __init__(self) -> None:
        self.batches: list[tuple[Any, ...]] = []
        self.vacated: dict[int, list[str]] = {}
        self.updated: list[MemberRow] = []
        self.placed: list[PlacedRow] = []
        self.journal: list[tuple[Any, ...]] = []

    def __bool__(self) -> bool:
        return bool(self.batches)

    def extend(self, more: "Rows") -> None:
        self.batches += more.batches
        self.updated += more.updated
        self.placed += more.placed
        self.journal += more.journal
        for campaign, membernames in more.vacated.items():
            self.vacated.setdefault(campaign, []).extend(membernames)

    def send(self, connection: Connection) -> None:
        """Whoever leaves a phone leaves before anybody arrives, so agents may swap phones within one batch."""
        for campaign, membernames in self.vacated.items():
            connection.vacate(campaign, membernames)
        if self.updated:
            connection.update(self.updated)
        if self.placed:
            connection.place(self.placed)
        if self.batches:
            connection.add_batches(self.batches)
        if self.journal:
            connection.add_journal(self.journal)


class Group:
    """The writer's connection, and the units of the transaction under way. Used by the writer's thread only."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.known: dict[str, Known] = {}
        """Campaigns by instance, as this transaction sees them; kept from one to the next while nobody changes them."""
        self.number = 0
        """The newest batch's."""
        self.revision = 0
        self.at = 0
        """The time (µs) that the newest batch is of."""
        self.elsewhere = 0
        """How many times another process was seen to have committed."""
        self._version = connection.data_version()
        self._stale = True
        self._stamp: bytes | None = None
        """Of `known`, or of what it was before changes of our own; None: it may hold what was never stored."""
        self._waiting: list[Unit] = []
        self._touched: set[_Key] = set()
        self._asked: set[LikeRow] = set()
        self._found: dict[_Key, MemberRow] = {}

    def begin(self) -> None:
        """Start the transaction. Raises an error of the database."""
        self.forget()
        self.connection.begin()
        version = self.connection.data_version()
        if version != self._version:
            self._version = version
            self.elsewhere += 1
            self._stale = True
        if self._stale:
            found = stamp(self._ask)
            if found != self._stamp:
                self.known.clear()
                self._stamp = found
            self.number, self.revision, self.at = self.connection.newest()
            self._stale = False

    def look_up(self, likes: Sequence[Like]) -> None:
        """Look up what the units will ask for, all in one query. Raises an error of the database."""
        wanted: list[LikeRow] = []
        for instance, items in likes:
            known = self.known.get(instance)
            if known is not None and len(items) <= _FEW:
                wanted += like_rows(known, items)
        if wanted:
            self._asked.update(wanted)
            for row in self.connection.members_like(wanted):
                self._found[row[0], row[1]] = self._found[row[0], fold(row[2])] = row

    def answer(self, wanted: Sequence[LikeRow]) -> Iterable[MemberRow] | None:
        """What `look_up` found for `wanted`, none of which may be touched; None where it did not ask for all of it."""
        if not self._asked.issuperset(wanted):
            return None
        keys = [key for campaign, agent, phone in wanted for key in ((campaign, agent), (campaign, phone))]
        return dict.fromkeys(row for key in keys if (row := self._found.get(key)) is not None)

    def forget(self) -> None:
        """Take nothing that was looked up for true any more: something is written."""
        self._asked.clear()
        self._found.clear()

    def commit(self) -> None:
        """Make durable what the units wrote. Raises an error of the database; then nothing of it remains."""
        self.send()
        self.connection.commit()

    def rollback(self) -> None:
        """Forget the transaction."""
        self._waiting.clear()
        self._touched.clear()
        self._stale = True
        self._stamp = None
        self.connection.rollback()

    def _ask(self, statement: Executable) -> Sequence[Row[Any]]:
        return self.connection.core.execute(statement).all()

    def touches(self, keys: Sequence[_Key]) -> bool:
        """Whether rows not yet sent have to do with one of these agents or phones."""
        return not self._touched.isdisjoint(keys)

    def wait(self, unit: "Unit") -> None:
        """Keep the rows of `unit`, which has ended."""
        self._waiting.append(unit)
        self._touched.update(unit.touched)

    def send(self) -> None:
        """Send all rows that wait. A unit whose rows the database refuses has failed; the others have not."""
        waiting = self._waiting
        if waiting:
            self._waiting = []
            self._touched.clear()
            self.forget()
            self._send(waiting)

    def _send(self, units: "list[Unit]") -> None:
        all_rows = units[0].rows
        if len(units) > 1:
            all_rows = Rows()
            for unit in units:
                all_rows.extend(unit.rows)
        self.connection.save("sending")
        try:
            all_rows.send(self.connection)
            self.connection.release("sending")
        except Exception as error:
            if not self.connection.in_transaction:
                raise
            self.connection.undo("sending")
            if len(units) == 1:
                units[0].failure = self.connection.translated(error) or error
                self._stale = True
            else:
                for unit in units:
                    self._send([unit])


class Unit(SqlTransaction):
    """The transaction that one unit of work sees, within its group's."""

    def __init__(self, group: Group) -> None:
        self._connection = group.connection
        self._known = group.known
        self._group = group
        self._start = group.number, group.revision, group.at
        self._saved = False
        self.rows = Rows()
        self.touched: list[_Key] = []
        """The agents and phones that `rows` have to do with."""
        self.failure: Exception | None = None
        """Why the unit's rows could not be sent."""

    def finish(self) -> None:
        """The work is done: what it wrote becomes part of the group's transaction. Raises an error of the database."""
        if self._saved:
            self._connection.check_transaction()
            if self.rows:
                self.rows.send(self._connection)
            self._connection.release("unit")
        elif self.rows:
            self._group.wait(self)

    def abandon(self) -> None:
        """The work has failed: nothing that it wrote remains. Raises an error of the database."""
        self._group.number, self._group.revision, self._group.at = self._start
        if self._saved:
            self._known.clear()
            if self._connection.in_transaction:
                self._connection.undo("unit")

    def version(self) -> tuple[int, int]:
        """Revisions alone would not do: a database that lost some of them gives the same numbers to others."""
        return self._group.revision, self._group.elsewhere

    def record(self, batch: Batch, changes: Sequence[Change]) -> int:
        if self.rows:
            self._before_writing()  # what a unit records next may change what it recorded first
        group = self._group
        number = group.number + 1
        touched: list[_Key] = []
        if len(changes) > _LARGE:
            self._write_slices(batch.instance, number, changes)
            recorded = Rows()
        else:
            recorded = self._rows_of(batch.instance, number, group.revision, changes, touched)
        revision = group.revision + len(changes)
        at = rows.microseconds(batch.at)
        if at < group.at <= at + rows.APART:  # another node's clock is ahead of ours, or ours was set back
            at = group.at
        recorded.batches.append(
            (
                number,
                batch.id,
                batch.instance,
                batch.actor,
                str(batch.source),
                at,
                batch.items,
                rows.json(batch.problems) if batch.problems else "[]",
                revision,
                len(changes),
            )
        )
        if group.touches(touched):
            self._before_reading()
        self.rows, self.touched = recorded, touched
        group.number, group.revision, group.at = number, revision, at
        return revision

    def _write_slices(self, instance: str, number: int, changes: Sequence[Change]) -> None:
        """Write what the many changes of batch `number` come to, a slice at a time."""
        self._before_writing()
        first = self._group.revision
        slices = [(first + start, changes[start : start + _SLICE]) for start in range(0, len(changes), _SLICE)]
        with self._connection.translating():
            if all(change.before is None for change in changes):
                self._connection.add_new(
                    (self._lines_of_new(instance, number, revision, some) for revision, some in slices), first
                )
                return
            if any(change.kind in _LEAVING for change in changes):
                # before anybody arrives, in whatever slice: see `Rows.send`
                for revision, some in slices:
                    for campaign, membernames in self._rows_of(instance, number, revision, some).vacated.items():
                        self._connection.vacate(campaign, membernames)
            for revision, some in slices:
                recorded = self._rows_of(instance, number, revision, some)
                recorded.vacated.clear()
                recorded.send(self._connection)

    def _lines_of_new(
        self, instance: str, number: int, revision: int, changes: Sequence[Change]
    ) -> list[tuple[int, int, int, str, str, str, int, int]]:
        """The journal lines of batch `number`, after `revision`, about agents who are all new."""
        ids = self._campaigns(instance).ids
        members = [one for change in changes if (one := change.after) is not None]
        id_of = {name: _id_of(name, ids) for name in {one.campaign for one in members}}
        return [
            (line, number, id_of[one.campaign], one.membername, _ADDED, one.interface, one.penalty, int(one.paused))
            for line, one in enumerate(members, revision + 1)
        ]

    def _rows_of(
        self, instance: str, number: int, revision: int, changes: Sequence[Change], touched: list[_Key] | None = None
    ) -> Rows:
        """The rows of batch `number`, but its own, after `revision`; what they touch is added to `touched`."""
        ids = self._campaigns(instance).ids
        id_of: dict[str, int] = {}  # by the name as it is spelled in the changes
        recorded = Rows()
        updated, placed, vacated, journal = recorded.updated, recorded.placed, recorded.vacated, recorded.journal
        for change in changes:
            before, after = change.before, change.after
            one = after or before
            assert one is not None
            agent = one.membername
            campaign = id_of.get(one.campaign)
            if campaign is None:
                campaign = id_of[one.campaign] = _id_of(one.campaign, ids)
            revision += 1
            if before is None:
                phone = left = one.phone
                interface, penalty, paused = one.interface, one.penalty, 1 if one.paused else 0
                placed.append((campaign, agent, phone, interface, penalty, paused))
                journal.append((revision, number, campaign, agent, _ADDED, interface, penalty, paused))
            else:
                head = (revision, number, campaign, agent, str(change.kind))
                phone, left = one.phone, before.phone
                past = (before.interface, before.penalty, 1 if before.paused else 0)
                if after is None:
                    vacated.setdefault(campaign, []).append(agent)
                    journal.append((*head, None, None, None, *past))
                else:
                    present = (after.interface, after.penalty, 1 if after.paused else 0)
                    if phone == left:
                        updated.append((campaign, agent, *present))
                    else:
                        vacated.setdefault(campaign, []).append(agent)
                        placed.append((campaign, agent, phone, *present))
                    line = (*head, *present, *past)
                    journal.append((*line, change.reason) if change.reason or after == before else line)
            if touched is not None:
                touched += ((campaign, agent), (campaign, phone), (campaign, left))
        return recorded

    def _before_members_like(self, wanted: Sequence[LikeRow]) -> None:
        if self.rows or self._group.touches(
            [key for campaign, agent, phone in wanted for key in ((campaign, agent), (campaign, phone))]
        ):
            self._before_reading()

    def _before_reading(self) -> None:
        self._connection.check_transaction()
        if self.rows:
            self._before_writing()
        else:
            with self._connection.translating():
                self._group.send()

    def _like(self, wanted: list[LikeRow]) -> Iterable[MemberRow]:
        found = self._group.answer(wanted)
        return super()._like(wanted) if found is None else found

    def _before_writing(self) -> None:
        self._group.forget()
        self._connection.check_transaction()
        with self._connection.translating():
            self._group.send()
            if not self._saved:
                self._connection.save("unit")
                self._saved = True
            if self.rows:
                recorded, self.rows = self.rows, Rows()
                recorded.send(self._connection)


def _id_of(campaign: str, ids: Mapping[str, int]) -> int:
    number = ids.get(fold(campaign))
    if number is None:
        raise errors.NoSuchThing(name=campaign)
    return number
