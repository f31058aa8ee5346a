"""A Store in memory, in pure Python: for tests, and for trying things out. It passes the Store's contract suite."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import TypeVar

from plantel import errors
from plantel.access import Token, User
from plantel.batch import Batch, Change
from plantel.plan import Claim
from plantel.ports import Entry, Transaction
from plantel.roster import Campaign, Member, fold

T = TypeVar("T")

_Pair = tuple[str, str]


class _Data:
    """What is stored: dictionaries by instance first, of values that never change."""

    def __init__(self) -> None:
        self.revision = 0
        self.campaigns: dict[_Pair, Campaign] = {}
        """By instance and folded name."""
        self.rosters: dict[_Pair, dict[str, Member]] = {}
        """By instance and folded campaign, then by membername."""
        self.batches: dict[str, Batch] = {}
        """By id, in the order of commits."""
        self.journal: list[tuple[str, Entry]] = []
        """With the instance of each line."""
        self.tokens: list[Token] = []
        self.users: dict[_Pair, User] = {}
        self.claims: dict[_Pair, dict[_Pair, Claim]] = {}
        """By instance and server, then by the claim's key."""

    def copied(self) -> "_Data":
        """A copy that can be changed without changing this one."""
        other = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | list):
                setattr(other, name, value.copy())
        for nested in (other.rosters, other.claims):
            for key, inner in nested.items():
                nested[key] = inner.copy()
        return other


class _Shared:
    """What several stores on the same data have in common."""

    def __init__(self) -> None:
        self.data = _Data()
        self.token_key = secrets.token_bytes(32)
        self.writers: list[MemoryStore] = []
        """Whoever committed, in order."""


class MemoryStore:
    """`ports.Store` that forgets all when it is dropped. Units run on the event loop itself."""

    def __init__(self, beside: "MemoryStore | None" = None) -> None:
        """`beside`: a store whose data this one shares, as if it were that of another process."""
        self._shared = _Shared() if beside is None else beside._shared
        self._seen = len(self._shared.writers)
        self._closed = False

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self._check_open()
        before = self._shared.data
        transaction = _MemoryTransaction(before.copied(), self._shared.token_key, writable=True)
        result = work(transaction)
        self._shared.data = transaction.data
        self._shared.writers.append(self)
        await asyncio.sleep(0)  # others get their turn, as they do while a real store writes
        return result

    async def read(self, work: Callable[[Transaction], T]) -> T:
        self._check_open()
        result = work(_MemoryTransaction(self._shared.data, self._shared.token_key, writable=False))
        await asyncio.sleep(0)
        return result

    async def changed_elsewhere(self) -> bool:
        self._check_open()
        commits = self._shared.writers[self._seen :]
        self._seen += len(commits)
        return any(writer is not self for writer in commits)

    async def close(self) -> None:
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise errors.StoreUnavailable(detail="closed")


