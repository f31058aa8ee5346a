"""A Store in memory, in pure Python: for tests, and for trying things out. It passes the Store's contract suite."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

import msgspec

from plantel import errors
from plantel.access import Token, User
from plantel.batch import CLOCKS_APART, Batch, Change
from plantel.drift import DriftRecord
from plantel.plan import Claim
from plantel.ports import BATCHES_MOST, Entry, Lease, Like, Needless, Transaction, Within
from plantel.roster import Campaign, Member, fold

T = TypeVar("T")

_Pair = tuple[str, str]


class _State:
    """What is stored, in containers of values that never change."""

    def __init__(self) -> None:
        self.token_key = secrets.token_bytes(32)
        self.revision = 0
        self.campaigns: dict[_Pair, Campaign] = {}
        """By instance and folded name."""
        self.rosters: dict[_Pair, dict[str, Member]] = {}
        """By instance and folded campaign, then by membername."""
        self.reasons: dict[tuple[str, str, str], str] = {}
        """Of those who are paused: by instance, folded campaign and membername."""
        self.batches: dict[str, Batch] = {}
        """By id, in the order of commits."""
        self.journal: list[tuple[str, Entry]] = []
        """With the instance of each line."""
        self.known_since: datetime | None = None
        self.forgotten: set[str] = set()
        """Batches of which lines may be missing."""
        self.looked_at: set[str] = set()
        """Batches that were old enough for `prune`."""
        self.tokens: list[Token] = []
        self.users: dict[_Pair, User] = {}
        self.claims: dict[_Pair, dict[_Pair, Claim]] = {}
        """By instance and server, then by the claim's key."""
        self.drifts: list[tuple[str, DriftRecord]] = []
        """With the instance of each."""

    def copied(self) -> "_State":
        """A copy that can be changed without changing this one."""
        other = copy(self)
        other.campaigns = self.campaigns.copy()
        other.rosters = {key: roster.copy() for key, roster in self.rosters.items()}
        other.reasons = self.reasons.copy()
        other.batches = self.batches.copy()
        other.journal = self.journal.copy()
        other.forgotten = self.forgotten.copy()
        other.tokens = self.tokens.copy()
        other.users = self.users.copy()
        other.claims = {key: lines.copy() for key, lines in self.claims.items()}
        other.drifts = self.drifts.copy()
        return other


class _Old(Needless, frozen=True):
    """What can be forgotten, and what had been looked at before."""

    batches: dict[str, Batch]
    looked_at: set[str]


class MemoryData:
    """The data of one or several stores; several on the same data are like several processes on one database."""

    def __init__(self) -> None:
        self.state = _State()
        self.commits: Counter[int] = Counter()
        """How often each store has committed, by its `id()`."""
        self.leases: dict[str, asyncio.Lock] = {}
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        """The clock of what would be the database's machine."""


