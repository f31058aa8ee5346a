"""The realtime view, the same on each database that has one: what it shows, what is written in it, and what is not."""

import asyncio
import itertools
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import psycopg
import pytest

from plantel import errors
from plantel.access import Actor, Role
from plantel.batch import Source
from plantel.phones import PhoneRules
from plantel.plan import Demand
from plantel.ports import Store, Transaction
from plantel.roster import Interfaces, Member, fold
from plantel.service import Service
from plantel.store import leftover_parts, missing_views, open_store
from plantel.store.realtime import Part, RealtimeView
from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql
from plantel.wiring import SystemClock
from tests.support.realtime_bases import Base, MariadbBase, PostgresqlBase, RefusedToAsterisk

pytestmark = pytest.mark.anyio

OPERATOR = Actor("operator", Role.ADMIN)
VIEW = RealtimeView("queue_members", "default", "pbx1")
COLUMNS = (
    "queue_name, interface, membername, state_interface, penalty, paused, uniqueid, wrapuptime, ringinuse,"
    " reason_paused"
)
VENTAS = "Ventas->"
ANA = Member(VENTAS, "José Ñandú", "SIP/1001", penalty=3)

_names = itertools.count()


@pytest.fixture(params=["postgresql", "mariadb"])
def base(request: pytest.FixtureRequest) -> Base:
    server = request.getfixturevalue(request.param)
    name = f"view_{next(_names)}"
    if isinstance(server, PrivatePostgresql):
        return PostgresqlBase(server, name)
    assert isinstance(server, PrivateMariadb)
    return MariadbBase(server, name)


class Roster:
    """The roster on a base, and what Asterisk reads of it and writes."""

    def __init__(self, base: Base, store: Store) -> None:
        self.base = base
        self.store = store
        self.service = Service(store, "default", SystemClock(), Interfaces((".+",)), lambda *_: None)

    async def declare(self, *names: str) -> None:
        for name in names:
            await self.service.declare(OPERATOR, name)

    async def add(self, *members: Member) -> None:
        await self.service.add(OPERATOR, members, Source.API)

    def rows(self, queue: str = VENTAS) -> list[tuple[object, ...]]:
        """As Asterisk reads them, whatever else it reads along with them."""
        return self.base.execute(
            f"SELECT {COLUMNS} FROM queue_members WHERE interface LIKE '%' AND queue_name = '{queue}'"
            " ORDER BY interface"
        )

    def uniqueid(self) -> int:
        ((*_, uniqueid, _, _, _),) = self.rows()
        assert isinstance(uniqueid, int)
        return uniqueid

    def write(self, column: str, value: int) -> None:
        """As Asterisk writes it, to the only member."""
        self.base.execute(f"UPDATE queue_members SET {column} = '{value}' WHERE uniqueid = '{self.uniqueid()}'")


@asynccontextmanager
async def roster(base: Base, *views: RealtimeView) -> AsyncIterator[Roster]:
    store = await asyncio.to_thread(open_store, base.url, views=views or (VIEW,))
    base.grant()
    made = Roster(base, store)
    try:
        yield made
    finally:
        await store.close()


async def test_it_shows_the_roster(base: Base) -> None:
    async with roster(base) as made:
        await made.declare(VENTAS, "Línea 100%")
        await made.add(ANA, Member("Línea 100%", "eva", "PJSIP/1002", paused=True))
        row = (VENTAS, "SIP/1001", "José Ñandú", "", 3, 0, made.uniqueid(), None, None, None)
        assert made.rows() == [row]
        ((_, interface, *_, penalty, paused, _, _, _, _),) = made.rows("Línea 100%")
        assert (interface, penalty, paused) == ("PJSIP/1002", 0, 1)
        assert made.rows("ventas->") == [], "a database compares with case"
        await made.service.remove(OPERATOR, VENTAS, ["SIP/1001"], Source.API)
        assert made.rows() == []


async def test_it_shows_a_large_batch(base: Base) -> None:
    async with roster(base) as made:
        await made.declare(VENTAS)
        await made.add(*(Member(VENTAS, f"agent {n}", f"SIP/{n}", n) for n in range(1000, 2000)))
        shown = [(interface, name, penalty) for _, interface, name, _, penalty, *_ in made.rows()]
        assert shown == [(f"SIP/{n}", f"agent {n}", n) for n in range(1000, 2000)]


async def test_a_row_is_another_one_for_another_phone_or_name_only(base: Base) -> None:
    async with roster(base) as made:
        await made.declare(VENTAS)
        seen = []
        for other in (
            ANA,
            msgspec.structs.replace(ANA, interface="SIP/1002"),
            msgspec.structs.replace(ANA, interface="SIP/1002", membername="eva"),
            msgspec.structs.replace(ANA, interface="sip/1002", membername="eva"),
        ):
            await made.add(other)
            seen.append(made.uniqueid())
            await made.add(msgspec.structs.replace(other, penalty=7, paused=True))
            assert made.uniqueid() == seen[-1]
        assert len(set(seen)) == len(seen)
        await made.add(ANA)
        await made.service.remove(OPERATOR, VENTAS, ["eva"], Source.API)
        assert made.uniqueid() == seen[0]


