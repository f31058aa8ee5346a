"""Questions about the past: by few steps, however long the journal is."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import Executable, Row, Select, func, literal_column, select

from plantel.ports import Within
from plantel.roster import fold
from plantel.store import rows, schema
from plantel.store.connection import Connection, MemberRow

_UNDONE_MOST = 1_000
"""So many lines are undone at most where the roster is small."""

_UNDONE_EACH = 4
"""To undo so many lines takes no longer than to look for one member in the journal's index."""

_SKEW = rows.APART
"""A batch that is of an earlier time than one stored before it is so by more: a clock was wrong."""

_TIME = {
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)",
    "postgresql": "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    "mariadb": "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))",
}

_PAGE = 4_096
"""Batches among which it is quicker to look at each than to halve them again."""

_NEAR = 100_000
"""Lines at the end of the journal among which those of an instance, or a campaign, are looked for first."""

Ask = Callable[[Executable], Sequence[Row[Any]]]


def time(ask: Ask, dialect: str) -> int:
    """The time of day (µs) by the database's clock."""
    found: int = ask(select(literal_column(_TIME[dialect])))[0][0]
    return found


def revision_at(ask: Ask, instance: str, moment: int) -> int | None:
    """The revision after the last batch, by the order of commits, that is of `moment` (µs) or before; None: before all.

    Batches are numbered in the order of commits, and so are their times, but for those of a clock that was wrong by
    more than _SKEW. What is found around those is a revision that there was all the same.
    """
    b = schema.batches.c
    low, high = 0, ask(select(func.coalesce(func.max(b.number), 0)))[0][0]
    while high - low > _PAGE:
        middle = (low + high) // 2
        found = ask(select(b.number, b.at).where(b.number <= middle).order_by(b.number.desc()).limit(1))
        if not found or found[0].at <= moment + _SKEW:
            low = middle
        else:
            high = found[0].number - 1
    last = select(b.revision).where(b.instance == instance, b.number <= high, b.at <= moment)
    newest = ask(last.order_by(b.number.desc()).limit(1))
    return newest[0].revision if newest else None


def members_at(ask: Ask, connection: Connection, those: Collection[int], revision: int) -> list[MemberRow]:
    """The members of these campaigns after line `revision`, in no order.

    By undoing the lines since then where these are few, else by a walk from member to member in the journal's index.
    """
    j, m = schema.journal.c, schema.members.c
    since = ask(select(func.coalesce(func.max(j.revision), 0)))[0][0] - revision
    present = ask(select(func.count()).select_from(schema.members).where(m.campaign.in_(those)))[0][0]
    if since > max(_UNDONE_MOST, _UNDONE_EACH * present):
        return connection.members_after(those, revision)
    roster = {(row[0], row[1]): row for row in connection.members(those)}
    for campaign, membername, interface, penalty, paused in connection.undone(those, revision):
        if interface is None or penalty is None or paused is None:
            roster.pop((campaign, membername), None)
        else:
            roster[campaign, membername] = (campaign, membername, interface, penalty, paused)
    return list(roster.values())


def campaigns(ask: Ask, instance: str, campaign: str | None = None, within: Within | None = None) -> dict[int, str]:
    """The names, by id, of all campaigns (that are called so, that are among these) that there ever were."""
    c = schema.campaigns.c
    those = select(c.id, c.name).where(c.instance == instance)
    if campaign is not None:
        those = those.where(c.folded == fold(campaign))
    return {row.id: row.name for row in ask(those) if within is None or within(row.name)}


def newest_lines(
    ask: Ask,
    instance: str,
    campaign: str | None,
    membername: str | None,
    within: Within | None,
    after: int,
    limit: int,
) -> list[int]:
    """The revisions of the newest `limit` lines after line `after` that `ports.Transaction.journal` asks for, newest
    first."""
    j = schema.journal.c
    ids = campaigns(ask, instance, campaign, within)
    if membername is None:
        newest = ask(select(func.coalesce(func.max(j.revision), 0)))[0][0]
        # + 0: by their numbers, not by the index of campaigns
        near = select(j.revision).where(j.revision > max(newest - _NEAR, after), (j.campaign + 0).in_(ids))
        found = ask(near.order_by(j.revision.desc()).limit(limit))
        if len(found) == limit or after >= newest - _NEAR:
            return [row.revision for row in found]
    lines = select(j.revision).where(j.campaign.in_(ids), j.revision > after)
    if membername is not None:
        lines = lines.where(j.membername == membername)
    return [row.revision for row in ask(_newest(lines, limit))]


def _newest(lines: Select[tuple[int]], limit: int) -> Select[tuple[int]]:
    # all that match are taken from the index by themselves: a planner that knows of the order and the limit may go
    # through the whole journal, newest first, until it has found so many
    fenced = lines.with_hint(schema.journal, "FORCE INDEX (journal_member)", "mariadb").offset(0).subquery()
    return select(fenced.c.revision).order_by(fenced.c.revision.desc()).limit(limit)
