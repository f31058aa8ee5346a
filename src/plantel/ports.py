"""What the domain needs from the outside, as Protocols. Each has more than one implementation and one contract suite.

Store    the durable roster (plantel.store, plantel.testing.MemoryStore)
Switch   one Asterisk (plantel.ami, plantel.testing.FakeSwitch)
Clock    the time of day
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeVar

import msgspec

from plantel.access import Token, User
from plantel.batch import Batch, Change
from plantel.device import DeviceState
from plantel.drift import DriftRecord
from plantel.errors import SwitchRefused
from plantel.plan import Action, Claim, Snapshot
from plantel.roster import Campaign, Member
from plantel.why.closeup import Closeup

T = TypeVar("T")


Within = Callable[[str], bool]
"""Whether a campaign of this name is among those that are asked about: for who may not see all."""

BATCHES_MOST = 100_000
"""Of the newest batches of a store, so many are looked at for those of one actor."""


class Clock(Protocol):
    """The time of day, in UTC and aware of it."""

    def now(self) -> datetime: ...


class Entry(msgspec.Struct, frozen=True):
    """One line of the journal. `revision` counts up over the whole store: later commits have higher ones."""

    revision: int
    batch: str
    actor: str
    at: datetime
    change: Change


class Needless(msgspec.Struct, frozen=True):
    """What a store may forget next: found by its `needless`, taken by its `prune`. How it says so is its own matter."""


class Transaction(Protocol):
    """What can be read and changed within one unit of work; valid only during it. All methods are synchronous.

    Reads see the writes made before them in the same unit. Names of campaigns compare as `roster.fold` does. All raise
    StoreError, and nothing else, when the database fails.
    """

    def campaigns(self, instance: str) -> Mapping[str, Campaign]:
        """Every campaign of the instance, by folded name. Must not be changed by the caller."""
        ...

    def add_campaign(self, campaign: Campaign) -> None:
        """Raises NameTaken where the instance has one of that name."""
        ...

    def add_campaigns(self, instance: str, campaigns: Iterable[Campaign]) -> None:
        """Add those of which the instance has none of that name; each takes as long as any other, however many."""
        ...

    def remove_campaign(self, instance: str, name: str) -> None:
        """Remove an empty campaign. Raises NoSuchThing; the caller removes its members first (they are journalled)."""
        ...

    def members(self, instance: str, campaigns: Collection[str] | None = None) -> list[Member]:
        """The members of these campaigns (None: of all), ordered by campaign and membername."""
        ...

    def members_like(self, instance: str, items: Sequence[Member]) -> list[Member]:
        """At least the present members that share the agent or the phone with one of `items`, in its campaign."""
        ...

    def unlike(self, instance: str, items: Sequence[Member]) -> tuple[Sequence[Member], list[Member]]:
        """The items that are not in the roster just so, in their order, and `members_like` of these.

        `items` must be distinct (`batch.settle`), their campaigns spelled as declared.
        """
        ...

    def reasons(self, instance: str, members: Iterable[Member]) -> Mapping[tuple[str, str], str]:
        """What was given for the pauses in which these members are, by folded campaign and membername.

        Of `members`, which have to be as they are now, those that are not paused, or for no reason, are left out.
        """
        ...

    def record(self, batch: Batch, changes: Sequence[Change]) -> int:
        """Store the batch, its changes and their journal lines; returns the store's revision after it.

        `changes` are as `batch.decide_add` makes them: consistent with the members present, each campaign existing.
        A refused batch (with problems, without changes) is stored for its reasons and leaves the revision as it is.

        Where the batch before it, of whatever instance, is of a later time, it is stored as of that time: so a past
        roster stays what it was, however clocks differ. But where that one is later by more than `batch.CLOCKS_APART`
        its clock was wrong, and is not followed.
        """
        ...

    def revision(self) -> int:
        """The revision of the newest journal line; 0 at first."""
        ...

    def version(self) -> Hashable:
        """What the rosters of all instances are now: while it is the same, they are, in every detail.

        To be compared within this process only; nobody can tell what it was before a restart. Within `Store.write`.
        """
        ...

    def batch(self, instance: str, batch: str) -> Batch | None: ...

    def batches(self, instance: str, limit: int, *, actor: str | None = None, problems: bool = True) -> list[Batch]:
        """The newest `limit` batches, newest first; without `problems`, of which each may have a megabyte.

        `actor`: of this one, as far as they are among the store's newest BATCHES_MOST.
        """
        ...

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
        """The newest `limit` lines that match every given filter, oldest first. `after`: of higher revisions.

        Raises HistoryForgotten for a batch of which lines may be missing (`prune`).
        """
        ...

    def members_at(self, instance: str, moment: datetime, campaign: str | None = None) -> list[Member]:
        """The roster as it was after the last batch, by the order of commits, that is of `moment` or before; ordered as
        `members`.

        Times follow the order of commits (`record`), but where a clock was wrong by more than `batch.CLOCKS_APART`: it
        is one that there was also then, but may be an earlier one than that. Raises HistoryForgotten for a moment
        before `known_since`.
        """
        ...

    def known_since(self) -> datetime | None:
        """The first moment about which everything is known; None: since the beginning."""
        ...

    def time(self) -> datetime:
        """The time of day where the data is kept: by a database server's clock, or else by this machine's."""
        ...

    def needless(self, cutoff: datetime) -> Needless | None:
        """Some of the journal's lines and batches that nobody needs who asks about `cutoff` or a later moment, as
        `prune` takes them; None where there is nothing left to do."""
        ...

    def prune(self, needless: Needless) -> None:
        """Forget it: a step of some tens of milliseconds. Nothing happens where another step was taken meanwhile.

        What `members_at` tells of the cutoff and later moments stays as it is, and so do `reasons`.
        """
        ...

    def token(self, instance: str, name: str, digest: bytes) -> Token | None:
        """The token of that name with exactly that digest; expired ones too (the caller knows the time)."""
        ...

    def tokens(self, instance: str) -> list[Token]:
        """All tokens of the instance, by name and time of making."""
        ...

    def add_token(self, token: Token) -> None:
        """A login may add many of one name. Raises NameTaken for an operator's token (no `user`) of a name in use."""
        ...

    def remove_tokens(self, instance: str, name: str, digest: bytes | None = None) -> int:
        """Remove the tokens of that name (and digest, if given); returns how many there were."""
        ...

    def trim_sessions(self, instance: str, user: str, most: int) -> None:
        """End all sessions of this user but the newest `most`."""
        ...

    def sweep_sessions(self, instance: str, moment: datetime, most: int) -> int:
        """Remove `most` of the sessions that have ended by `moment`; returns how many there were.

        Operators' tokens stay in the list when they have ended.
        """
        ...

    def token_key(self) -> bytes:
        """32 random bytes made with the store: the key under which token secrets are hashed."""
        ...

    def user(self, instance: str, name: str) -> User | None: ...

    def users(self, instance: str) -> list[User]: ...

    def put_user(self, user: User) -> None:
        """Add the user, or replace the one of that name, whose sessions end: they have the rights of before."""
        ...

    def remove_user(self, instance: str, name: str) -> bool:
        """Remove the user and the user's tokens; False where there was none."""
        ...

    def claims(
        self,
        instance: str,
        server: str,
        queues: Collection[str] | None = None,
        interfaces: Collection[str] | None = None,
    ) -> list[Claim]:
        """The ledger of one server, for these queues (None: all) and interfaces (None: all)."""
        ...

    def put_claims(self, instance: str, server: str, claims: Iterable[Claim]) -> None:
        """Insert or replace ledger lines (by folded queue and interface)."""
        ...

    def drop_claims(self, instance: str, server: str, claims: Iterable[Claim]) -> None:
        """Remove ledger lines (by folded queue and interface); absent ones are no error."""
        ...

    def forget_pauses(self, instance: str, members: Iterable[Member]) -> None:
        """Have the ledger lines of these members' phones, on every server, say that no pause is asserted (None)."""
        ...

    def add_drifts(self, instance: str, records: Iterable[DriftRecord]) -> None:
        """Append drift records. The newest 100,000 of the store are kept."""
        ...

    def drifts(
        self,
        instance: str,
        *,
        server: str | None = None,
        campaign: str | None = None,
        within: Within | None = None,
        limit: int = 100,
    ) -> list[DriftRecord]:
        """The newest `limit` records that match every given filter, oldest first."""
        ...


