"""What every Store does. One more kind of store needs one more entry in KINDS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plantel import errors
from plantel.access import Role, Token, User
from plantel.batch import Change, Kind, Problem
from plantel.drift import Done, DriftRecord, Route
from plantel.plan import Claim, DriftKind
from plantel.ports import Store, Transaction
from plantel.roster import Campaign, Member, Origin
from plantel.store import open_store
from plantel.testing.memory_store import MemoryData, MemoryStore
from tests.support.rosters import NOON, a_batch, added, declared, removed

pytestmark = pytest.mark.anyio

Opener = Callable[[], Store]
"""Opens a store; each time the same data, as another process would."""


def _memory(request: pytest.FixtureRequest) -> Opener:
    data = MemoryData()
    return lambda: MemoryStore(data)


def _sqlite(request: pytest.FixtureRequest) -> Opener:
    folder: Path = request.getfixturevalue("tmp_path")
    return lambda: open_store(f"sqlite:///{folder}/plantel.db")


def _postgresql(request: pytest.FixtureRequest) -> Opener:
    url: str = request.getfixturevalue("postgresql_url")
    return lambda: open_store(url)


def _mariadb(request: pytest.FixtureRequest) -> Opener:
    url: str = request.getfixturevalue("mariadb_url")
    return lambda: open_store(url)


KINDS: dict[str, Callable[[pytest.FixtureRequest], Opener]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
}


@pytest.fixture(params=KINDS)
def opener(request: pytest.FixtureRequest) -> Opener:
    return KINDS[request.param](request)


@pytest.fixture
async def store(opener: Opener) -> AsyncIterator[Store]:
    store = opener()
    yield store
    await store.close()


ANA = Member("Ventas->", "Ana", "SIP/1001")
BEA = Member("Ventas->", "Bea", "SIP/1002")
CID = Member("Ventas->", "Cid", "SIP/1003")


def with_phone(member: Member, interface: str) -> Member:
    return Member(member.campaign, member.membername, interface, member.penalty, member.paused)


async def roster(store: Store, instance: str = "acme") -> list[Member]:
    return await store.read(lambda transaction: transaction.members(instance))


async def last_changes(store: Store, count: int) -> list[Change]:
    entries = await store.read(lambda transaction: transaction.journal("acme", limit=count))
    return [entry.change for entry in entries]


class Refusal(Exception):
    """What a unit of these tests raises."""


# --- campaigns -------------------------------------------------------------------------------------------------------


async def test_campaigns_by_folded_name(store: Store) -> None:
    await store.write(declared("Ventas->"))
    discovered = Campaign("acme", "SOPORTE", Origin.DISCOVERED)
    await store.write(lambda transaction: transaction.add_campaign(discovered))
    assert dict(await store.read(lambda transaction: transaction.campaigns("acme"))) == {
        "ventas->": Campaign("acme", "Ventas->"),
        "soporte": discovered,
    }


async def test_a_campaign_is_there_once_whatever_its_case(store: Store) -> None:
    await store.write(declared("Ventas->"))
    with pytest.raises(errors.NameTaken, match="VENTAS->"):
        await store.write(declared("VENTAS->"))


async def test_many_campaigns_are_added_at_once_but_those_that_are_there(store: Store) -> None:
    await store.write(declared("Ventas->"))
    found = [Campaign("acme", name, Origin.DISCOVERED) for name in ("VENTAS->", "Ñandú", "Soporte", "SOPORTE", "a'b")]
    await store.write(lambda transaction: transaction.add_campaigns("acme", found))
    assert dict(await store.read(lambda transaction: transaction.campaigns("acme"))) == {
        "ventas->": Campaign("acme", "Ventas->"),
        "Ñandú": Campaign("acme", "Ñandú", Origin.DISCOVERED),
        "soporte": await store.read(lambda transaction: transaction.campaigns("acme")["soporte"]),
        "a'b": Campaign("acme", "a'b", Origin.DISCOVERED),
    }
    await store.write(lambda t: t.record(a_batch(), [Change(Kind.ADDED, None, Member("a'b", "Ana", "SIP/1"))]))
    assert [one.campaign for one in await roster(store)] == ["a'b"]


async def test_only_ascii_letters_are_without_case(store: Store) -> None:
    await store.write(declared("Ñandú", "ñandú", "STRASSE", "straße", "K", "\N{KELVIN SIGN}"))
    assert len(await store.read(lambda transaction: transaction.campaigns("acme"))) == 6


async def test_a_campaign_declared_in_a_unit_is_seen_in_it(store: Store) -> None:
    def work(transaction: Transaction) -> list[Member]:
        assert not transaction.campaigns("acme")
        declared("Ventas->")(transaction)
        added(ANA)(transaction)
        return transaction.members("acme")

    assert await store.write(work) == [ANA]
    assert await roster(store) == [ANA]


async def test_removing_a_campaign(store: Store) -> None:
    await store.write(declared("Ventas->", "Cobros"))
    await store.write(lambda transaction: transaction.remove_campaign("acme", "VENTAS->"))
    assert set(await store.read(lambda transaction: transaction.campaigns("acme"))) == {"cobros"}
    with pytest.raises(errors.NoSuchThing, match="Ventas->"):
        await store.write(lambda transaction: transaction.remove_campaign("acme", "Ventas->"))
    with pytest.raises(errors.NoSuchThing, match="Ventas->"):
        await store.write(added(ANA))


async def test_a_campaign_with_members_stays(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await store.write(added(ANA))
    with pytest.raises(ValueError, match="has members"):
        await store.write(lambda transaction: transaction.remove_campaign("acme", "Ventas->"))
    assert await roster(store) == [ANA]


# --- members ---------------------------------------------------------------------------------------------------------


async def test_members_come_by_campaign_and_membername(store: Store) -> None:
    await store.write(declared("Ventas->", "cobros", "Soporte"))
    members = [
        Member("cobros", "Zoe", "SIP/1"),
        Member("cobros", "ana", "SIP/2", 3, True),
        Member("Soporte", "José Ñandú", "PJSIP/3"),
        Member("Ventas->", "Ana", "SIP/1"),
        Member("Ventas->", "Bea", "Local/1001@agents/n", 2**31 - 1, False),
    ]
    await store.write(added(*reversed(members)))
    assert await roster(store) == members
    assert await store.read(lambda t: t.members("acme", ["COBROS", "ventas->", "nowhere"])) == [
        *members[:2],
        *members[3:],
    ]
    assert await store.read(lambda t: t.members("acme", [])) == []


async def test_a_members_campaign_is_spelled_as_it_was_declared(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await store.write(added(Member("VENTAS->", "Ana", "SIP/1001")))
    assert await roster(store) == [ANA]
    assert await last_changes(store, 1) == [Change(Kind.ADDED, None, ANA)]


@pytest.mark.parametrize("others", [0, 100, 2000])
@pytest.mark.parametrize("items", [1, 3, 40])
async def test_members_like(store: Store, others: int, items: int) -> None:
    await store.write(declared("Ventas->", "Cobros"))
    crowd = [Member("Ventas->", f"other {n}", f"IAX2/{n}") for n in range(others)]
    there = [Member("Ventas->", f"agent {n}", f"SIP/a{n}") for n in range(items)]
    elsewhere = [Member("Cobros", member.membername, member.interface) for member in there]
    await store.write(added(*crowd, *there, *elsewhere))

    async def like(*wanted: Member) -> set[Member]:
        found = await store.read(lambda transaction: transaction.members_like("acme", wanted))
        assert set(found) <= {*crowd, *there, *elsewhere}
        return set(found)

    by_agent = [Member("VENTAS->", member.membername, f"DAHDI/{n}") for n, member in enumerate(there)]
    by_phone = [Member("Ventas->", f"nobody {n}", member.interface.swapcase()) for n, member in enumerate(there)]
    assert await like(*by_agent) >= set(there)
    assert await like(*by_phone) >= set(there)
    assert await like(*by_agent, *by_phone) >= set(there)
    assert not set(elsewhere) & await like(*by_agent)
    assert await like(*by_agent, Member("Cobros", "x", elsewhere[0].interface)) >= {*there, elsewhere[0]}
    assert await like(Member("nowhere", "agent 0", "SIP/a0")) == set()


async def test_names_of_agents_compare_exactly_and_phones_without_case(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await store.write(added(ANA, Member("Ventas->", "ANA", "SIP/2"), Member("Ventas->", "Ana Ñ", "SIP/3")))
    await store.write(added(Member("Ventas->", "Ana ñ", "sip/3")))
    assert [member.membername for member in await roster(store)] == ["ANA", "Ana", "Ana ñ"]
    assert [change.kind for change in await last_changes(store, 2)] == [Kind.REPLACED, Kind.ADDED]


async def test_every_kind_of_change_arrives(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await store.write(added(ANA, BEA, CID))
    louder = Member("Ventas->", "Ana", "SIP/1001", 7, True)
    moved = with_phone(BEA, "SIP/2002")
    usurper = Member("Ventas->", "Dan", "SIP/1003")
    await store.write(added(louder, moved, usurper))
    assert await roster(store) == [louder, moved, usurper]
    await store.write(removed(moved))
    assert await roster(store) == [louder, usurper]
    assert await last_changes(store, 5) == [
        Change(Kind.UPDATED, ANA, louder),
        Change(Kind.MOVED, BEA, moved),
        Change(Kind.REPLACED, CID, None),
        Change(Kind.ADDED, None, usurper),
        Change(Kind.REMOVED, moved, None),
    ]


async def test_agents_swap_phones_in_one_batch(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await store.write(added(ANA, BEA, CID))
    swapped = [with_phone(ANA, "SIP/1002"), with_phone(BEA, "SIP/1003"), with_phone(CID, "SIP/1001")]
    await store.write(added(*swapped))
    assert await roster(store) == swapped


async def test_agents_swap_phones_batch_by_batch(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await asyncio.gather(
        store.write(added(ANA)),
        store.write(added(BEA)),
        store.write(added(with_phone(ANA, "SIP/1002"))),
        store.write(added(with_phone(BEA, "SIP/1001"))),
        store.write(removed(with_phone(ANA, "SIP/1002"))),
        store.write(added(ANA)),
    )
    assert await roster(store) == [ANA]
    assert [change.kind for change in await last_changes(store, 9)] == [
        Kind.ADDED,
        Kind.ADDED,
        Kind.REPLACED,
        Kind.MOVED,
        Kind.ADDED,
        Kind.REMOVED,
        Kind.REPLACED,
        Kind.ADDED,
    ]


async def test_a_large_batch(store: Store) -> None:
    await store.write(declared("Ventas->", "Cobros"))
    many = [Member(("Ventas->", "Cobros")[n % 2], f"agent {n:05}", f"IAX2/{n}") for n in range(3000)]
    await asyncio.gather(store.write(added(ANA)), store.write(added(*many)), store.write(added(BEA)))
    assert set(await roster(store)) == {*many, ANA, BEA}
    turned = [with_phone(many[n], many[(n + 2) % 3000].interface) for n in range(3000)]
    await store.write(added(*turned))
    assert set(await roster(store)) == {*turned, ANA, BEA}
    await store.write(removed(*turned))
    assert await roster(store) == [ANA, BEA]


async def test_the_version_changes_with_the_roster_whoever_changes_it(opener: Opener, store: Store) -> None:
    async def version() -> object:
        return await store.write(lambda transaction: transaction.version())

    async def after(work: Callable[[Transaction], object], by: Store = store) -> object:
        await by.write(work)
        return await version()

    await store.write(declared("Ventas->"))
    versions = [await version(), await after(added(ANA)), await after(added(BEA)), await after(removed(BEA))]
    assert len(set(versions)) == len(versions)
    assert await after(lambda transaction: transaction.record(a_batch(), ())) == versions[-1]
    other = opener()
    try:
        assert await after(added(BEA), by=other) not in versions
    finally:
        await other.close()


async def test_a_unit_that_fails_leaves_the_version_as_it_was(store: Store) -> None:
    def fail(transaction: Transaction) -> None:
        added(ANA)(transaction)
        raise RuntimeError("on purpose")

    await store.write(declared("Ventas->"))
    before = await store.write(lambda transaction: transaction.version())
    with pytest.raises(RuntimeError, match="on purpose"):
        await store.write(fail)
    assert await store.write(lambda transaction: transaction.version()) == before


async def test_a_large_batch_of_names_that_mean_something_elsewhere(store: Store) -> None:
    await store.write(declared("Ventas->", "Cobros"))
    odd = [
        "null",
        "NULL",
        "true",
        '"',
        '""',
        "\\",
        '\\"',
        "\\N",
        "\\.",
        "]",
        "[1]",
        "it's",
        "%s",
        "{}",
        "José Ñandú",
        "\U0001f600",
    ]
    names = odd + [f"agent {n:03}" for n in range(600)]
    many = [
        Member(campaign, name, f"Local/{n}@Agents/n", n, paused=n % 3 == 0)
        for campaign in ("Ventas->", "Cobros")
        for n, name in enumerate(names)
    ]
    await store.write(added(*many))
    assert set(await roster(store)) == set(many)
    entries = await store.read(lambda transaction: transaction.journal("acme", limit=2000))
    assert [entry.change for entry in entries] == [Change(Kind.ADDED, None, member) for member in many]
    moved = [msgspec.structs.replace(member, interface=f"SIP/{member.penalty}") for member in many]
    await store.write(added(*moved))
    assert set(await roster(store)) == set(moved)
    entries = await store.read(lambda transaction: transaction.journal("acme", limit=len(many)))
    assert [entry.change for entry in entries] == list(map(Change, [Kind.MOVED] * len(many), many, moved))


async def test_instances_do_not_see_each_other(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await store.write(declared("VENTAS->", instance="globex"))
    batch = a_batch(instance="globex")
    await store.write(added(ANA))
    await store.write(added(Member("VENTAS->", "Ana", "SIP/1001", 9), batch=batch))
    assert await roster(store) == [ANA]
    assert await roster(store, "globex") == [Member("VENTAS->", "Ana", "SIP/1001", 9)]
    assert await roster(store, "initech") == []

    def everything(transaction: Transaction) -> None:
        assert transaction.batch("acme", batch.id) is None
        assert transaction.batch("globex", batch.id) == batch
        assert transaction.batches("globex", 10) == [batch]
        assert [entry.batch for entry in transaction.journal("globex")] == [batch.id]
        assert transaction.journal("acme", batch=batch.id) == []
        assert transaction.members_at("acme", NOON) == [ANA]
        assert transaction.members_like("initech", [ANA]) == []

    await store.read(everything)


# --- batches and the journal -----------------------------------------------------------------------------------------


async def test_revisions_count_the_journals_lines(store: Store) -> None:
    await store.write(declared("Ventas->"))
    assert await store.read(lambda transaction: transaction.revision()) == 0
    first = await store.write(added(ANA, BEA))
    second = await store.write(added(CID))
    same = await store.write(added(CID))
    assert first < second == same
    assert await store.read(lambda transaction: transaction.revision()) == second
    entries = await store.read(lambda transaction: transaction.journal("acme"))
    assert [entry.revision for entry in entries] == sorted({entry.revision for entry in entries})
    assert [entry.revision for entry in entries][1:] == [first, second]


async def test_a_refused_batch_is_kept_for_its_reasons(store: Store) -> None:
    problems = [
        Problem("missing_key", 3, "penalty"),
        Problem("name_too_long", 4, "membername", {"most": 79, "size": 80}),
        Problem("not_json", params={"detail": "a 'quote', a \\ and \u0000"}),
    ]
    batch = a_batch(items=7, problems=problems)
    revision = await store.write(lambda transaction: transaction.record(batch, []))
    assert revision == await store.read(lambda transaction: transaction.revision()) == 0
    assert await store.read(lambda transaction: transaction.batch("acme", batch.id)) == batch
    assert await store.read(lambda transaction: transaction.journal("acme", batch=batch.id)) == []


async def test_a_list_of_batches_can_leave_their_problems_out(store: Store) -> None:
    await store.write(declared("Ventas->"))
    stored = a_batch(minute=0)
    refused = a_batch(minute=1, problems=[Problem("empty_batch")])
    await store.write(added(Member("Ventas->", "Ana", "SIP/1"), batch=stored))
    await store.write(lambda transaction: transaction.record(refused, []))
    told, listed = await store.read(
        lambda transaction: (transaction.batches("acme", 9), transaction.batches("acme", 9, problems=False))
    )
    assert told == [refused, stored]
    assert listed == [msgspec.structs.replace(refused, problems=(), refused=True), stored]
    assert [one.stored for one in listed] == [False, True]


async def test_a_look_up_reads_what_was_written(store: Store) -> None:
    await store.write(declared("Ventas->"))
    assert await store.look_up(lambda transaction: list(transaction.campaigns("acme"))) == ["ventas->"]
    with pytest.raises(RuntimeError):
        await store.look_up(declared("Cobros"))


async def test_batches_come_newest_first(store: Store) -> None:
    batches = [a_batch(name=name, minute=minute) for name, minute in (("z", 0), ("a", 200), ("m", 100))]
    for batch in batches:
        await store.write(added(batch=batch))
    assert await store.read(lambda transaction: transaction.batches("acme", 10)) == batches[::-1]
    assert await store.read(lambda transaction: transaction.batches("acme", 2)) == [batches[2], batches[1]]
    assert await store.read(lambda transaction: transaction.batch("acme", "nothing")) is None


async def test_the_batches_of_one_actor_are_as_many_as_were_asked_for(store: Store) -> None:
    mine = [msgspec.structs.replace(a_batch(), actor="mine") for _ in range(3)]
    for batch in (*mine[:2], a_batch(), mine[2], *[a_batch() for _ in range(5)]):
        await store.write(added(batch=batch))
    assert await store.read(lambda t: t.batches("acme", 2, actor="mine")) == [mine[2], mine[1]]
    assert await store.read(lambda t: t.batches("acme", 9, actor="mine")) == mine[::-1]
    assert await store.read(lambda t: t.batches("acme", 9, actor="nobody")) == []
    assert await store.read(lambda t: t.batches("globex", 9, actor="mine")) == []


async def test_the_journal_of_some_campaigns_is_as_long_as_was_asked_for(store: Store) -> None:
    await store.write(declared("Ventas->", "Cobros"))
    both = a_batch(items=3)
    elsewhere = [Member("Cobros", f"{number}", f"SIP/{number}") for number in range(5)]
    await store.write(added(ANA, BEA, elsewhere[0], batch=both))
    await store.write(added(*elsewhere[1:]))
    await store.write(removed(*elsewhere))
    await store.write(lambda transaction: transaction.remove_campaign("acme", "cobros"))

    async def names(**filters: Any) -> list[str]:
        found = await store.read(lambda t: t.journal("acme", **filters))
        return [entry.change.member.membername for entry in found]

    def sales(campaign: str) -> bool:
        return campaign == "Ventas->"

    assert await names(within=sales, limit=1) == ["Bea"]
    assert await names(within=sales) == ["Ana", "Bea"]
    assert await names(within=sales, membername="Ana") == ["Ana"]
    assert await names(within=sales, membername="1") == []
    assert await names(within=sales, campaign="Cobros") == []
    assert await names(within=sales, batch=both.id, limit=1) == ["Bea"]
    assert await names(within=lambda campaign: not sales(campaign), batch=both.id) == ["0"]
    assert await names(within=lambda _: False) == []


async def test_a_batch_is_stored_once(store: Store) -> None:
    await store.write(declared("Ventas->"))
    batch = a_batch()
    outcomes = await asyncio.gather(
        store.write(added(ANA, batch=batch)),
        store.write(added(BEA, batch=batch)),
        store.write(added(CID)),
        return_exceptions=True,
    )
    assert [isinstance(outcome, errors.StoreError) for outcome in outcomes] == [False, True, False]
    assert await roster(store) == [ANA, CID]


async def test_the_journal_by_batch_campaign_and_agent(store: Store) -> None:
    await store.write(declared("Ventas->", "Cobros"))
    one, two, three = a_batch(minute=1, items=2), a_batch(minute=2), a_batch(minute=3)
    elsewhere = Member("Cobros", "Ana", "SIP/1001")
    await store.write(added(ANA, elsewhere, batch=one))
    await store.write(added(BEA, batch=two))
    await store.write(removed(ANA, batch=three))

    async def lines(**filters: str) -> list[tuple[str, Change]]:
        found = await store.read(lambda transaction: transaction.journal("acme", **filters))  # type: ignore[arg-type] # texts only
        assert [entry.at for entry in found] == sorted(entry.at for entry in found)
        assert {entry.actor for entry in found} <= {"robot"}
        return [(entry.batch, entry.change) for entry in found]

    late = await store.read(lambda transaction: transaction.journal("acme", after=2))
    assert [(entry.revision, entry.batch) for entry in late] == [(3, two.id), (4, three.id)]
    lines_of_ana = [(one.id, Change(Kind.ADDED, None, ANA)), (three.id, Change(Kind.REMOVED, ANA, None))]
    line_elsewhere = (one.id, Change(Kind.ADDED, None, elsewhere))
    line_of_bea = (two.id, Change(Kind.ADDED, None, BEA))
    assert await lines(batch=one.id) == [lines_of_ana[0], line_elsewhere]
    assert await lines(batch=two.id) == [line_of_bea]
    assert await lines(batch="nothing") == []
    assert await lines(campaign="VENTAS->") == [lines_of_ana[0], line_of_bea, lines_of_ana[1]]
    assert await lines(membername="Ana") == [lines_of_ana[0], line_elsewhere, lines_of_ana[1]]
    assert await lines(membername="ana") == []
    assert await lines(campaign="cobros", membername="Ana") == [line_elsewhere]
    assert await lines(batch=three.id, campaign="Ventas->", membername="Ana") == [lines_of_ana[1]]


async def test_the_journal_gives_its_newest_lines_oldest_first(store: Store) -> None:
    await store.write(declared("Ventas->"))
    members = [Member("Ventas->", f"agent {n}", f"SIP/{n}") for n in range(5)]
    for member in members:
        await store.write(added(member))
    assert [change.after for change in await last_changes(store, 3)] == members[2:]
    assert await last_changes(store, 0) == []


async def test_history_outlives_its_campaign(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await store.write(added(ANA, batch=a_batch(minute=1)))

    def drop(transaction: Transaction) -> None:
        removed(ANA, batch=a_batch(minute=2))(transaction)
        transaction.remove_campaign("acme", "Ventas->")

    await store.write(drop)
    assert await last_changes(store, 9) == [Change(Kind.ADDED, None, ANA), Change(Kind.REMOVED, ANA, None)]

    again = Member("VENTAS->", "Ana", "SIP/2002")
    await store.write(declared("VENTAS->"))
    await store.write(added(again, batch=a_batch(minute=3)))
    assert await last_changes(store, 9) == [
        Change(Kind.ADDED, None, ANA),
        Change(Kind.REMOVED, ANA, None),
        Change(Kind.ADDED, None, again),
    ]
    assert len(await store.read(lambda transaction: transaction.journal("acme", campaign="Ventas->"))) == 3
    for minute, members in ((0, []), (1, [ANA]), (2, []), (3, [again])):
        moment = NOON + timedelta(minutes=minute)
        assert await store.read(lambda t, m=moment: t.members_at("acme", m)) == members  # type: ignore[misc] # a default


async def test_the_roster_at_a_moment(store: Store) -> None:
    await store.write(declared("Ventas->", "Cobros"))
    collector = Member("Cobros", "Ana", "SIP/1001")
    moved = with_phone(ANA, "SIP/2002")
    await store.write(added(BEA, ANA, collector, batch=a_batch(minute=1, items=3)))
    await store.write(added(moved, batch=a_batch(minute=2)))
    await store.write(added(with_phone(CID, "SIP/1002"), batch=a_batch(minute=3)))  # replaces Bea

    async def at(minute: float, campaign: str | None = None) -> list[Member]:
        moment = NOON + timedelta(minutes=minute)
        return await store.read(lambda transaction: transaction.members_at("acme", moment, campaign))

    instant = 1 / 60_000_000  # a microsecond
    assert await at(1 - instant) == []
    assert await at(1) == [collector, ANA, BEA]
    assert await at(2 - instant) == [collector, ANA, BEA]
    assert await at(2) == [collector, moved, BEA]
    assert await at(3) == [collector, moved, with_phone(CID, "SIP/1002")]
    assert await at(3, "VENTAS->") == [moved, with_phone(CID, "SIP/1002")]
    assert await at(3, "nowhere") == []
    assert await at(9) == await roster(store)


async def test_a_batch_is_of_no_earlier_time_than_the_one_before(store: Store) -> None:
    """Nodes' clocks differ, and are set back: a past roster is one that there was, and stays what it was."""
    await store.write(declared("Ventas->"))
    await store.write(added(ANA, batch=a_batch(minute=1)))
    bea, cid = with_phone(BEA, ANA.interface), with_phone(CID, ANA.interface)
    await store.write(added(bea, batch=a_batch(minute=3)))  # replaces Ana
    await store.write(added(cid, batch=a_batch(minute=2)))  # replaces Bea

    async def at(minute: float) -> list[Member]:
        moment = NOON + timedelta(minutes=minute)
        return await store.read(lambda transaction: transaction.members_at("acme", moment))

    assert await at(1) == [ANA]
    assert await at(2) == [ANA]
    assert await at(3) == [cid]
    assert [line.at for line in await store.read(lambda t: t.journal("acme"))] == [
        NOON + timedelta(minutes=minute) for minute in (1, 3, 3, 3, 3)
    ]


