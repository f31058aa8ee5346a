"""What is known of campaigns, so that they are not read again for every question."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Executable, Row, func, select

from plantel import errors
from plantel.roster import Campaign, fold
from plantel.store import rows, schema

Ask = Callable[[Executable], Sequence[Row[Any]]]


class Known(msgspec.Struct, frozen=True):
    """The campaigns of one instance, and their ids in the store."""

    campaigns: dict[str, Campaign]
    ids: dict[str, int]
    """By folded name."""
    names: dict[int, str]

    def with_more(self, found: Mapping[int, Campaign]) -> "Known":
        """With these, by their ids, as well."""
        return Known(
            self.campaigns | {fold(one.name): one for one in found.values()},
            self.ids | {fold(one.name): number for number, one in found.items()},
            self.names | {number: one.name for number, one in found.items()},
        )

    def without(self, folded: str) -> "Known":
        number = self.ids[folded]
        return Known(
            {name: campaign for name, campaign in self.campaigns.items() if name != folded},
            {name: one for name, one in self.ids.items() if name != folded},
            {one: name for one, name in self.names.items() if one != number},
        )


def load(ask: Ask, instance: str) -> Known:
    c = schema.campaigns.c
    found = ask(select(c.id, c.name, c.folded, c.origin).where(c.instance == instance, c.removed == 0))
    return Known(
        {row.folded: rows.campaign(instance, row.name, row.origin) for row in found},
        {row.folded: row.id for row in found},
        {row.id: row.name for row in found},
    )


def stamp(ask: Ask) -> bytes:
    """Of the campaigns, as the transaction that asks sees them: where it is the same, so are they.

    Raises SchemaTooNew where a newer Plantel has migrated the store since it was opened, or is about to. This is the
    place to see it: what is kept of a store that others write to is trusted no longer than until the next stamp.
    """
    k = schema.keys.c
    version = select(func.max(schema.alembic_version.c.version_num)).scalar_subquery()
    found = ask(
        select(k.name, k.value, version.label("version")).where(k.name.in_((schema.CAMPAIGNS, schema.MIGRATING)))
    )
    values = {row.name: bytes(row.value) for row in found}
    newest = max(found[0].version, values.get(schema.MIGRATING, b"").decode())
    if newest > schema.VERSION:
        raise errors.SchemaTooNew(found=newest)
    return values[schema.CAMPAIGNS]


class KnownToAll:
    """What transactions that read share, from whatever thread: each entry is put in its place whole, with its stamp."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[bytes, Known]] = {}

    def get(self, instance: str, stamp: bytes, load: Callable[[str], Known]) -> Known:
        """The campaigns of `instance` as they are under `stamp`; `load` reads them in the transaction that has it."""
        found = self._entries.get(instance)
        if found is not None and found[0] == stamp:
            return found[1]
        known = load(instance)
        self._entries[instance] = (stamp, known)
        return known