async def test_what_asterisk_writes_is_a_batch_of_its_own_among_the_others(base: Base) -> None:
    async with roster(base) as made:
        await made.declare(VENTAS)
        await made.add(ANA)
        made.write("paused", 1)
        made.write("paused", 1)
        made.write("penalty", 8)
        await made.add(msgspec.structs.replace(ANA, penalty=1))
        entries = await made.service.journal(OPERATOR)
        server = entries[1].actor
        assert server.startswith("server:pbx1")
        assert [(one.revision, one.actor) for one in entries] == [
            (1, "operator"),
            (2, server),
            (3, server),
            (4, "operator"),
        ]
        assert [one.change.after for one in entries[1:3]] == [
            msgspec.structs.replace(ANA, paused=True),
            msgspec.structs.replace(ANA, paused=True, penalty=8),
        ]
        assert [one.change.before for one in entries[1:]] == [one.change.after for one in entries[:-1]]
        batch, _ = await made.service.batch(OPERATOR, entries[1].batch)
        assert (batch.source, batch.items, batch.stored) == (Source.SERVER, 1, True)
        assert batch.at <= (await made.service.batch(OPERATOR, entries[3].batch))[0].at


@pytest.mark.parametrize(("minutes", "followed"), [(30, True), (61, False)])
async def test_what_asterisk_writes_is_of_no_earlier_time_than_what_was_there(
    base: Base, minutes: int, *, followed: bool
) -> None:
    async with roster(base) as made:
        await made.declare(VENTAS)
        await made.add(ANA)
        base.administer(f"UPDATE batches SET at = at + {minutes * 60_000_000}")  # stored by a node whose clock is ahead
        made.write("penalty", 8)
        await made.add(msgspec.structs.replace(ANA, penalty=1))
        first, written, last = (line.at for line in await made.service.journal(OPERATOR))
        if followed:
            assert first == written == last
        else:
            assert written <= last < first


@pytest.mark.parametrize("mapping", [{}, {"SIP/": "PJSIP/"}])
async def test_both_write_at_once_and_one_order_explains_it(base: Base, mapping: dict[str, str]) -> None:
    async with roster(base, msgspec.structs.replace(VIEW, mapping=mapping)) as made:
        await made.declare(VENTAS)
        await made.add(ANA)
        uniqueid = made.uniqueid()
        statements = [
            f"UPDATE queue_members SET penalty = '{penalty}' WHERE uniqueid = '{uniqueid}'" for penalty in range(10, 40)
        ]

        def asterisk() -> None:
            for statement in statements:
                base.execute(statement)

        # the same member, too: on MariaDB each of the two then waits for what the other has locked
        others = [msgspec.structs.replace(ANA, penalty=1000 + number) for number in range(60)]
        others += [Member(VENTAS, f"agent {number}", f"SIP/2{number:03}") for number in range(60)]
        writing = asyncio.create_task(asyncio.to_thread(asterisk))
        for other in others:
            await made.add(other)
        await writing
        entries = await made.service.journal(OPERATOR, limit=1000)
        assert [one.revision for one in entries] == list(range(1, len(others) + len(statements) + 2))
        own = [one.change for one in entries if one.change.member.membername == ANA.membername]
        assert [one.before for one in own[1:]] == [one.after for one in own[:-1]]
        now = SystemClock().now()
        assert await made.service.members_at(OPERATOR, now) == await made.service.members(OPERATOR, VENTAS)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO queue_members (queue_name) VALUES ('x')",
        "DELETE FROM queue_members",
        "UPDATE queue_members SET membername = 'x'",
        "UPDATE queue_members SET interface = 'SIP/9'",
        "UPDATE queue_members SET queue_name = 'x'",
        "UPDATE queue_members SET uniqueid = 1",
        "UPDATE queue_members SET ringinuse = '1'",
        "UPDATE queue_members SET penalty = -1",
        "SELECT * FROM members",
        "SELECT * FROM journal",
        "UPDATE members SET paused = penalty = 1",
    ],
)
async def test_nothing_else_is_written_or_read(base: Base, statement: str) -> None:
    async with roster(base) as made:
        await made.declare(VENTAS)
        await made.add(ANA)
        with pytest.raises(RefusedToAsterisk):
            base.execute(statement)
        assert await made.service.members(OPERATOR, VENTAS) == [ANA]
        assert len(await made.service.journal(OPERATOR)) == 1