async def test_it_tells_the_time(store: Store) -> None:
    here = datetime.now(UTC)
    there = await store.read(lambda transaction: transaction.time())
    assert abs(there - here) < timedelta(minutes=5)  # the database's clock is this machine's here, its zone is not


async def test_a_clock_that_was_wrong_by_more_is_not_followed(store: Store) -> None:
    await store.write(declared("Ventas->"))
    for minute in (0, 61, 0.5, 0.25, 60.25, 60, 10_000, 2):
        await store.write(added(with_phone(ANA, f"SIP/{minute * 100:.0f}"), batch=a_batch(minute=minute)))
    assert [batch.at for batch in reversed(await store.read(lambda t: t.batches("acme", 9)))] == [
        NOON + timedelta(minutes=minute) for minute in (0, 61, 0.5, 0.5, 60.25, 60.25, 10_000, 2)
    ]


# --- units of work ---------------------------------------------------------------------------------------------------


def and_then_fail(*works: Callable[[Transaction], object]) -> Callable[[Transaction], object]:
    def work(transaction: Transaction) -> object:
        for each in works:
            each(transaction)
        raise Refusal

    return work


DAN = Member("Ventas->", "Dan", "SIP/1004")


@pytest.mark.parametrize(
    "work",
    [
        and_then_fail(),
        and_then_fail(added(DAN)),
        and_then_fail(added(DAN), lambda transaction: transaction.members("acme")),
        and_then_fail(added(DAN), added(with_phone(DAN, "SIP/1001")), added(DAN)),
        and_then_fail(declared("Cobros"), added(Member("Cobros", "Dan", "SIP/1"))),
        and_then_fail(
            lambda t: removed(*t.members("acme"))(t),
            lambda transaction: transaction.remove_campaign("acme", "Ventas->"),
        ),
        and_then_fail(lambda t: t.put_claims("acme", "pbx1", [Claim("Ventas->", "SIP/1001", True)])),
        and_then_fail(lambda t: t.put_user(User("acme", "eva", "hash", Role.ADMIN, (), NOON)), added(DAN)),
        and_then_fail(added(DAN), lambda t: t.add_token(Token("acme", "bot", b"d", Role.READER, (), NOON))),
    ],
    ids=["nothing", "add", "add and read", "add thrice", "declare", "remove", "claim", "user", "token"],
)
async def test_a_unit_that_fails_leaves_nothing(store: Store, work: Callable[[Transaction], object]) -> None:
    await store.write(declared("Ventas->"))

    def everything(transaction: Transaction) -> list[object]:
        return [
            dict(transaction.campaigns("acme")),
            transaction.members("acme"),
            transaction.revision(),
            transaction.batches("acme", 10),
            transaction.journal("acme"),
            transaction.tokens("acme"),
            transaction.users("acme"),
            transaction.claims("acme", "pbx1"),
        ]

    await store.write(added(ANA))
    before = await store.read(everything)
    with pytest.raises(Refusal):
        await store.write(work)
    assert await store.read(everything) == before

    # and among others it takes nothing from them
    outcomes = await asyncio.gather(
        store.write(added(BEA)), store.write(work), store.write(added(CID)), store.write(work), return_exceptions=True
    )
    assert [isinstance(outcome, Refusal) for outcome in outcomes] == [False, True, False, True]
    assert await roster(store) == [ANA, BEA, CID]
    assert set(await store.write(lambda transaction: set(transaction.campaigns("acme")))) == {"ventas->"}
    assert [entry.change.member for entry in await store.read(lambda t: t.journal("acme"))] == [ANA, BEA, CID]


