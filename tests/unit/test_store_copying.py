"""A roster is copied whole, or not at all."""

import json
import select
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from plantel import errors
from plantel.access import Role, Token, User
from plantel.batch import Problem
from plantel.drift import Done, DriftRecord, Route
from plantel.plan import Claim, DriftKind
from plantel.ports import Store, Transaction
from plantel.roster import Campaign, Member
from plantel.store import copying, open_store
from plantel.store.copying import copy_store
from plantel.store.mariadb import database as mariadb_database
from plantel.store.mariadb.connection import Driver
from plantel.store.opening import open_database
from plantel.store.postgresql import connection as postgresql_connection
from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql
from tests.support.rosters import NOON, a_batch, added, declared, removed
from tests.support.server import PlantelServer

pytestmark = pytest.mark.anyio

HARD = ("José Ñandú", "Ventas & Cobros", "Línea 100%", "A+B", "POWER<-", "a'b\"\\")
CREW = [Member(name, f"agent '{n}' \\", f"SIP/{n}", n % 7, n % 2 == 0) for name in HARD for n in range(400)]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, another than `store_url`."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/target.db"
    if request.param == "postgresql":
        postgresql: PrivatePostgresql = request.getfixturevalue("postgresql")
        return postgresql.database(f"target_{tmp_path.name}"[:60].lower())
    mariadb: PrivateMariadb = request.getfixturevalue("mariadb")
    return mariadb.make_database()


async def fill(store: Store) -> None:
    """Something in every table, and in every column that may be empty."""
    await store.write(declared(*HARD))
    await store.write(declared("Ventas->", instance="globex"))
    await store.write(added(*CREW))
    await store.write(added(*(Member(one.campaign, one.membername, one.interface, 9) for one in CREW[:50])))
    await store.write(added(Member("A+B", CREW[0].membername, "PJSIP/moved")))
    await store.write(removed(CREW[-1]))
    problems = [Problem("name_too_long", 4, "membername", {"most": 79, "size": 80}), Problem("not_json")]
    await store.write(lambda t: t.record(a_batch(problems=problems), []))

    def rest(transaction: Transaction) -> None:
        transaction.add_campaign(Campaign("acme", "gone"))
        transaction.remove_campaign("acme", "gone")
        transaction.put_user(User("acme", "eva", "$argon2id$ñ", Role.ADMIN, ("Ventas*",), NOON))
        transaction.add_token(Token("acme", "robot", b"\x00\xff'", Role.READER, (), NOON))
        expiring = Token("acme", "eva", b"d", Role.INTEGRATOR, ("Ñ?",), NOON, NOON + timedelta(days=1), "eva")
        transaction.add_token(expiring)
        claims = [Claim("A+B", "SIP/1", True, None), Claim("A+B", "sip/2", False, True, 3, "", "eva")]
        transaction.put_claims("acme", "pbx1", claims)
        kind = DriftKind.PENALTY
        drift = DriftRecord(NOON, "pbx1", "A+B", "Ana", "SIP/1", kind, "0", "7", Route.EVENT, Done.REPAIRED)
        transaction.add_drifts("acme", [drift])

    await store.write(rest)


def everything(transaction: Transaction) -> object:
    return [
        transaction.token_key(),
        transaction.revision(),
        [
            [
                dict(transaction.campaigns(instance)),
                transaction.members(instance),
                transaction.batches(instance, 10**6),
                transaction.journal(instance, limit=10**6),
                transaction.members_at(instance, NOON),
                transaction.tokens(instance),
                transaction.users(instance),
                transaction.claims(instance, "pbx1"),
                transaction.drifts(instance),
            ]
            for instance in ("acme", "globex")
        ],
    ]


def ignored(_table: str, _done: int, _total: int) -> None:
    pass