Like = tuple[str, Sequence[Member]]
"""The arguments of `Transaction.members_like`."""


class Lease(Protocol):
    """A lease while it is held."""

    def check(self) -> None:
        """Return if nobody else has it at this moment. Raises LeaseLost: another may be at work already.

        Asks nobody and takes no time, from any thread: meant for the moment before each step of the work.
        """
        ...


class Store(Protocol):
    """The durable roster. Safe to use from several tasks; `write` units run one after another, in the order submitted.

    Units are plain functions, run off the event loop; they must not block on anything else. One may be run again, from
    the beginning, where the database gave up its transaction for another's sake.
    """

    async def write(self, work: Callable[[Transaction], T], *, like: Like | None = None) -> T:
        """Run `work` in a transaction of its own and return its result once that is durable.

        `like` may tell what `work` will ask `members_like` for, so that units which wait together share the look-up.

        Whatever `work` raises is raised here, and nothing it wrote remains. Units that wait at the same time share a
        commit. Raises StoreUnavailable or StoreFull when the commit fails, ServerBusy when too many wait. A caller that
        is cancelled meanwhile does not undo the unit: its outcome stands.
        """
        ...

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` on a consistent view that holds all whose `write` has returned. Writes in it are an error."""
        ...

    async def look_up(self, work: Callable[[Transaction], T]) -> T:
        """As `read`, and never behind reads: for the one row that says who asks. It must not read more."""
        ...

    async def read_long(self, work: Callable[[Transaction], T]) -> T:
        """As `read`, one after another and in the way of no `read`: for what may take a second, e.g. a past roster.

        Raises ServerBusy when too many wait.
        """
        ...

    def lease(self, name: str, seconds: float) -> AbstractAsyncContextManager[Lease]:
        """A lease on `name`, which one task at a time holds, of all processes that use this store.

        Entering waits until it is free, and raises TimeoutError after `seconds`, StoreUnavailable where it cannot be
        asked for. A process that ends, however it does, gives its leases back. One that stops, or is cut off, loses
        them where the store is shared by several machines; `Lease.check` tells.
        """
        ...

    async def changed_elsewhere(self) -> bool:
        """Whether another process has committed to this store since the last call (the first call: False).

        Raises StoreError; the same as a `write` before, while it is still so that nothing can be stored.
        """
        ...

    async def wait_elsewhere(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as another process may have changed the roster, where the database tells.

        Raises nothing: a database that is away tells nothing.
        """
        ...

    async def close(self) -> None:
        """Finish the units already submitted, then release everything. Later calls raise StoreUnavailable."""
        ...


Outcome = SwitchRefused | None
"""What became of one action: None done, else the refusal."""


class Switch(Protocol):
    """One Asterisk. A lost connection is made again by the next look."""

    @property
    def name(self) -> str:
        """The server's name in the configuration."""
        ...

    async def snapshot(
        self, queues: Collection[str] | None = None, interfaces: Collection[str] | None = None
    ) -> Snapshot:
        """The live members of these queues (None: of all). Raises SwitchError.

        With `interfaces`, of named queues, only the members on one of these, spelled just so: meant for a few.

        A queue that does not exist is simply absent. Members come in Asterisk's spelling.
        """
        ...

    async def apply(self, actions: Sequence[Action]) -> list[Outcome]:
        """Carry the actions out in order; one outcome for each.

        An Add of an interface that is there already is refused (ActionRefused), as Asterisk does. Raises SwitchError
        where the connection fails on the way: the fate of every action is then unknown, and only a snapshot tells. So
        it is where the connection of the last snapshot is lost before: nothing is sent then, since what was planned
        from that snapshot may no longer be right.
        """
        ...

    async def devices(self, interfaces: Collection[str]) -> Mapping[str, DeviceState | None]:
        """The state of each of these phones, in a queue or not; None where the server does not tell.

        Each has to have the shape of one (`roster.check_interface`). A user without the right to ask
        (`write = reporting`) is told nothing. Raises SwitchError.
        """
        ...

    async def examine(self, queue: str, interface: str) -> Closeup | None:
        """This queue, seen closely, and in it this phone; None where there is no such queue. Raises SwitchError.

        Whether the phone is rung in use, and the queue's rules, take the same right as `devices`.
        """
        ...

    @property
    def restarts(self) -> int:
        """How often the server was seen to have been started anew, between one connection and the next.

        A server that does not say since when it runs is never seen to.
        """
        ...

    def listen(self, heard: Callable[[str | None, str], None]) -> None:
        """Have `heard` called, on the event loop, when members change on the server.

        It gets the names of queue and interface, or None (and "") when anything may have changed (a new connection, a
        restart). Replaces an earlier listener.
        """
        ...

    async def close(self) -> None:
        """End the connection."""
        ...