MANY = [Change(Kind.ADDED, None, Member("Ventas->", f"agent {n}", f"SIP/2{n:03}")) for n in range(1000)]


@pytest.mark.parametrize(
    "changes",
    [
        [Change(Kind.ADDED, None, with_phone(ANA, "SIP/9"))],
        [Change(Kind.ADDED, None, with_phone(DAN, "sip/1001"))],
        [Change(Kind.REMOVED, DAN, None)],
        [Change(Kind.ADDED, None, DAN), Change(Kind.UPDATED, BEA, with_phone(BEA, "SIP/9"))],
        [*MANY, Change(Kind.ADDED, None, with_phone(ANA, "SIP/9"))],
        [*MANY, Change(Kind.ADDED, None, with_phone(DAN, "sip/1001"))],
    ],
    ids=["agent there", "phone taken", "agent not there", "one of two", "one of many there", "phone of one of many"],
)
async def test_changes_that_do_not_fit_the_members_fail_alone(store: Store, changes: list[Change]) -> None:
    await store.write(declared("Ventas->"))
    await store.write(added(ANA))
    outcomes = await asyncio.gather(
        store.write(added(Member("Ventas->", "Eva", "SIP/1005"))),
        store.write(lambda transaction: transaction.record(a_batch(name="misfit"), changes)),
        store.write(added(CID)),
        return_exceptions=True,
    )
    assert [isinstance(outcome, errors.StoreError) for outcome in outcomes] == [False, True, False]
    assert [member.membername for member in await roster(store)] == ["Ana", "Cid", "Eva"]
    assert await store.read(lambda transaction: transaction.batch("acme", "misfit")) is None
    revision = await store.write(added(BEA))
    assert revision == await store.read(lambda transaction: transaction.revision())


