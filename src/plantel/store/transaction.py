"""Transactions over a SQL connection: everything but the recording of changes, which is `unit`'s."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, NoReturn

from sqlalchemy import Executable, Row, Select, delete, func, insert, or_, select, tuple_, update

from plantel import errors
from plantel.access import Token, User
from plantel.batch import Batch, Change
from plantel.drift import DriftRecord
from plantel.plan import Claim
from plantel.ports import BATCHES_MOST, Entry, Needless, Within
from plantel.roster import Campaign, Member, fold
from plantel.store import past, pruning, rows, schema
from plantel.store.campaigns import Known, KnownToAll, load, stamp
from plantel.store.connection import Connection, LikeRow, MemberRow

DRIFTS_MOST = 100_000
"""Drift records kept; nobody asks for older ones, and a server that is always put right again would add without end."""

_LINES_MOST = 1000
"""Lines in one statement, far below the number of values that a database takes."""

_SCAN_FROM = 16
"""From so many items of one campaign on, its first members are read in one go before any are looked up one by one."""


def like_rows(known: Known, items: Sequence[Member]) -> list[LikeRow]:
    """What to look up for the members that are like `items`; nothing for those of unknown campaigns."""
    id_of = {name: known.ids.get(fold(name)) for name in {item.campaign for item in items}}
    return [(campaign, item.membername, item.phone) for item in items if (campaign := id_of[item.campaign]) is not None]


class SqlTransaction(ABC):
    """`ports.Transaction` over one connection, whose transaction is begun and ended elsewhere."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[str, Known] = {}

    @abstractmethod
    def record(self, batch: Batch, changes: Sequence[Change]) -> int: ...

    @abstractmethod
    def version(self) -> tuple[int, int]: ...

    @abstractmethod
    def _before_reading(self) -> None:
        """Called before statements that read."""

    @abstractmethod
    def _before_writing(self) -> None:
        """Called before statements that write."""

    @abstractmethod
    def _before_members_like(self, wanted: Sequence[LikeRow]) -> None:
        """Called in place of `_before_reading` before the members like `wanted` are read."""

    # --- campaigns ---------------------------------------------------------------------------------------------------

    def campaigns(self, instance: str) -> Mapping[str, Campaign]:
        return self._campaigns(instance).campaigns

    def _campaigns(self, instance: str) -> Known:
        known = self._known.get(instance)
        if known is None:
            known = self._known[instance] = self._load(instance)
        return known

    def _load(self, instance: str) -> Known:
        return load(self._rows, instance)

    def add_campaign(self, campaign: Campaign) -> None:
        if fold(campaign.name) in self._campaigns(campaign.instance).ids:
            raise errors.NameTaken(name=campaign.name)
        self.add_campaigns(campaign.instance, [campaign])

    def add_campaigns(self, instance: str, campaigns: Iterable[Campaign]) -> None:
        known = self._campaigns(instance)
        new = {folded: one for one in campaigns if (folded := fold(one.name)) not in known.ids}
        if not new:
            return
        lines = [
            {"instance": instance, "name": one.name, "folded": folded, "origin": str(one.origin), "removed": 0}
            for folded, one in new.items()
        ]
        c = schema.campaigns.c
        added: dict[int, Campaign] = {}
        for start in range(0, len(lines), _LINES_MOST):
            some = lines[start : start + _LINES_MOST]
            self._change(insert(schema.campaigns), some)
            names = [line["folded"] for line in some]
            found = self._rows(
                select(c.id, c.folded).where(c.instance == instance, c.removed == 0, c.folded.in_(names))
            )
            added |= {row.id: new[row.folded] for row in found}
        self._campaigns_changed()
        self._known[instance] = known.with_more(added)

    def remove_campaign(self, instance: str, name: str) -> None:
        known = self._campaigns(instance)
        number = known.ids.get(fold(name))
        if number is None:
            raise errors.NoSuchThing(name=name)
        m, c = schema.members.c, schema.campaigns.c
        if self._rows(select(m.membername).where(m.campaign == number).limit(1)):
            raise ValueError(f"the campaign {name} has members")
        self._change(update(schema.campaigns).where(c.id == number).values(removed=c.id))
        self._campaigns_changed()
        self._known[instance] = known.without(fold(name))

    def _campaigns_changed(self) -> None:
        k = schema.keys.c
        self._change(update(schema.keys).where(k.name == schema.CAMPAIGNS).values(value=schema.new_stamp()))

    # --- members and their history -----------------------------------------------------------------------------------

    def members(self, instance: str, campaigns: Collection[str] | None = None) -> list[Member]:
        known = self._campaigns(instance)
        folded = known.ids.keys() if campaigns is None else known.ids.keys() & {fold(name) for name in campaigns}
        self._before_reading()
        with self._connection.translating():
            found = self._connection.members(known.ids[name] for name in folded)
        members = [_member(known.names, row) for row in found]
        members.sort(key=lambda member: fold(member.campaign))  # stable: within one, they are in order
        return members

    def members_like(self, instance: str, items: Sequence[Member]) -> list[Member]:
        known = self._campaigns(instance)
        return [_member(known.names, row) for row in self._rows_like(known, items)]

    def unlike(self, instance: str, items: Sequence[Member]) -> tuple[Sequence[Member], list[Member]]:
        known = self._campaigns(instance)
        found = self._rows_like(known, items)
        if not found:
            return items, []
        # compared as rows: to make members of all that are as they should be would take longer than all the rest
        there = set(found)
        ids = known.ids
        id_of = {name: ids[fold(name)] for name in {item.campaign for item in items}}
        others = [
            item
            for item in items
            if (id_of[item.campaign], item.membername, item.interface, item.penalty, item.paused) not in there
        ]
        if not others:
            return [], []
        if len(others) < len(items):
            agents = {(id_of[item.campaign], item.membername) for item in others}
            phones = {(id_of[item.campaign], item.phone) for item in others}
            found = [row for row in found if (row[0], row[1]) in agents or (row[0], row[2].lower()) in phones]
        return others, [_member(known.names, row) for row in found]

    def _rows_like(self, known: Known, items: Sequence[Member]) -> list[MemberRow]:
        if len(items) >= _SCAN_FROM:
            return self._rows_like_many(known, items)
        wanted = like_rows(known, items)
        if not wanted:
            return []
        self._before_members_like(wanted)
        with self._connection.translating():
            return list(self._like(wanted))

    def _like(self, wanted: list[LikeRow]) -> Iterable[MemberRow]:
        return dict.fromkeys(self._connection.members_like(wanted))

    def _rows_like_many(self, known: Known, items: Sequence[Member]) -> list[MemberRow]:
        """A campaign with few members beside the items is read whole: much faster than looking each of them up."""
        self._before_reading()
        names = Counter(map(attrgetter("campaign"), items))
        crews: Counter[int] = Counter()
        for name, size in names.items():
            if (campaign := known.ids.get(fold(name))) is not None:
                crews[campaign] += size
        most = {campaign: 2 * size for campaign, size in crews.items() if size >= _SCAN_FROM}
        with self._connection.translating():
            found = self._connection.first_members(most)
            sizes = Counter(map(itemgetter(0), found))
            single = {campaign for campaign in crews if sizes[campaign] >= most.get(campaign, 0)}
            if single:
                found = [row for row in found if row[0] not in single]
                wanted = [row for row in like_rows(known, items) if row[0] in single]
                found += dict.fromkeys(self._connection.members_like(wanted))
        return found

    def reasons(self, instance: str, members: Iterable[Member]) -> Mapping[tuple[str, str], str]:
        known = self._campaigns(instance)
        paused = [(known.ids[fold(one.campaign)], one.membername) for one in members if one.paused]
        m, j = schema.members.c, schema.journal.c
        # the newest line that began a pause, or gave it another reason
        reason = (
            select(j.reason)
            .where(j.campaign == m.campaign, j.membername == m.membername)
            .where(or_(j.reason.is_not(None), j.before_paused.is_(None), j.before_paused.is_(False)))
            .order_by(j.revision.desc())
            .limit(1)
            .scalar_subquery()
            .label("reason")
        )
        found: list[Row[Any]] = []
        for first in range(0, len(paused), _LINES_MOST):
            some = paused[first : first + _LINES_MOST]
            found += self._rows(
                select(m.campaign, m.membername, reason).where(tuple_(m.campaign, m.membername).in_(some))
            )
        return {(fold(known.names[row.campaign]), row.membername): row.reason for row in found if row.reason}

    def revision(self) -> int:
        return int(self._rows(select(func.coalesce(func.max(schema.journal.c.revision), 0)))[0][0])

    def batch(self, instance: str, batch: str) -> Batch | None:
        b = schema.batches.c
        found = self._rows(select(schema.batches).where(b.instance == instance, b.id == batch))
        return rows.batch(found[0]) if found else None

    def batches(self, instance: str, limit: int, *, actor: str | None = None, problems: bool = True) -> list[Batch]:
        b = schema.batches.c
        told = b.problems if problems else (b.problems != "[]").label("refused")
        columns = (b.id, b.instance, b.actor, b.source, b.at, b["items"], told)
        newest = select(*columns).where(b.instance == instance).order_by(b.number.desc()).limit(limit)
        if actor is not None:
            last = self._rows(select(func.coalesce(func.max(b.number), 0)))[0][0]
            newest = newest.where(b.actor == actor, b.number > last - BATCHES_MOST)
        return [rows.batch(row) if problems else rows.batch_line(row) for row in self._rows(newest)]

    def journal(
        self,
        instance: str,
        *,
        batch: str | None = None,
        campaign: str | None = None,
        membername: str | None = None,
        within: Within | None = None,
        after: int = 0,
        limit: int = 1000,
    ) -> list[Entry]:
        j, b = schema.journal.c, schema.batches.c
        lines = select(schema.journal)
        if batch is None:
            newest = past.newest_lines(self._rows, instance, campaign, membername, within, after, limit)
            parts = [newest[first : first + _LINES_MOST] for first in range(0, len(newest), _LINES_MOST)]
            told: Sequence[Row[Any]] = [
                row for part in parts for row in self._rows(_told(lines.where(j.revision.in_(part))))
            ]
        else:
            its = self._rows(select(b.number, b.revision, b.changes).where(b.instance == instance, b.id == batch))
            if not its:
                return []
            forgotten = pruning.forgotten(self._rows)
            if forgotten is not None and its[0].number <= forgotten.number and its[0].changes:
                raise errors.HistoryForgotten(since=rows.moment(forgotten.since).isoformat())
            last, first = its[0].revision, its[0].revision - its[0].changes + 1
            lines = lines.where(j.revision.between(max(first, after + 1), last))
            if campaign is not None or within is not None:
                lines = lines.where(j.campaign.in_(past.campaigns(self._rows, instance, campaign, within)))
            if membername is not None:
                lines = lines.where(j.membername == membername)
            told = self._rows(_told(lines.order_by(j.revision.desc()).limit(limit)))
        return [rows.entry(row) for row in reversed(told)]

    def members_at(self, instance: str, moment: datetime, campaign: str | None = None) -> list[Member]:
        forgotten = pruning.forgotten(self._rows)
        if forgotten is not None and rows.microseconds(moment) < forgotten.since:
            raise errors.HistoryForgotten(since=rows.moment(forgotten.since).isoformat())
        revision = past.revision_at(self._rows, instance, rows.microseconds(moment))
        if revision is None:
            return []
        names = past.campaigns(self._rows, instance, campaign)
        with self._connection.translating():
            found = past.members_at(self._rows, self._connection, names, revision)
        members = [_member(names, row) for row in found]
        members.sort(key=lambda member: (fold(member.campaign), member.membername))
        return members

    def known_since(self) -> datetime | None:
        forgotten = pruning.forgotten(self._rows)
        return None if forgotten is None else rows.moment(forgotten.since)

    def time(self) -> datetime:
        return rows.moment(past.time(self._rows, self._connection.core.dialect.name))

    def needless(self, cutoff: datetime) -> Needless | None:
        return pruning.needless(self._rows, rows.microseconds(cutoff))

    def prune(self, needless: Needless) -> None:
        assert isinstance(needless, pruning.Step)
        pruning.forget(self._rows, self._change, needless)

    # --- tokens and users --------------------------------------------------------------------------------------------

    def token(self, instance: str, name: str, digest: bytes) -> Token | None:
        t = schema.tokens.c
        found = self._rows(
            select(schema.tokens).where(t.instance == instance, t.name == name, t.digest == digest),
        )
        return rows.token(found[0]) if found else None

    def tokens(self, instance: str) -> list[Token]:
        t = schema.tokens.c
        found = self._rows(select(schema.tokens).where(t.instance == instance).order_by(t.created, t.id))
        return sorted((rows.token(row) for row in found), key=lambda token: token.name)

    def add_token(self, token: Token) -> None:
        t = schema.tokens.c
        same = select(t.id).where(t.instance == token.instance, t.name == token.name).limit(1)
        if token.user:
            same = same.where(t.digest == token.digest)
        if self._rows(same):
            raise errors.NameTaken(name=token.name)
        self._change(insert(schema.tokens).values(rows.token_row(token)))

    def remove_tokens(self, instance: str, name: str, digest: bytes | None = None) -> int:
        t = schema.tokens.c
        those = delete(schema.tokens).where(t.instance == instance, t.name == name)
        return self._change(those if digest is None else those.where(t.digest == digest))

    def trim_sessions(self, instance: str, user: str, most: int) -> None:
        t = schema.tokens.c
        its = (t.instance == instance, t.user == user)
        newest = select(t.id).where(*its).order_by(t.id.desc()).limit(most)
        self._change(delete(schema.tokens).where(*its, t.id.not_in(_found_first(newest))))

    def sweep_sessions(self, instance: str, moment: datetime, most: int) -> int:
        t = schema.tokens.c
        ended = select(t.id).where(t.instance == instance, t.user != "", t.expires <= rows.microseconds(moment))
        return self._change(delete(schema.tokens).where(t.id.in_(_found_first(ended.limit(most)))))

    def token_key(self) -> bytes:
        k = schema.keys.c
        return bytes(self._rows(select(k.value).where(k.name == "token"))[0][0])

    def user(self, instance: str, name: str) -> User | None:
        u = schema.users.c
        found = self._rows(select(schema.users).where(u.instance == instance, u.name == name))
        return rows.user(found[0]) if found else None

    def users(self, instance: str) -> list[User]:
        found = self._rows(select(schema.users).where(schema.users.c.instance == instance))
        return sorted((rows.user(row) for row in found), key=lambda user: user.name)

    def put_user(self, user: User) -> None:
        u = schema.users.c
        self._end_sessions(user.instance, user.name)
        values = rows.user_row(user)
        if not self._change(
            update(schema.users).where(u.instance == user.instance, u.name == user.name).values(values)
        ):
            self._change(insert(schema.users).values(values))

    def remove_user(self, instance: str, name: str) -> bool:
        u = schema.users.c
        self._end_sessions(instance, name)
        return self._change(delete(schema.users).where(u.instance == instance, u.name == name)) == 1

    def _end_sessions(self, instance: str, user: str) -> None:
        t = schema.tokens.c
        self._change(delete(schema.tokens).where(t.instance == instance, t.user == user))

    # --- the ledger --------------------------------------------------------------------------------------------------

    def claims(
        self,
        instance: str,
        server: str,
        queues: Collection[str] | None = None,
        interfaces: Collection[str] | None = None,
    ) -> list[Claim]:
        self._before_reading()
        folded = _folded(queues)
        with self._connection.translating():
            found = self._connection.claims(instance, server, folded, _folded(interfaces))
            return [rows.claim(row) for row in found]

    def put_claims(self, instance: str, server: str, claims: Iterable[Claim]) -> None:
        self._before_writing()
        lines = [
            (
                *(instance, server, *one.key, one.queue, one.interface),
                *(one.added, one.paused, one.penalty, one.reason, one.membername),
            )
            for one in claims
        ]
        with self._connection.translating():
            self._connection.claim(lines)

    def drop_claims(self, instance: str, server: str, claims: Iterable[Claim]) -> None:
        self._before_writing()
        phones: dict[str, list[str]] = {}
        for claim in claims:
            queue, phone = claim.key
            phones.setdefault(queue, []).append(phone)
        with self._connection.translating():
            for queue, those in phones.items():
                self._connection.disclaim(instance, server, queue, those)

    def forget_pauses(self, instance: str, members: Iterable[Member]) -> None:
        self._before_writing()
        with self._connection.translating():
            self._connection.forget_pauses([(instance, fold(one.campaign), one.phone) for one in members])

    # --- drift -------------------------------------------------------------------------------------------------------

    def add_drifts(self, instance: str, records: Iterable[DriftRecord]) -> None:
        lines = [rows.drift_row(instance, record) for record in records]
        if lines:
            d = schema.drifts.c
            for first in range(0, len(lines), _LINES_MOST):
                self._change(insert(schema.drifts).values(lines[first : first + _LINES_MOST]))
            newest = select(func.max(d.number)).scalar_subquery()
            self._change(delete(schema.drifts).where(d.number <= newest - DRIFTS_MOST))

    def drifts(
        self,
        instance: str,
        *,
        server: str | None = None,
        campaign: str | None = None,
        within: Within | None = None,
        limit: int = 100,
    ) -> list[DriftRecord]:
        d = schema.drifts.c
        lines = select(schema.drifts).where(d.instance == instance).order_by(d.number.desc()).limit(limit)
        if server is not None:
            lines = lines.where(d.server == server)
        if campaign is not None:
            lines = lines.where(d.folded_campaign == fold(campaign))
        if within is not None:
            every = lines.with_only_columns(d.number, d.campaign).limit(None)  # of those that a store keeps
            seen = (row.number for row in self._rows(every) if within(row.campaign))
            lines = lines.where(d.number.in_(list(islice(seen, limit))))
        return [rows.drift(row) for row in reversed(self._rows(lines))]

    def put_trial(self, value: bytes) -> None:
        """Store `value`, which means nothing, in place of an earlier one; empty: none. Raises StoreError."""
        self._change(delete(schema.keys).where(schema.keys.c.name == schema.TRIAL))
        if value:
            self._change(insert(schema.keys).values(name=schema.TRIAL, value=value))

    # --- statements --------------------------------------------------------------------------------------------------

    def _rows(self, statement: Executable) -> Sequence[Row[Any]]:
        self._before_reading()
        with self._connection.translating():
            return self._connection.core.execute(statement).all()

    def _change(self, statement: Executable, lines: Sequence[Mapping[str, Any]] | None = None) -> int:
        """The number of rows changed. `lines`: the statement's values, for each time that it is run."""
        self._before_writing()
        with self._connection.translating():
            return self._connection.core.execute(statement, lines).rowcount