class MemoryStore:
    """`ports.Store` that forgets all when its data is dropped. Units run on the event loop itself."""

    def __init__(self, data: MemoryData | None = None) -> None:
        self._data = data or MemoryData()
        self._elsewhere = self._commits_elsewhere()
        self._closed = False

    async def write(self, work: Callable[[Transaction], T], *, like: Like | None = None) -> T:  # noqa: ARG002  # a hint
        self._check_open()
        transaction = _MemoryTransaction(self._data.state.copied(), self._data.now, writable=True)
        result = work(transaction)
        self._data.state = transaction.state
        self._data.commits[id(self)] += 1
        await asyncio.sleep(0)  # others get their turn, as they do while a real store writes
        return result

    async def read(self, work: Callable[[Transaction], T]) -> T:
        self._check_open()
        result = work(_MemoryTransaction(self._data.state, self._data.now, writable=False))
        await asyncio.sleep(0)
        return result

    async def look_up(self, work: Callable[[Transaction], T]) -> T:
        return await self.read(work)

    async def read_long(self, work: Callable[[Transaction], T]) -> T:
        return await self.read(work)

    @asynccontextmanager
    async def lease(self, name: str, seconds: float) -> AsyncIterator[Lease]:
        self._check_open()
        lock = self._data.leases.setdefault(name, asyncio.Lock())
        async with asyncio.timeout(seconds):
            await lock.acquire()
        try:
            yield _MemoryLease(self._check_open, name)
        finally:
            lock.release()

    async def changed_elsewhere(self) -> bool:
        self._check_open()
        before, self._elsewhere = self._elsewhere, self._commits_elsewhere()
        return self._elsewhere != before

    async def wait_elsewhere(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        self._closed = True

    def _commits_elsewhere(self) -> int:
        return self._data.commits.total() - self._data.commits[id(self)]

    def _check_open(self) -> None:
        if self._closed:
            raise errors.StoreUnavailable(detail="closed")


class _MemoryLease(Lease):
    def __init__(self, check_open: Callable[[], None], name: str) -> None:
        self._check_open = check_open
        self._name = name

    def check(self) -> None:
        try:
            self._check_open()
        except errors.StoreUnavailable:
            raise errors.LeaseLost(name=self._name) from None


class _MemoryTransaction:
    def __init__(self, state: _State, now: Callable[[], datetime], *, writable: bool) -> None:
        self.state = state
        self._now = now
        self._writable = writable

    def _writing(self) -> _State:
        if not self._writable:
            raise RuntimeError("a write within Store.read")
        return self.state

    # --- campaigns ---------------------------------------------------------------------------------------------------

    def campaigns(self, instance: str) -> Mapping[str, Campaign]:
        return {folded: campaign for (owner, folded), campaign in self.state.campaigns.items() if owner == instance}

    def add_campaign(self, campaign: Campaign) -> None:
        state, key = self._writing(), (campaign.instance, fold(campaign.name))
        if key in state.campaigns:
            raise errors.NameTaken(name=campaign.name)
        state.campaigns[key] = campaign
        state.rosters[key] = {}

    def add_campaigns(self, instance: str, campaigns: Iterable[Campaign]) -> None:
        for campaign in campaigns:
            if (instance, fold(campaign.name)) not in self.state.campaigns:
                self.add_campaign(campaign)

    def remove_campaign(self, instance: str, name: str) -> None:
        state, key = self._writing(), (instance, fold(name))
        if key not in state.campaigns:
            raise errors.NoSuchThing(name=name)
        if state.rosters[key]:
            raise ValueError(f"the campaign {name} has members")
        del state.campaigns[key], state.rosters[key]

    # --- members and their history -----------------------------------------------------------------------------------

    def members(self, instance: str, campaigns: Collection[str] | None = None) -> list[Member]:
        wanted = None if campaigns is None else {fold(name) for name in campaigns}
        return _ordered(
            member
            for (owner, folded), roster in self.state.rosters.items()
            if owner == instance and (wanted is None or folded in wanted)
            for member in roster.values()
        )

    def members_like(self, instance: str, items: Sequence[Member]) -> list[Member]:
        return self.members(instance, [item.campaign for item in items])

    def unlike(self, instance: str, items: Sequence[Member]) -> tuple[Sequence[Member], list[Member]]:
        present = self.members_like(instance, items)
        there = set(present)
        return [item for item in items if item not in there], present

    def reasons(self, instance: str, members: Iterable[Member]) -> Mapping[_Pair, str]:
        those = ((fold(member.campaign), member.membername) for member in members if member.paused)
        return {key: reason for key in those if (reason := self.state.reasons.get((instance, *key)))}

    def record(self, batch: Batch, changes: Sequence[Change]) -> int:
        state = self._writing()
        if batch.id in state.batches:
            raise errors.StoreError(detail=f"the batch {batch.id} is there already")
        newest = next(reversed(state.batches.values()), batch)
        if batch.at < newest.at <= batch.at + CLOCKS_APART:
            batch = msgspec.structs.replace(batch, at=newest.at)
        state.batches[batch.id] = batch
        arriving: dict[_Pair, list[Member]] = {}
        for change in changes:
            key = (batch.instance, fold(change.member.campaign))
            if key not in state.campaigns:
                raise errors.NoSuchThing(name=change.member.campaign)
            name = state.campaigns[key].name
            before, after = change.before and _in(name, change.before), change.after and _in(name, change.after)
            if before is not None and state.rosters[key].pop(before.membername, None) is None:
                raise errors.StoreError(detail=f"{before.membername} is not there")
            if after is not None:
                arriving.setdefault(key, []).append(after)
            _give_reason(state.reasons, (*key, change.member.membername), change)
            state.revision += 1
            line = Entry(
                state.revision, batch.id, batch.actor, batch.at, Change(change.kind, before, after, change.reason)
            )
            state.journal.append((batch.instance, line))
        for key, members in arriving.items():
            _arrive(state.rosters[key], members)
        return state.revision

    def revision(self) -> int:
        return self.state.revision

    def version(self) -> int:
        return self.state.revision

    def batch(self, instance: str, batch: str) -> Batch | None:
        found = self.state.batches.get(batch)
        return found if found is not None and found.instance == instance else None

    def batches(self, instance: str, limit: int, *, actor: str | None = None, problems: bool = True) -> list[Batch]:
        newest = islice(reversed(self.state.batches.values()), None if actor is None else BATCHES_MOST)
        those = [one for one in newest if one.instance == instance and actor in {None, one.actor}][:limit]
        if problems:
            return those
        return [msgspec.structs.replace(batch, problems=(), refused=not batch.stored) for batch in those]

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
        if batch in self.state.forgotten:
            assert self.state.known_since is not None
            raise errors.HistoryForgotten(since=self.state.known_since.isoformat())
        lines = [
            entry
            for owner, entry in self.state.journal
            if owner == instance
            and entry.revision > after
            and (batch is None or entry.batch == batch)
            and (campaign is None or fold(entry.change.member.campaign) == fold(campaign))
            and (membername is None or entry.change.member.membername == membername)
            and (within is None or within(entry.change.member.campaign))
        ]
        return lines[max(len(lines) - limit, 0) :]

    def members_at(self, instance: str, moment: datetime, campaign: str | None = None) -> list[Member]:
        if (since := self.state.known_since) is not None and moment < since:
            raise errors.HistoryForgotten(since=since.isoformat())
        own = [batch for batch in self.state.batches.values() if batch.instance == instance]
        until = max((place for place, batch in enumerate(own, 1) if batch.at <= moment), default=0)
        passed = {batch.id for batch in own[:until]}
        last: dict[_Pair, Member | None] = {}
        for owner, entry in self.state.journal:
            if owner == instance and entry.batch in passed:
                member = entry.change.member
                last[fold(member.campaign), member.membername] = entry.change.after
        return _ordered(
            member
            for (folded, _), member in last.items()
            if member is not None and (campaign is None or folded == fold(campaign))
        )

    def known_since(self) -> datetime | None:
        return self.state.known_since

    def time(self) -> datetime:
        return self._now()

    def needless(self, cutoff: datetime) -> Needless | None:
        """All of it, in one step."""
        old: dict[str, Batch] = {}
        for batch in self.state.batches.values():
            if batch.at > cutoff:
                break
            old[batch.id] = batch
        if old.keys() <= self.state.looked_at:
            return None
        return _Old(old, self.state.looked_at)

    def prune(self, needless: Needless) -> None:
        assert isinstance(needless, _Old)
        state, old = self._writing(), needless.batches
        if state.looked_at != needless.looked_at:
            return
        state.looked_at = set(old)
        state.known_since = max(batch.at for batch in old.values())
        histories: dict[tuple[str, str, str], list[Entry]] = {}
        for owner, entry in state.journal:
            if entry.batch in old:
                member = entry.change.member
                histories.setdefault((owner, fold(member.campaign), member.membername), []).append(entry)
                state.forgotten.add(entry.batch)
        kept = {state.revision} | {entry.revision for history in histories.values() for entry in _needed(history)}
        state.journal = [
            (owner, entry) for owner, entry in state.journal if entry.batch not in old or entry.revision in kept
        ]
        needed = {
            *{batch.instance: batch.id for batch in old.values()}.values(),
            *(line.batch for _, line in state.journal),
        }
        state.batches = {key: batch for key, batch in state.batches.items() if key not in old or key in needed}

    # --- tokens and users --------------------------------------------------------------------------------------------

    def token(self, instance: str, name: str, digest: bytes) -> Token | None:
        return next((token for token in self._tokens(instance, name) if token.digest == digest), None)

    def tokens(self, instance: str) -> list[Token]:
        those = (token for token in self.state.tokens if token.instance == instance)
        return sorted(those, key=lambda token: (token.name, token.created))

    def add_token(self, token: Token) -> None:
        state = self._writing()
        same = self._tokens(token.instance, token.name)
        if any(not token.user or other.digest == token.digest for other in same):
            raise errors.NameTaken(name=token.name)
        state.tokens.append(token)

    def remove_tokens(self, instance: str, name: str, digest: bytes | None = None) -> int:
        state = self._writing()
        those = [token for token in self._tokens(instance, name) if digest is None or token.digest == digest]
        state.tokens = [token for token in state.tokens if token not in those]
        return len(those)

    def trim_sessions(self, instance: str, user: str, most: int) -> None:
        state = self._writing()
        its = [token for token in state.tokens if (token.instance, token.user) == (instance, user)]
        oldest = its[: max(0, len(its) - most)]
        state.tokens = [token for token in state.tokens if token not in oldest]

    def sweep_sessions(self, instance: str, moment: datetime, most: int) -> int:
        state = self._writing()
        ended = [
            token
            for token in state.tokens
            if token.instance == instance and token.user and token.expires is not None and token.expires <= moment
        ][:most]
        state.tokens = [token for token in state.tokens if token not in ended]
        return len(ended)

    def _tokens(self, instance: str, name: str) -> list[Token]:
        return [token for token in self.state.tokens if (token.instance, token.name) == (instance, name)]

    def token_key(self) -> bytes:
        return self.state.token_key

    def user(self, instance: str, name: str) -> User | None:
        return self.state.users.get((instance, name))

    def users(self, instance: str) -> list[User]:
        those = (user for user in self.state.users.values() if user.instance == instance)
        return sorted(those, key=lambda user: user.name)

    def put_user(self, user: User) -> None:
        self._end_sessions(user.instance, user.name)
        self._writing().users[user.instance, user.name] = user

    def remove_user(self, instance: str, name: str) -> bool:
        self._end_sessions(instance, name)
        return self._writing().users.pop((instance, name), None) is not None

    def _end_sessions(self, instance: str, user: str) -> None:
        state = self._writing()
        state.tokens = [token for token in state.tokens if (token.instance, token.user) != (instance, user)]

    # --- the ledger --------------------------------------------------------------------------------------------------

    def claims(
        self,
        instance: str,
        server: str,
        queues: Collection[str] | None = None,
        interfaces: Collection[str] | None = None,
    ) -> list[Claim]:
        wanted = None if queues is None else {fold(queue) for queue in queues}
        lines = self.state.claims.get((instance, server), {})
        phones = None if interfaces is None else {fold(interface) for interface in interfaces}
        return [
            claim
            for (queue, phone), claim in sorted(lines.items())
            if (wanted is None or queue in wanted) and (phones is None or phone in phones)
        ]

    def put_claims(self, instance: str, server: str, claims: Iterable[Claim]) -> None:
        lines = self._writing().claims.setdefault((instance, server), {})
        lines.update((claim.key, claim) for claim in claims)

    def add_drifts(self, instance: str, records: Iterable[DriftRecord]) -> None:
        self._writing().drifts.extend((instance, record) for record in records)

    def drifts(
        self,
        instance: str,
        *,
        server: str | None = None,
        campaign: str | None = None,
        within: Within | None = None,
        limit: int = 100,
    ) -> list[DriftRecord]:
        found = [
            record
            for whose, record in self.state.drifts
            if whose == instance
            and server in {None, record.server}
            and (campaign is None or fold(campaign) == fold(record.campaign))
            and (within is None or within(record.campaign))
        ]
        return found[-limit:]

    def drop_claims(self, instance: str, server: str, claims: Iterable[Claim]) -> None:
        lines = self._writing().claims.setdefault((instance, server), {})
        for claim in claims:
            lines.pop(claim.key, None)

    def forget_pauses(self, instance: str, members: Iterable[Member]) -> None:
        keys = {(fold(member.campaign), member.phone) for member in members}
        for (owner, _), lines in self._writing().claims.items():
            for key in keys & lines.keys() if owner == instance else ():
                lines[key] = msgspec.structs.replace(lines[key], paused=None)


def _needed(history: list[Entry]) -> list[Entry]:
    """The newest line, and the newest that tells why there is a pause; none where the member is gone."""
    if history[-1].change.after is None:
        return []
    return [history[-1], *[line for line in history if _tells(line.change)][-1:]]


def _tells(change: Change) -> bool:
    """Whether a pause begins with it, or is given another reason."""
    before = change.before
    return before is None or not before.paused or before == change.after or bool(change.reason)


def _give_reason(reasons: dict[tuple[str, str, str], str], key: tuple[str, str, str], change: Change) -> None:
    after = change.after
    if after is None or not after.paused:
        reasons.pop(key, None)
    elif _tells(change):
        reasons[key] = change.reason


def _arrive(roster: dict[str, Member], members: list[Member]) -> None:
    phones = {member.phone for member in roster.values()}
    for member in members:
        phone = member.phone
        if member.membername in roster or phone in phones:
            raise errors.StoreError(detail=f"{member.membername} or {member.interface} is there already")
        roster[member.membername] = member
        phones.add(phone)


def _ordered(members: Iterable[Member]) -> list[Member]:
    return sorted(members, key=lambda member: (fold(member.campaign), member.membername))


def _in(campaign: str, member: Member) -> Member:
    """`member`, its campaign spelled as it was declared."""
    if member.campaign == campaign:
        return member
    return Member(campaign, member.membername, member.interface, member.penalty, member.paused)