async def test_units_run_in_the_order_submitted_and_see_those_before(store: Store) -> None:
    await store.write(declared("Ventas->"))

    def work(transaction: Transaction) -> int:
        there = transaction.members("acme")
        added(Member("Ventas->", f"agent {len(there):03}", f"SIP/{len(there)}"))(transaction)
        return len(there)

    assert await asyncio.gather(*(store.write(work) for _ in range(50))) == list(range(50))


async def test_many_writers_some_of_which_fail(store: Store) -> None:
    await store.write(declared("Ventas->"))
    members = [Member("Ventas->", f"agent {n:03}", f"SIP/{n}") for n in range(400)]

    async def add(number: int) -> bool:
        work: Callable[[Transaction], object] = added(members[number])
        if number % 7 == 0:
            work = and_then_fail(work)
        try:
            await store.write(work)
        except Refusal:
            return False
        assert await store.read(lambda t: members[number] in t.members_like("acme", [members[number]]))
        return True

    done = await asyncio.gather(*(add(number) for number in range(400)))
    assert done == [number % 7 != 0 for number in range(400)]
    expected = [member for member, stored in zip(members, done, strict=True) if stored]
    assert await roster(store) == expected
    assert await store.read(lambda transaction: transaction.revision()) == len(expected)
    assert sorted(change.member.membername for change in await last_changes(store, 1000)) == [
        member.membername for member in expected
    ]