def _folded(names: Collection[str] | None) -> set[str] | None:
    return None if names is None else {fold(name) for name in names}


class ReadTransaction(SqlTransaction):
    """A consistent view. Its writing methods raise RuntimeError: to call one is a mistake in the program."""

    def __init__(self, connection: Connection, known: KnownToAll) -> None:
        super().__init__(connection)
        self._known_to_all = known

    def _load(self, instance: str) -> Known:
        return self._known_to_all.get(instance, stamp(self._rows), super()._load)

    def record(self, batch: Batch, changes: Sequence[Change]) -> int:
        return _refuse_writing(batch, changes)

    def version(self) -> tuple[int, int]:
        return _refuse_writing()

    def _before_members_like(self, wanted: Sequence[LikeRow]) -> None:
        pass

    def _before_reading(self) -> None:
        pass

    def _before_writing(self) -> None:
        _refuse_writing()


def _refuse_writing(*_: object) -> NoReturn:
    raise RuntimeError("a write within Store.read")


def _found_first(ids: Select[tuple[int]]) -> Select[tuple[int]]:
    """`ids` as a table of its own: MariaDB neither limits a subquery of IN nor looks into the table it deletes from."""
    found = ids.subquery()
    return select(found.c.id)


def _told(lines: Select[Any]) -> Select[Any]:
    """These journal lines, newest first, with what `rows.entry` needs of their batch and campaign."""
    j, b, c = lines.offset(0).subquery(), schema.batches.c, schema.campaigns.c  # found first, then looked up for
    return (
        select(j, b.id, b.actor, b.at, c.name)
        .join_from(j, schema.batches, b.number == j.c.batch)
        .join(schema.campaigns, c.id == j.c.campaign)
        .order_by(j.c.revision.desc())
    )


def _member(names: Mapping[int, str], row: MemberRow) -> Member:
    campaign, membername, interface, penalty, paused = row
    return Member(names[campaign], membername, interface, penalty, paused == 1)