class _MemoryTransaction:
    def __init__(self, data: _Data, token_key: bytes, *, writable: bool) -> None:
        self.data = data
        self._token_key = token_key
        self._writable = writable

    def _writing(self) -> _Data:
        if not self._writable:
            raise RuntimeError("a write within Store.read")
        return self.data

    # --- campaigns ---------------------------------------------------------------------------------------------------

    def campaigns(self, instance: str) -> Mapping[str, Campaign]:
        return {folded: campaign for (owner, folded), campaign in self.data.campaigns.items() if owner == instance}

    def add_campaign(self, campaign: Campaign) -> None:
        data, key = self._writing(), (campaign.instance, fold(campaign.name))
        if key in data.campaigns:
            raise errors.NameTaken(name=campaign.name)
        data.campaigns[key] = campaign
        data.rosters[key] = {}

    def remove_campaign(self, instance: str, name: str) -> None:
        data, key = self._writing(), (instance, fold(name))
        if key not in data.campaigns:
            raise errors.NoSuchThing(name=name)
        if data.rosters[key]:
            raise ValueError(f"the campaign {name} has members")
        del data.campaigns[key], data.rosters[key]

    # --- members and their history -----------------------------------------------------------------------------------

    def members(self, instance: str, campaigns: Collection[str] | None = None) -> list[Member]:
        wanted = None if campaigns is None else {fold(name) for name in campaigns}
        return _ordered(
            member
            for (owner, folded), roster in self.data.rosters.items()
            if owner == instance and (wanted is None or folded in wanted)
            for member in roster.values()
        )

    def members_like(self, instance: str, items: Sequence[Member]) -> list[Member]:
        return self.members(instance, [item.campaign for item in items])

    def record(self, batch: Batch, changes: Sequence[Change]) -> int:
        data = self._writing()
        if batch.id in data.batches:
            raise errors.StoreError(detail=f"the batch {batch.id} is there already")
        data.batches[batch.id] = batch
        arriving: list[tuple[dict[str, Member], Member]] = []
        for change in changes:
            key = (batch.instance, fold(change.member.campaign))
            if key not in data.campaigns:
                raise errors.NoSuchThing(name=change.member.campaign)
            name, roster = data.campaigns[key].name, data.rosters[key]
            if change.before is not None and roster.pop(change.before.membername, None) is None:
                raise errors.StoreError(detail=f"{change.before.membername} is not there")
            if change.after is not None:
                arriving.append((roster, _in(name, change.after)))
            data.revision += 1
            stored = Change(
                change.kind, change.before and _in(name, change.before), change.after and _in(name, change.after)
            )
            data.journal.append((batch.instance, Entry(data.revision, batch.id, batch.actor, batch.at, stored)))
        for roster, member in arriving:
            phone = fold(member.interface)
            if member.membername in roster or any(fold(other.interface) == phone for other in roster.values()):
                raise errors.StoreError(detail=f"{member.membername} or {member.interface} is there already")
            roster[member.membername] = member
        return data.revision

    def revision(self) -> int:
        return self.data.revision

    def batch(self, instance: str, batch: str) -> Batch | None:
        found = self.data.batches.get(batch)
        return found if found is not None and found.instance == instance else None

    def batches(self, instance: str, limit: int) -> list[Batch]:
        those = [batch for batch in reversed(self.data.batches.values()) if batch.instance == instance]
        return those[:limit]

    def journal(
        self,
        instance: str,
        *,
        batch: str | None = None,
        campaign: str | None = None,
        membername: str | None = None,
        limit: int = 1000,
    ) -> list[Entry]:
        lines = [
            entry
            for owner, entry in self.data.journal
            if owner == instance
            and (batch is None or entry.batch == batch)
            and (campaign is None or fold(entry.change.member.campaign) == fold(campaign))
            and (membername is None or entry.change.member.membername == membername)
        ]
        return lines[max(len(lines) - limit, 0) :]

    def members_at(self, instance: str, moment: datetime, campaign: str | None = None) -> list[Member]:
        last: dict[_Pair, Member | None] = {}
        for owner, entry in self.data.journal:
            if owner == instance and entry.at <= moment:
                member = entry.change.member
                last[fold(member.campaign), member.membername] = entry.change.after
        return _ordered(
            member
            for (folded, _), member in last.items()
            if member is not None and (campaign is None or folded == fold(campaign))
        )

    # --- tokens and users --------------------------------------------------------------------------------------------

    def token(self, instance: str, name: str, digest: bytes) -> Token | None:
        return next((token for token in self._tokens(instance, name) if token.digest == digest), None)

    def tokens(self, instance: str) -> list[Token]:
        those = (token for token in self.data.tokens if token.instance == instance)
        return sorted(those, key=lambda token: (token.name, token.created))

    def add_token(self, token: Token) -> None:
        data = self._writing()
        same = self._tokens(token.instance, token.name)
        if any(not token.user or other.digest == token.digest for other in same):
            raise errors.NameTaken(name=token.name)
        data.tokens.append(token)

    def remove_tokens(self, instance: str, name: str, digest: bytes | None = None) -> int:
        data = self._writing()
        those = [token for token in self._tokens(instance, name) if digest is None or token.digest == digest]
        data.tokens = [token for token in data.tokens if token not in those]
        return len(those)

    def _tokens(self, instance: str, name: str) -> list[Token]:
        return [token for token in self.data.tokens if (token.instance, token.name) == (instance, name)]

    def token_key(self) -> bytes:
        return self._token_key

    def user(self, instance: str, name: str) -> User | None:
        return self.data.users.get((instance, name))

    def users(self, instance: str) -> list[User]:
        those = (user for user in self.data.users.values() if user.instance == instance)
        return sorted(those, key=lambda user: user.name)

    def put_user(self, user: User) -> None:
        self._writing().users[user.instance, user.name] = user

    def remove_user(self, instance: str, name: str) -> bool:
        data = self._writing()
        data.tokens = [token for token in data.tokens if (token.instance, token.user) != (instance, name)]
        return data.users.pop((instance, name), None) is not None

    # --- the ledger --------------------------------------------------------------------------------------------------

    def claims(self, instance: str, server: str, queues: Collection[str] | None = None) -> list[Claim]:
        wanted = None if queues is None else {fold(queue) for queue in queues}
        lines = self.data.claims.get((instance, server), {})
        return [claim for (queue, _), claim in sorted(lines.items()) if wanted is None or queue in wanted]

    def put_claims(self, instance: str, server: str, claims: Iterable[Claim]) -> None:
        lines = self._writing().claims.setdefault((instance, server), {})
        lines.update((claim.key, claim) for claim in claims)

    def drop_claims(self, instance: str, server: str, claims: Iterable[Claim]) -> None:
        lines = self._writing().claims.setdefault((instance, server), {})
        for claim in claims:
            lines.pop(claim.key, None)


def _ordered(members: Iterable[Member]) -> list[Member]:
    return sorted(members, key=lambda member: (fold(member.campaign), member.membername))


def _in(campaign: str, member: Member) -> Member:
    """`member`, its campaign spelled as it was declared."""
    if member.campaign == campaign:
        return member
    return Member(campaign, member.membername, member.interface, member.penalty, member.paused)