async def test_a_unit_may_raise_even_what_futures_cannot_carry(store: Store) -> None:
    def work(transaction: Transaction) -> None:
        raise StopIteration

    with pytest.raises(RuntimeError):
        await store.write(work)
    await store.write(declared("Ventas->"))
    await store.write(added(ANA))
    assert await roster(store) == [ANA]


async def test_a_cancelled_caller_does_not_undo_the_unit(store: Store) -> None:
    await store.write(declared("Ventas->"))
    task = asyncio.ensure_future(store.write(added(ANA)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.write(added(BEA))
    assert await roster(store) == [ANA, BEA]


async def test_reading_does_not_write(store: Store) -> None:
    await store.write(declared("Ventas->"))
    for work in (
        added(ANA),
        declared("Cobros"),
        lambda t: t.remove_campaign("acme", "Ventas->"),
        lambda t: t.put_user(User("acme", "eva", "hash", Role.ADMIN, (), NOON)),
        lambda t: t.remove_user("acme", "eva"),
        lambda t: t.add_token(Token("acme", "bot", b"d", Role.READER, (), NOON)),
        lambda t: t.remove_tokens("acme", "bot"),
        lambda t: t.trim_sessions("acme", "eva", 1),
        lambda t: t.sweep_sessions("acme", NOON, 1),
        lambda t: t.put_claims("acme", "pbx1", []),
        lambda t: t.drop_claims("acme", "pbx1", []),
        lambda t: t.forget_pauses("acme", []),
    ):
        with pytest.raises(RuntimeError, match=r"a write within Store\.read"):
            await store.read(work)
    assert await roster(store) == []


async def test_what_a_reader_raises_is_raised(store: Store) -> None:
    with pytest.raises(Refusal):
        await store.read(and_then_fail())
    assert await roster(store) == []


# --- tokens, users, the ledger ---------------------------------------------------------------------------------------


def a_token(name: str, digest: bytes = b"digest", *, user: str = "", minute: int = 0, instance: str = "acme") -> Token:
    created = NOON + timedelta(minutes=minute)
    return Token(instance, name, digest, Role.INTEGRATOR, ("Ventas*", "Ñ?"), created, created + timedelta(days=1), user)


async def test_tokens(store: Store) -> None:
    operator = a_token("robot", b"\x00\xff")
    logins = [a_token("eva", b"second", user="eva", minute=2), a_token("eva", b"first", user="eva", minute=1)]
    forever = Token("acme", "forever", b"f", Role.READER, (), NOON)
    for token in (operator, *logins, forever):
        await store.write(lambda t, token=token: t.add_token(token))  # type: ignore[misc] # a default
    with pytest.raises(errors.NameTaken, match="robot"):
        await store.write(lambda t: t.add_token(a_token("robot", b"other")))
    with pytest.raises(errors.NameTaken, match="eva"):
        await store.write(lambda t: t.add_token(a_token("eva", b"other")))
    with pytest.raises(errors.NameTaken, match="eva"):
        await store.write(lambda t: t.add_token(logins[0]))
    await store.write(lambda t: t.add_token(a_token("robot", instance="globex")))

    def check(transaction: Transaction) -> None:
        assert transaction.tokens("acme") == [logins[1], logins[0], forever, operator]
        assert transaction.token("acme", "robot", b"\x00\xff") == operator
        assert transaction.token("acme", "robot", b"\x00") is None
        assert transaction.token("acme", "Robot", b"\x00\xff") is None
        assert transaction.token("globex", "robot", b"\x00\xff") is None

    await store.read(check)
    assert await store.write(lambda t: t.remove_tokens("acme", "eva", b"first")) == 1
    assert await store.write(lambda t: t.remove_tokens("acme", "eva", b"first")) == 0
    assert await store.write(lambda t: t.remove_tokens("acme", "robot")) == 1
    assert await store.read(lambda t: t.tokens("acme")) == [logins[0], forever]
    assert len(await store.read(lambda t: t.tokens("globex"))) == 1


async def test_users(store: Store) -> None:
    eva = User("acme", "eva", "$argon2id$one", Role.ADMIN, ("Ventas*",), NOON)
    changed = User("acme", "eva", "$argon2id$two", Role.READER, (), NOON)
    ada = User("acme", "Ada", "$argon2id$", Role.READER, (), NOON)
    for user in (eva, ada, changed, User("globex", "eva", "x", Role.READER, (), NOON)):
        await store.write(lambda t, user=user: t.put_user(user))  # type: ignore[misc] # a default
    for token in (
        a_token("eva", b"1", user="eva"),
        a_token("robot"),
        a_token("eva", b"2", user="eva", instance="globex"),
    ):
        await store.write(lambda t, token=token: t.add_token(token))  # type: ignore[misc] # a default
    assert await store.read(lambda t: t.users("acme")) == [ada, changed]
    assert await store.read(lambda t: t.user("acme", "eva")) == changed
    assert await store.read(lambda t: t.user("acme", "EVA")) is None
    assert await store.write(lambda t: t.remove_user("acme", "eva"))
    assert not await store.write(lambda t: t.remove_user("acme", "eva"))
    assert await store.read(lambda t: t.users("acme")) == [ada]
    assert [token.name for token in await store.read(lambda t: t.tokens("acme"))] == ["robot"]
    assert (
        len(await store.read(lambda t: t.tokens("globex"))) == len(await store.read(lambda t: t.users("globex"))) == 1
    )


async def test_a_changed_user_has_no_session_any_more_and_nobody_else_loses_one(store: Store) -> None:
    eva = User("acme", "eva", "hash", Role.ADMIN, (), NOON)
    await store.write(lambda t: t.put_user(eva))
    its = a_token("eva", b"1", user="eva")
    others = [
        a_token("eva", b"2", user="eva", instance="globex"),
        a_token("Eva", b"3", user="Eva"),
        a_token("robot", b"4"),
    ]
    for token in (its, *others):
        await store.write(lambda t, token=token: t.add_token(token))  # type: ignore[misc] # a default
    await store.write(lambda t: t.put_user(eva))
    assert await store.read(lambda t: t.token("acme", "eva", b"1")) is None
    left = await store.read(lambda t: t.tokens("acme") + t.tokens("globex"))
    assert left == [others[1], others[2], others[0]]


async def test_the_oldest_sessions_of_a_user_make_room(store: Store) -> None:
    # the clocks of nodes differ: what was stored first is the oldest
    for minute in (5, 1, 4, 2, 3):
        session = a_token("eva", b"%d" % minute, user="eva", minute=minute)
        await store.write(lambda t, session=session: t.add_token(session))  # type: ignore[misc] # a default
    others = [
        a_token("ana", b"a", user="ana"),
        a_token("eva", b"g", user="eva", instance="globex"),
        a_token("robot", b"r"),
    ]
    for token in others:
        await store.write(lambda t, token=token: t.add_token(token))  # type: ignore[misc] # a default
    await store.write(lambda t: t.trim_sessions("acme", "eva", 5))
    assert len(await store.read(lambda t: t.tokens("acme"))) == 7
    await store.write(lambda t: t.trim_sessions("acme", "eva", 2))
    left = await store.read(lambda t: t.tokens("acme"))
    assert [token.digest for token in left] == [b"a", b"2", b"3", b"r"]
    assert len(await store.read(lambda t: t.tokens("globex"))) == 1


async def test_sessions_that_have_ended_are_swept_some_at_a_time(store: Store) -> None:
    ended = [a_token(name, b"e", user=name) for name in ("ana", "bea", "cid")]  # a day after noon
    live = a_token("dan", b"l", user="dan", minute=1)
    kept = [a_token("robot", b"o"), a_token("eva", b"g", user="eva", instance="globex"), live]
    for token in (*ended, *kept):
        await store.write(lambda t, token=token: t.add_token(token))  # type: ignore[misc] # a default
    tomorrow = NOON + timedelta(days=1)
    assert await store.write(lambda t: t.sweep_sessions("acme", tomorrow - timedelta(microseconds=1), 2)) == 0
    assert await store.write(lambda t: t.sweep_sessions("acme", tomorrow, 2)) == 2
    assert await store.write(lambda t: t.sweep_sessions("acme", tomorrow, 2)) == 1
    assert await store.write(lambda t: t.sweep_sessions("acme", tomorrow, 2)) == 0
    left = await store.read(lambda t: t.tokens("acme") + t.tokens("globex"))
    assert left == [live, kept[0], kept[1]]


async def test_the_ledger(store: Store) -> None:
    claims = [
        Claim("Cobros", "SIP/1001", False, None),
        Claim("Ventas->", "SIP/1001", True, True),
        Claim("Ventas->", "SIP/1002", True, False, 7, membername="eva"),
    ]
    await store.write(lambda t: t.put_claims("acme", "pbx1", iter(claims)))
    await store.write(lambda t: t.put_claims("acme", "pbx2", claims[:1]))
    await store.write(lambda t: t.put_claims("globex", "pbx1", claims[1:]))
    confirmed = Claim("VENTAS->", "sip/1001", True, False)
    await store.write(lambda t: t.put_claims("acme", "pbx1", [confirmed]))

    async def ledger(server: str = "pbx1", queues: list[str] | None = None) -> list[Claim]:
        return await store.read(lambda t: t.claims("acme", server, queues))

    assert await ledger() == [claims[0], confirmed, claims[2]]
    assert await ledger(queues=["ventas->", "nowhere"]) == [confirmed, claims[2]]
    assert await ledger(queues=[]) == []
    phones = await store.read(lambda t: t.claims("acme", "pbx1", ["VENTAS->", "Cobros"], ["sip/1001", "SIP/7"]))
    assert phones == [claims[0], confirmed]
    assert await store.read(lambda t: t.claims("acme", "pbx1", None, ["SIP/1002"])) == [claims[2]]
    await store.write(lambda t: t.drop_claims("acme", "pbx1", [claims[1], Claim("nowhere", "SIP/1", True)]))
    assert await ledger() == [claims[0], claims[2]]
    assert await ledger("pbx2") == claims[:1]
    assert len(await store.read(lambda t: t.claims("globex", "pbx1"))) == 2


async def test_drift_is_kept_in_order_and_found_by_server_and_campaign(store: Store) -> None:
    records = [
        DriftRecord(
            NOON + timedelta(seconds=number),
            f"pbx{number % 2}",
            "Ventas->" if number < 5 else "Ñ",
            "Ana",
            f"SIP/{number}",
            DriftKind.PENALTY,
            "0",
            "7",
            Route.EVENT,
            Done.REPAIRED,
        )
        for number in range(9)
    ]
    whole = DriftRecord(
        NOON, "pbx0", "Ventas->", "", "", DriftKind.REMOVED, "", "", Route.RESTART, Done.REPAIRED, count=40
    )
    await store.write(lambda t: t.add_drifts("acme", records))
    await store.write(lambda t: t.add_drifts("globex", [whole]))
    await store.write(lambda t: t.add_drifts("acme", []))
    assert await store.read(lambda t: t.drifts("acme")) == records
    assert await store.read(lambda t: t.drifts("acme", limit=3)) == records[-3:]
    assert await store.read(lambda t: t.drifts("acme", server="pbx1", limit=2)) == [records[5], records[7]]
    assert await store.read(lambda t: t.drifts("acme", campaign="VENTAS->")) == records[:5]
    assert await store.read(lambda t: t.drifts("acme", campaign="ñ")) == []
    assert await store.read(lambda t: t.drifts("globex")) == [whole]
    sales: dict[str, Any] = {"limit": 2, "within": lambda campaign: campaign == "Ventas->"}
    assert await store.read(lambda t: t.drifts("acme", **sales)) == records[3:5]
    assert await store.read(lambda t: t.drifts("acme", server="pbx1", **sales)) == [records[1], records[3]]
    assert await store.read(lambda t: t.drifts("acme", campaign="Ñ", **sales)) == []
    assert await store.read(lambda t: t.drifts("acme", within=lambda _: False)) == []


async def test_the_reason_of_an_observed_pause_is_journalled(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await store.write(added(ANA))
    seen = Change(Kind.UPDATED, ANA, Member(ANA.campaign, ANA.membername, ANA.interface, paused=True), "almuerzo ñ")
    await store.write(lambda t: t.record(a_batch(), [seen]))
    assert await last_changes(store, 1) == [seen]


async def test_the_reason_of_a_pause_lasts_as_long_as_the_pause(store: Store) -> None:
    await store.write(declared("Ventas->"))
    await store.write(added(ANA, BEA))
    there = ANA

    async def reason(kind: Kind, after: Member | None, given: str = "") -> str | None:
        nonlocal there
        await store.write(lambda t: t.record(a_batch(), [Change(kind, there, after, given)]))
        there = after or there
        found = await store.read(lambda t: t.reasons("acme", t.members("acme")))
        assert found.keys() <= {("ventas->", ANA.membername)}
        return found.get(("ventas->", ANA.membername))

    paused = msgspec.structs.replace(ANA, paused=True)
    assert await reason(Kind.UPDATED, paused, "almuerzo ñ") == "almuerzo ñ"
    assert await reason(Kind.UPDATED, paused, "reunión") == "reunión"
    paused = msgspec.structs.replace(paused, penalty=7)
    assert await reason(Kind.UPDATED, paused) == "reunión"
    paused = msgspec.structs.replace(paused, interface="SIP/7777")
    assert await reason(Kind.MOVED, paused) == "reunión"
    assert await reason(Kind.UPDATED, paused) is None  # nothing else changes: it has none any more
    assert await last_changes(store, 1) == [Change(Kind.UPDATED, paused, paused)]
    assert await reason(Kind.UPDATED, paused, "almuerzo") == "almuerzo"
    assert await reason(Kind.UPDATED, msgspec.structs.replace(paused, paused=False)) is None
    assert await reason(Kind.UPDATED, paused) is None
    assert await reason(Kind.UPDATED, paused, "otra vez") == "otra vez"
    assert await reason(Kind.REMOVED, None) is None
    await store.write(added(paused))
    assert await store.read(lambda t: t.reasons("acme", [paused])) == {}


async def test_the_ledger_keeps_the_reason_that_was_asserted_and_of_whom(store: Store) -> None:
    line = Claim("Ventas->", "SIP/1001", True, True, 2, "reunión", "José Ñandú")
    for kept in (line, msgspec.structs.replace(line, reason="", membername="eva")):
        await store.write(lambda t, kept=kept: t.put_claims("acme", "pbx1", [kept]))  # type: ignore[misc]  # mypy
        assert await store.read(lambda t: t.claims("acme", "pbx1")) == [kept]


async def test_a_pause_is_forgotten_on_every_server_of_the_instance(store: Store) -> None:
    ana, eva = (
        Claim("Ventas->", "SIP/1001", True, True, 3, membername="ana"),
        Claim("Ventas->", "SIP/1002", False, False),
    )
    for instance, server in (("acme", "pbx1"), ("acme", "pbx2"), ("acme", "pbx3"), ("globex", "pbx1")):
        await store.write(lambda t, i=instance, s=server: t.put_claims(i, s, [ana, eva]))  # type: ignore[misc]  # mypy
    named = [Member("VENTAS->", "ana", "sip/1001"), Member("Cobros", "eva", "SIP/1002")]
    await store.write(lambda t: t.forget_pauses("acme", named))
    forgotten = Claim("Ventas->", "SIP/1001", True, None, 3, membername="ana")
    for server in ("pbx1", "pbx2", "pbx3"):
        assert await store.read(lambda t, s=server: t.claims("acme", s)) == [forgotten, eva]  # type: ignore[misc]
    assert await store.read(lambda t: t.claims("globex", "pbx1")) == [ana, eva]
    await store.write(lambda t: t.forget_pauses("initech", named))


# --- a store among others --------------------------------------------------------------------------------------------


async def test_another_opening_finds_everything(opener: Opener) -> None:
    first = opener()
    await first.write(declared("Ventas->"))
    await first.write(added(ANA))
    key = await first.read(lambda transaction: transaction.token_key())
    await first.close()
    second = opener()
    assert await roster(second) == [ANA]
    assert await second.read(lambda transaction: transaction.token_key()) == key
    assert len(key) == 32
    assert await second.write(added(BEA)) == 2
    await second.close()


async def test_stores_side_by_side(opener: Opener) -> None:
    one, other = opener(), opener()
    assert [await one.changed_elsewhere(), await other.changed_elsewhere()] == [False, False]
    await one.write(declared("Ventas->"))
    await one.write(added(ANA))
    assert [await one.changed_elsewhere(), await other.changed_elsewhere()] == [False, True]
    assert [await one.changed_elsewhere(), await other.changed_elsewhere()] == [False, False]
    await other.write(added(BEA))  # into a campaign that it has not seen before
    assert await roster(one) == [ANA, BEA]
    await other.write(declared("Cobros"))
    assert await one.write(added(Member("Cobros", "Ana", "SIP/1001"))) == 3
    assert [await one.changed_elsewhere(), await other.changed_elsewhere()] == [True, True]
    await other.close()
    await one.close()


async def _refuses(call: Awaitable[object]) -> None:
    with pytest.raises(errors.StoreUnavailable, match="closed"):
        await call


async def test_closing_finishes_what_was_submitted(opener: Opener) -> None:
    store = opener()
    await store.write(declared("Ventas->"))
    members = [Member("Ventas->", f"agent {n:02}", f"SIP/{n}") for n in range(50)]
    units = [asyncio.ensure_future(store.write(added(member))) for member in members]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*units)
    await _refuses(store.write(added(ANA)))
    await _refuses(store.read(lambda transaction: transaction.revision()))
    await _refuses(store.changed_elsewhere())
    await store.close()
    again = opener()
    assert await roster(again) == members
    await again.close()


# --- leases ----------------------------------------------------------------------------------------------------------


async def test_a_lease_is_held_by_one_at_a_time_wherever_it_runs(opener: Opener) -> None:
    here, there = opener(), opener()
    held: list[str] = []

    async def hold(store: Store, who: str) -> None:
        async with store.lease("pbx1", 10):
            held.append(who)
            assert len(held) == 1
            await asyncio.sleep(0)
            assert held == [who]
            held.clear()

    await asyncio.gather(*(hold(store, f"{turn}") for turn in range(10) for store in (here, here, there)))
    await here.close()
    await there.close()


async def test_a_lease_that_is_not_given_back_is_waited_for_no_longer_than_told(opener: Opener) -> None:
    here, there = opener(), opener()
    async with here.lease("pbx1", 1):
        for store in (here, there):
            with pytest.raises(TimeoutError):
                async with store.lease("pbx1", 0.05):
                    pytest.fail("held twice")
        async with there.lease("pbx2", 1):
            pass
    async with there.lease("pbx1", 1):
        pass
    await here.close()
    await there.close()


async def test_a_store_that_is_closed_holds_no_lease(opener: Opener) -> None:
    here, there = opener(), opener()
    async with here.lease("pbx1", 1) as lease:
        lease.check()
        await here.close()
        with pytest.raises(errors.LeaseLost, match="pbx1"):
            lease.check()
    async with there.lease("pbx1", 1):
        pass
    await there.close()


async def test_an_error_gives_the_lease_back(store: Store) -> None:
    with pytest.raises(Refusal):
        async with store.lease("pbx1", 1):
            raise Refusal
    async with store.lease("pbx1", 1):
        pass