async def test_a_server_sees_its_share_of_its_instance(base: Base) -> None:
    view = msgspec.structs.replace(VIEW, campaigns=("ventas*", "100%_?"))
    async with roster(base, view) as made:
        await made.declare(VENTAS, "POWER<-", "100%_A", "100 XA")
        await made.add(ANA, *(msgspec.structs.replace(ANA, campaign=one) for one in ("POWER<-", "100%_A", "100 XA")))
        other = Service(made.store, "other", SystemClock(), Interfaces(), lambda *_: None)
        await other.declare(OPERATOR, VENTAS)
        await other.add(OPERATOR, [ANA], Source.API)
        assert [len(made.rows(queue)) for queue in (VENTAS, "POWER<-", "100%_A", "100 XA")] == [1, 0, 1, 0]


async def test_the_state_that_counts_is_that_of_the_rules(base: Base) -> None:
    rules = {"Local/{phone}@from-queue/n": "hint:{phone}@hints-of-this-site", "Local/{phone}@agents": "Custom:DND"}
    async with roster(base, msgspec.structs.replace(VIEW, state=rules)) as made:
        await made.declare(VENTAS)
        phones = (
            "LOCAL/1001@from-queue/n",
            "Local/1002@agents",
            "Local/1003@from-queue",
            f"Local/{'9' * 60}@from-queue/n",
        )
        await made.add(*(Member(VENTAS, f"agent {number}", phone) for number, phone in enumerate(phones)))
        assert {str(row[1]): row[3] for row in made.rows()} == {
            phones[0]: "hint:1001@hints-of-this-site",
            phones[1]: "Custom:DND",
            phones[2]: "",
        }, "what Asterisk would cut is left out"


MAP = {"SIP/1": "Local/", "SIP/": "PJSIP/", "IAX2/": "PJSIP/", "Agent/": "SIP/"}


@pytest.mark.parametrize("mapping", [MAP, {"SIP/": "PJSIP/", "PJSIP/": "SIP/"}, dict(reversed(MAP.items()))])
async def test_it_shows_what_is_delivered_to_a_server_of_the_same_rules(base: Base, mapping: dict[str, str]) -> None:
    state = {"Local/{phone}@agents": "PJSIP/{phone}", "PJSIP/{phone}": f"hint:{{phone}}@{'h' * 40}"}
    phones = (
        "SIP/2001",
        "sip/2002",
        "PJSIP/2001",
        "pjsip/2002",
        "IAX2/2001",
        "iax2/2003",
        "SIP/2003",
        "Agent/2001",
        "SIP/1",
        "SIP/1a@agents",
        "Local/a@agents",
        f"SIP/{'2' * 73}",
        f"SIP/{'2' * 74}",
        f"PJSIP/{'2' * 35}",
        f"SIP/{'2' * 34}",
    )
    rules = PhoneRules(mapping, state)
    async with roster(base, msgspec.structs.replace(VIEW, mapping=mapping, state=state)) as made:
        await made.declare(VENTAS, "POWER<-")
        await made.add(Member("POWER<-", "ana", "PJSIP/2001"))
        for seed in range(5):
            names = [f"Ñ {place}" for place in range(len(phones))]
            random.Random(seed).shuffle(names)
            members = [Member(VENTAS, name, phone) for name, phone in zip(names, phones, strict=True)]
            await made.add(*members)
            share = Demand(members, rules).shares[fold(VENTAS)]
            assert len(share.members) < len(members)
            assert {row[1:4] for row in made.rows()} == {
                (one.interface, one.member.membername, one.state_interface) for one in share.members.values()
            }
            gone = sorted(one.member.membername for one in share.members.values())[::2]
            await made.service.remove(OPERATOR, VENTAS, gone, Source.API)
            share = Demand((one for one in members if one.membername not in gone), rules).shares[fold(VENTAS)]
            assert {row[1:4] for row in made.rows()} == {
                (one.interface, one.member.membername, one.state_interface) for one in share.members.values()
            }


async def test_what_asterisk_writes_lands_on_who_has_the_phone(base: Base) -> None:
    async with roster(base, msgspec.structs.replace(VIEW, mapping={"SIP/": "PJSIP/"})) as made:
        await made.declare(VENTAS)
        other = Member(VENTAS, "eva", "PJSIP/1001", penalty=1)
        await made.add(ANA, other)
        made.write("paused", 1)
        made.write("penalty", 8)
        other = msgspec.structs.replace(other, paused=True, penalty=8)
        assert await made.service.members(OPERATOR, VENTAS) == [ANA, other]
        await made.service.remove(OPERATOR, VENTAS, ["eva"], Source.API)
        made.write("paused", 1)
        assert await made.service.members(OPERATOR, VENTAS) == [msgspec.structs.replace(ANA, paused=True)]