async def test_a_copy_is_the_same_and_goes_on(store_url: str, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_CHUNK", 300)
    source = open_store(store_url)
    await fill(source)
    seen: list[tuple[str, int, int]] = []
    copied = copy_store(store_url, target, lambda *progress: seen.append(progress))
    assert {one.table: one.rows for one in copied}["members"] == len(CREW) - 1
    assert all(done <= total for _, done, total in seen)
    assert {table for table, done, total in seen if done == total} == {one.table for one in copied if one.rows}

    made = open_store(target)
    assert await made.read(everything) == await source.read(everything)
    again = Member("A+B", "New", "SIP/new")
    for store in (source, made):
        await store.write(declared("New"))
        await store.write(added(again, batch=a_batch(name="the next")))
        await store.write(lambda t: t.add_token(Token("acme", "new", b"n", Role.READER, (), NOON)))
        drift = DriftRecord(NOON, "pbx1", "A+B", "", "", DriftKind.REMOVED, "", "", Route.RESTART, Done.REPAIRED, 4)
        await store.write(lambda t, d=drift: t.add_drifts("acme", [d]))  # type: ignore[misc]  # a default
    assert await made.read(everything) == await source.read(everything)
    await made.close()
    await source.close()


async def test_a_database_that_holds_something_is_left_as_it_is(store_url: str, target: str) -> None:
    source, holding = open_store(store_url), open_store(target)
    await fill(source)
    await holding.write(declared("Ventas->"))
    before = await holding.read(everything)
    with pytest.raises(errors.StoreNotEmpty) as refused:
        copy_store(store_url, target, ignored)
    password = make_url(target).password
    assert password is None or password not in str(refused.value)
    assert await holding.read(everything) == before
    await holding.close()
    await source.close()


async def test_a_copy_that_is_broken_off_leaves_nothing(store_url: str, target: str) -> None:
    source, made = open_store(store_url), open_store(target)
    await fill(source)
    before = await made.read(everything)

    def break_off(table: str, done: int, total: int) -> None:
        if table == "members" and done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_store(store_url, target, break_off)
    assert await made.read(everything) == before
    copy_store(store_url, target, ignored)
    assert await made.read(everything) == await source.read(everything)
    await made.close()
    await source.close()


@pytest.mark.parametrize("kinds", [("mariadb", "postgresql"), ("postgresql", "mariadb")], ids="-".join)
async def test_each_side_waits_while_the_other_is_at_work(
    kinds: tuple[str, str],
    postgresql: PrivatePostgresql,
    postgresql_url: str,
    mariadb_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mariadb_database, "IDLE_SECONDS", 1)
    limit = f"ALTER DATABASE {make_url(postgresql_url).database} SET idle_in_transaction_session_timeout = '300ms'"
    postgresql.execute(limit)
    monkeypatch.setitem(postgresql_connection._WRITER, "idle_in_transaction_session_timeout", "300ms")
    urls = {"postgresql": postgresql_url, "mariadb": mariadb_url}
    source, target = (urls[kind] for kind in kinds)
    filled = open_store(source)
    await fill(filled)

    def outlast(table: str, _done: int, _total: int) -> None:
        """Return once each server has ended a session that was as silent meanwhile."""
        if table == "campaigns":
            for url in urls.values():
                until_ended(url)

    copy_store(source, target, outlast)
    made = open_store(target)
    assert await made.read(everything) == await filled.read(everything)
    await made.close()
    await filled.close()


def until_ended(url: str) -> None:
    """Begin a transaction as any node does, and return once the server has ended it for its silence."""
    silent = open_database(url).connect(writable=True)
    silent.core.exec_driver_sql("BEGIN")
    driver = silent.core.connection.driver_connection
    assert isinstance(driver, Driver | psycopg.Connection)
    poll = select.poll()
    poll.register(driver.descriptor if isinstance(driver, Driver) else driver.fileno(), select.POLLIN)
    assert poll.poll(30_000), "the server let it be silent for half a minute"
    silent.close()


async def test_a_source_that_is_no_store(store_url: str, target: str, tmp_path: Path) -> None:
    with pytest.raises(errors.StoreUnavailable, match=r"SOURCE .*: there is no store of Plantel"):
        copy_store(store_url, target, ignored)
    assert not (tmp_path / "plantel.db").exists()


def test_the_command(plantel_server: PlantelServer, mariadb_url: str) -> None:
    source = f"sqlite:///{plantel_server.folder}/plantel.db"
    told = json.loads(plantel_server.run("store", "copy", source, mariadb_url, "--json"))
    rows = {table["table"]: table["rows"] for table in told["tables"]}
    assert rows["keys"] == 1
    assert rows["campaigns"] >= 5
    again = plantel_server.outcome("store", "copy", source, mariadb_url, lang="es")
    assert again.returncode == 1
    assert "ya contiene algo" in again.stderr
    assert "[store_not_empty]" in again.stderr