async def test_each_server_has_a_view_of_its_own_and_another_row_for_another_name_of_a_phone(base: Base) -> None:
    mapped = msgspec.structs.replace(VIEW, name="members_of_pbx2", mapping={"SIP/": "PJSIP/"})
    show = "SELECT interface, uniqueid FROM {} WHERE queue_name = 'Ventas->'"
    async with roster(base, VIEW, mapped) as made:
        await made.declare(VENTAS)
        await made.add(ANA)
        uniqueid = made.uniqueid()
        ((interface, there),) = base.administer(show.format(mapped.name))
        assert interface == "PJSIP/1001"
        assert there != uniqueid
    other = msgspec.structs.replace(mapped, mapping={"SIP/1": "PJSIP/1", "IAX2/": "SIP/"})
    async with roster(base, VIEW, other) as made:
        assert made.uniqueid() == uniqueid
        assert base.administer(show.format(other.name)) == [(interface, there)], "it is called the same"


async def test_it_is_made_anew_where_it_has_to_be_another_and_keeps_its_rights(base: Base) -> None:
    async with roster(base) as made:
        await made.declare(VENTAS)
        await made.add(ANA)
    assert missing_views(base.url, [VIEW]) == []
    other = msgspec.structs.replace(VIEW, campaigns=("POWER*",))
    assert missing_views(base.url, [other]) == [VIEW.name]
    store = await asyncio.to_thread(open_store, base.url, views=[other])
    await store.close()
    assert missing_views(base.url, [other]) == []
    assert Roster(base, store).rows() == [], "without another grant"


async def test_a_roster_from_before_is_in_it(base: Base) -> None:
    store = await asyncio.to_thread(open_store, base.url)
    made = Roster(base, store)
    await made.declare(VENTAS)
    await made.add(ANA)
    await store.close()
    async with roster(base) as made:
        assert len(made.rows()) == 1


async def test_what_other_servers_read_is_left_over_and_goes_when_asked(base: Base) -> None:
    mapped = msgspec.structs.replace(VIEW, name="members_of_pbx2", mapping={"SIP/": "PJSIP/"})
    async with roster(base, VIEW, mapped) as made:
        await made.declare(VENTAS)
        await made.add(ANA, Member(VENTAS, "eva", "PJSIP/1001"))
        rows, entries = made.rows(), await made.service.journal(OPERATOR)
        assert leftover_parts(base.url, [VIEW, mapped]) == []
        left = leftover_parts(base.url, [VIEW])
        assert left[0] == Part("view", mapped.name)
        assert leftover_parts(base.url, [VIEW]) == left, "a look removes nothing"
        assert leftover_parts(base.url, [VIEW], remove=True) == left
        assert leftover_parts(base.url, [VIEW], remove=True) == []
        assert made.rows() == rows
        made.base.execute(f"UPDATE queue_members SET paused = '1' WHERE uniqueid = '{rows[0][6]}'")
        assert len(leftover_parts(base.url, [], remove=True)) > 2
        assert leftover_parts(base.url, []) == []
        await made.add(msgspec.structs.replace(ANA, penalty=9))
        assert (await made.service.journal(OPERATOR))[: len(entries)] == entries
    async with roster(base, VIEW, mapped) as made:
        assert len(made.rows()) == 2
        assert len(base.administer(f"SELECT * FROM {mapped.name}")) == 1, "it is made again as it was"


@pytest.mark.parametrize("name", ["members", "mine"])
async def test_a_name_that_means_something_else_is_left_alone(base: Base, name: str) -> None:
    store = await asyncio.to_thread(open_store, base.url)
    await store.close()
    base.administer("CREATE TABLE mine (id int)")
    with pytest.raises(errors.InvalidSetting):
        await asyncio.to_thread(open_store, base.url, views=[msgspec.structs.replace(VIEW, name=name)])


async def test_asterisk_does_not_wait_for_long(postgresql: PrivatePostgresql) -> None:
    base = PostgresqlBase(postgresql, f"view_{next(_names)}")
    async with roster(base) as made:
        await made.declare(VENTAS)
        await made.add(ANA)
        refused = threading.Event()

        def hold(_: Transaction) -> None:
            assert refused.wait(30)

        holding = asyncio.create_task(made.store.write(hold))
        with pytest.raises(psycopg.errors.LockNotAvailable):
            await asyncio.to_thread(_until_held, made)
        refused.set()
        await holding
        assert await made.service.members(OPERATOR, VENTAS) == [ANA]
        made.write("paused", 1)
        assert await made.service.members(OPERATOR, VENTAS) == [msgspec.structs.replace(ANA, paused=True)]


def _until_held(made: Roster) -> None:
    """Write nothing new, again and again, until the store is held: a write is refused then."""
    while True:
        made.write("penalty", ANA.penalty)
