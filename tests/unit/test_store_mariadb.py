"""What is particular to the store in MariaDB: its URL, its server, what is lost on the way, and other nodes."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pymysql
import pytest

from plantel import errors
from plantel.plan import Claim
from plantel.ports import Transaction
from plantel.roster import Member
from plantel.store import check_rights, open_store, schema, shown
from plantel.store.mariadb import connection as hot
from plantel.store.mariadb import database as mariadb_database
from plantel.store.mariadb.connection import translated
from plantel.store.mariadb.database import MariadbDatabase
from plantel.store.migrations import upgrade
from plantel.store.store import SqlStore
from plantel.testing.mariadb import PrivateMariadb
from tests.support.rosters import a_batch, added, declared, roster
from tests.support.tls import Certificate, make_certificate

pytestmark = pytest.mark.anyio

ANA = Member("Ventas->", "Ana", "SIP/1001")
BEA = Member("Ventas->", "Bea", "SIP/1002")


@pytest.fixture
async def opened(mariadb_url: str) -> AsyncIterator[SqlStore]:
    opened = open_store(mariadb_url)
    await opened.write(declared("Ventas->"))
    yield opened
    await opened.close()


# --- the URL ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://", "must be mariadb://USER"),
        ("mariadb://localhost/plantel", "must be mariadb://USER"),
        ("mariadb://plantel@localhost", "must be mariadb://USER"),
        ("mariadb://plantel:s3cret@localhost:x/plantel", "must be mariadb://USER"),
        ("mariadb://plantel:very@s3cret@localhost/plantel", "must be mariadb://USER"),
        ("mariadb://plantel:s3cret@localhost/plantel?sslca=x", "nearest is ssl_ca"),
        ("mariadb://plantel:s3cret@localhost/plantel?ssl_cert=x", "need ssl_ca"),
        ("mariadb://plantel:s3cret@localhost/plantel?ssl_ca=/nowhere.pem", "No such file"),
    ],
)
def test_urls_that_are_no_use(url: str, reason: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=rf"store\.url: .*{reason}") as refused:
        open_store(url)
    assert "s3cret" not in refused.value.say("es")


async def test_through_the_servers_socket(mariadb: PrivateMariadb, mariadb_url: str) -> None:
    name = mariadb_url.rsplit("/", 1)[1]
    mariadb.sql(
        "CREATE USER IF NOT EXISTS local@localhost IDENTIFIED BY 'ñ @:/%'", f"GRANT ALL ON {name}.* TO local@localhost"
    )
    store = open_store(f"mysql://local:%C3%B1%20%40%3A%2F%25@/{name}?unix_socket={mariadb.directory}/socket")
    await store.write(declared("Ventas->"))
    await store.close()


def test_wrong_credentials(mariadb_url: str, mariadb: PrivateMariadb) -> None:
    with pytest.raises(errors.StoreUnavailable, match="Access denied") as refused:
        open_store(mariadb_url.replace(mariadb.password, "wr0ng"))
    assert "wr0ng" not in str(refused.value)


def test_nobody_there() -> None:
    with pytest.raises(errors.StoreUnavailable, match=r"127\.0\.0\.1:1: .*refused"):
        open_store("mariadb://plantel:s3cret@127.0.0.1:1/plantel")


@pytest.mark.parametrize(
    "version",
    ["8.4.3", "5.5.5-10.6.18-MariaDB-log", "5.5.5-10.5.29-MariaDB-0+deb11u1", "9.1.0-mariadb-like", "MariaDB"],
)
def test_servers_that_will_not_do(version: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=r"MariaDB 10\.11 or later is needed"):
        mariadb_database._check_version(version)


@pytest.mark.parametrize("version", ["5.5.5-10.11.19-MariaDB-0+deb12u1", "11.8.2-MariaDB-ubu2404", "12.0.1-MariaDB"])
def test_servers_that_will_do(version: str) -> None:
    mariadb_database._check_version(version)


async def test_over_tls(certificate: Certificate, tmp_path: Path) -> None:
    server = PrivateMariadb()
    for name, path in (("cert", certificate.cert), ("key", certificate.key)):
        copied = server.directory / f"{name}.pem"  # where the server's user may read it
        copied.write_bytes(path.read_bytes())
        copied.chmod(0o644)
        server._options += (f"--ssl-{name}={copied}",)
    with server:
        url = server.make_database()
        server.sql("ALTER USER plantel@'127.0.0.1' REQUIRE SSL")
        await open_store(url).close()  # taken where it is offered
        store = open_store(f"{url}?ssl_ca={certificate.ca}")
        await store.write(declared("Ventas->"))
        await store.close()
        with pytest.raises(errors.StoreUnavailable, match="certificate verify failed"):
            open_store(f"{url}?ssl_ca={make_certificate(tmp_path).ca}")
        server.sql("ALTER USER plantel@'127.0.0.1' REQUIRE NONE")
        server._options = ("--skip-ssl",)
        server.restart()
        with pytest.raises(errors.StoreUnavailable, match="SSL"):
            open_store(f"{url}?ssl_ca={certificate.ca}")


async def test_between_upgrades_four_rights_are_enough(mariadb: PrivateMariadb, mariadb_url: str) -> None:
    name = mariadb_url.rsplit("/", 1)[1]
    await open_store(mariadb_url).close()
    who = "clerk@'127.0.0.1'"
    mariadb.sql(
        f"CREATE USER {who} IDENTIFIED BY 'secret'", f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {who}"
    )
    url = f"mariadb://clerk:secret@127.0.0.1:{mariadb.port}/{name}"
    check_rights(url)
    store = open_store(url)
    await store.write(declared("Ventas->"))
    await store.write(added(ANA))
    async with store.lease("pbx1", 5) as lease:
        lease.check()
    assert await roster(store) == [ANA]
    await store.close()


def test_a_server_that_may_lose_what_it_commits(mariadb: PrivateMariadb, mariadb_url: str) -> None:
    mariadb.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        with pytest.raises(errors.StoreUnavailable, match="innodb_flush_log_at_trx_commit is 2"):
            open_store(mariadb_url)
    finally:
        mariadb.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1")


def test_a_url_is_shown_without_its_password() -> None:
    assert shown("mysql://plantel:s3cret@db:3307/roster?ssl_ca=x") == "mariadb://plantel@db:3307/roster"
    assert shown("mariadb://plantel:s3cret@") == "mariadb://"


# --- the tables ------------------------------------------------------------------------------------------------------


def described(mariadb: PrivateMariadb, url: str) -> dict[str, str]:
    """Every table as MariaDB would make it."""
    name = url.rsplit("/", 1)[1]
    tables = [table for (table,) in mariadb.sql(f"USE {name}", "SHOW TABLES")]
    made = {table: str(mariadb.sql(f"USE {name}", f"SHOW CREATE TABLE `{table}`")[0][1]) for table in tables}
    return {table: statement.replace(" AUTO_INCREMENT=2", "") for table, statement in made.items()}


async def test_a_migrated_store_is_like_a_new_one(mariadb: PrivateMariadb) -> None:
    old, new = mariadb.make_database(), mariadb.make_database()
    with MariadbDatabase(old).engine.connect() as connection, connection.begin():
        schema.alembic_version.create(connection)
        upgrade(connection)
    for url in (old, new):
        store = open_store(url)
        await store.write(declared("Ventas->"))
        assert len(await store.read(lambda transaction: transaction.token_key())) == 32
        await store.close()
    assert described(mariadb, old) == described(mariadb, new)


async def test_every_text_compares_by_code_points_whatever_the_administrator_chose(
    mariadb: PrivateMariadb, opened: SqlStore, mariadb_url: str
) -> None:
    assert mariadb.sql("SELECT @@collation_server") == [("latin1_swedish_ci",)]
    name = mariadb_url.rsplit("/", 1)[1]
    collations = mariadb.sql(
        f"SELECT DISTINCT collation_name, table_name = 'turn' FROM information_schema.columns"
        f" WHERE table_schema = '{name}' AND collation_name IS NOT NULL"
    )
    assert collations == [("utf8mb4_nopad_bin", 0)]


@pytest.mark.parametrize("tables", [1, 5, 11, 12])
async def test_a_creation_that_was_cut_off_is_begun_again(
    mariadb: PrivateMariadb, mariadb_url: str, tables: int
) -> None:
    name = mariadb_url.rsplit("/", 1)[1]
    await open_store(mariadb_url).close()
    complete = described(mariadb, mariadb_url)
    mariadb.sql(f"DELETE FROM {name}.alembic_version")  # it is stamped last
    for table in sorted(complete)[tables:]:
        mariadb.sql(f"DROP TABLE {name}.`{table}`")
    store = open_store(mariadb_url)
    await store.write(declared("Ventas->"))
    await store.close()
    assert described(mariadb, mariadb_url) == complete


async def test_tables_that_hold_something_are_never_taken_away(mariadb: PrivateMariadb, mariadb_url: str) -> None:
    name = mariadb_url.rsplit("/", 1)[1]
    store = open_store(mariadb_url)
    await store.write(declared("Ventas->"))
    await store.close()
    mariadb.sql(f"DELETE FROM {name}.alembic_version")
    with pytest.raises(errors.MigrationFailed, match="already exists"):
        open_store(mariadb_url)
    assert mariadb.sql(f"SELECT name FROM {name}.campaigns") == [("Ventas->",)]


async def test_a_database_of_something_else_is_left_alone(mariadb: PrivateMariadb, mariadb_url: str) -> None:
    name = mariadb_url.rsplit("/", 1)[1]
    mariadb.sql(f"CREATE TABLE {name}.invoices (id INT)")
    with pytest.raises(errors.StoreUnavailable, match="something else"):
        open_store(mariadb_url)
    assert mariadb.sql(f"USE {name}", "SHOW TABLES") == [("invoices",)]


# --- values ----------------------------------------------------------------------------------------------------------


async def test_names_that_are_hard_to_say_in_sql_and_in_json(opened: SqlStore) -> None:
    names = ["a'b", "a''b", 'a"b', "a\\b", "a\\'b", "a\\", "\\", "'", "100%", "%s %d %(a)s", "{x}", "😀 ñ"]
    names += ["e\u0301", "\u00e9", "a", "a  b", "A", "x" * 79, "ñ" * 39]
    members = [Member("Ventas->", name, f"SIP/{number}") for number, name in enumerate(names)]
    await opened.write(added(*members))
    assert await roster(opened) == sorted(members, key=lambda member: member.membername)
    paused = [Member("Ventas->", one.membername, one.interface, 7, True) for one in members]
    await opened.write(added(*paused))
    assert set(await roster(opened)) == set(paused)
    for member in members:
        (line, _) = await opened.read(lambda t, m=member: t.journal("acme", membername=m.membername))  # type: ignore[misc]  # a default
        assert line.change.after == member
    moved = [Member("Ventas->", one.membername, f"PJSIP/{number}") for number, one in enumerate(members)]
    await opened.write(added(*moved))
    assert set(await roster(opened)) == set(moved)


async def test_what_is_longer_than_its_column_is_refused(opened: SqlStore) -> None:
    with pytest.raises(errors.StoreError, match="Data too long for column 'id'"):
        await opened.write(added(ANA, batch=a_batch(name="x" * 256)))
    assert await roster(opened) == []


async def test_rosters_longer_than_a_packet(mariadb: PrivateMariadb, mariadb_url: str) -> None:
    (before,) = mariadb.sql("SELECT @@GLOBAL.max_allowed_packet")[0]
    mariadb.sql(f"SET GLOBAL max_allowed_packet = {2**18}")
    try:
        store = open_store(mariadb_url)
        await store.write(declared("Ventas->", "Cobros"))
        many = [Member(("Ventas->", "Cobros")[n % 2], f"agent {n:05} {'ñ' * 20}", f"IAX2/{n}") for n in range(6000)]
        await store.write(added(*many))
        assert set(await roster(store)) == set(many)
        louder = [Member(one.campaign, one.membername, one.interface, 5) for one in many]
        await store.write(added(*louder))
        found = await store.read(lambda transaction: transaction.members_like("acme", many[::2]))
        assert set(found) == set(louder[::2])
        swapped = [
            Member(a.campaign, a.membername, b.interface) for a, b in zip(many, many[2:] + many[:2], strict=True)
        ]
        await store.write(added(*swapped))
        assert set(await roster(store)) == set(swapped)
        with pytest.raises(errors.StoreError, match="max_allowed_packet"):
            await store.write(lambda t: t.record(a_batch(name="x" * 2**18), []))
        await store.close()
    finally:
        mariadb.sql(f"SET GLOBAL max_allowed_packet = {before}")


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1021, errors.StoreFull),
        (1114, errors.StoreFull),
        (1062, errors.StoreError),
        (1040, errors.StoreUnavailable),
        (1213, errors.StoreUnavailable),
        (1290, errors.StoreUnavailable),
        (2013, errors.StoreUnavailable),
    ],
)
def test_the_words_for_its_errors(code: int, kind: type[errors.StoreError]) -> None:
    known = pymysql.err.error_map.get(code, pymysql.OperationalError)
    found = translated(known(code, "some words"))
    assert type(found) is kind
    assert f"some words ({code})" in str(found)


def test_a_full_disk_by_the_systems_own_words() -> None:
    error = pymysql.OperationalError(1026, 'Error writing file (errno: 28 "No space left on device")')
    assert isinstance(translated(error), errors.StoreFull)
    assert translated(KeyError("something else")) is None


async def test_a_server_that_is_read_only(mariadb: PrivateMariadb, opened: SqlStore) -> None:
    mariadb.sql("SET GLOBAL read_only = ON")
    try:
        with pytest.raises(errors.StoreUnavailable, match="read-only"):
            await opened.write(added(ANA))
        assert await roster(opened) == []
    finally:
        mariadb.sql("SET GLOBAL read_only = OFF")
    await opened.write(added(ANA))
    assert await roster(opened) == [ANA]


async def test_a_transaction_that_the_server_gave_up_fails_the_whole_group(opened: SqlStore) -> None:
    """As a deadlock does: what follows must not be stored bit by bit."""

    def give_up(transaction: Transaction) -> None:
        added(BEA)(transaction)
        transaction._connection._driver.rollback()  # type: ignore[attr-defined]  # as the server does by itself
        with pytest.raises(errors.StoreUnavailable):
            declared("Cobros")(transaction)
        with pytest.raises(errors.StoreUnavailable):
            transaction.members("acme")

    outcomes = await asyncio.gather(
        *(opened.write(work) for work in (added(ANA), give_up, declared("Soporte"))), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [errors.StoreUnavailable] * 3
    assert await roster(opened) == []
    assert set(await opened.write(lambda transaction: set(transaction.campaigns("acme")))) == {"ventas->"}
    assert await opened.write(added(ANA)) == 1


def kill_sessions(mariadb: PrivateMariadb) -> None:
    for (number,) in mariadb.sql("SELECT id FROM information_schema.processlist WHERE user = 'plantel'"):
        with contextlib.suppress(pymysql.MySQLError):  # one may have gone by itself
            mariadb.sql(f"KILL {number}")


async def test_connections_are_made_again(mariadb: PrivateMariadb, opened: SqlStore) -> None:
    await opened.write(added(ANA))
    assert await roster(opened) == [ANA]
    kill_sessions(mariadb)
    assert await opened.write(added(BEA)) == 2
    assert await roster(opened) == [ANA, BEA]


async def test_a_connection_lost_in_the_midst_of_a_unit(mariadb: PrivateMariadb, opened: SqlStore) -> None:
    def work(transaction: Transaction) -> None:
        added(ANA)(transaction)
        kill_sessions(mariadb)
        transaction.members("acme")

    def read(transaction: Transaction) -> int:
        kill_sessions(mariadb)
        return transaction.revision()

    for call in (opened.write(work), opened.read(read)):
        with pytest.raises(errors.StoreUnavailable):
            await call
    assert await roster(opened) == []
    await opened.write(added(BEA))
    assert await roster(opened) == [BEA]


async def test_a_server_that_is_away_and_comes_back(mariadb: PrivateMariadb, opened: SqlStore) -> None:
    await opened.write(added(ANA))
    mariadb.kill()
    for call in (opened.write(added(BEA)), roster(opened)):
        with pytest.raises(errors.StoreUnavailable):
            await call
    with pytest.raises(errors.StoreUnavailable):
        async with opened.lease("pbx1", 5):
            pytest.fail("of whom?")
    mariadb.start()
    assert await roster(opened) == [ANA]
    assert await opened.write(added(BEA)) == 2


async def test_a_server_that_hangs(
    mariadb: PrivateMariadb, opened: SqlStore, mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mariadb_database, "CONNECT_SECONDS", 1)
    store = SqlStore(MariadbDatabase(mariadb_url, statement_seconds=1))
    await store.write(added(ANA))
    mariadb.freeze()
    try:
        for call in (store.write(added(BEA)), roster(store)):
            with pytest.raises(errors.StoreUnavailable, match="timed out"):
                await call
    finally:
        mariadb.thaw()
    assert await roster(store) == [ANA]
    await store.write(added(BEA))
    assert await roster(store) == await roster(opened) == [ANA, BEA]
    await store.close()


async def test_what_was_answered_survives_the_servers_end(mariadb: PrivateMariadb, opened: SqlStore) -> None:
    """The server is killed while adds are under way; each that was answered is there, each that failed may be."""
    answered: list[Member] = []
    for turn in range(3):
        enough = asyncio.Event()
        goal = len(answered) + 200

        async def add(number: int, turn: int = turn, goal: int = goal, enough: asyncio.Event = enough) -> None:
            while True:
                member = Member("Ventas->", f"{turn}-{number}-{len(answered)}", f"SIP/{turn}-{number}-{len(answered)}")
                await opened.write(added(member))
                answered.append(member)
                if len(answered) >= goal:
                    enough.set()

        tasks = [asyncio.create_task(add(number)) for number in range(16)]
        async with asyncio.timeout(60):
            await enough.wait()
        await asyncio.to_thread(mariadb.kill)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {errors.StoreUnavailable}
        await asyncio.to_thread(mariadb.start)
        there = set(await roster(opened))
        assert set(answered) <= there
        assert len(there) <= len(answered) + 16 * (turn + 1)
        journal = await opened.read(lambda transaction: transaction.journal("acme", limit=10**6))
        assert {entry.change.after for entry in journal} == there
        assert [entry.revision for entry in journal] == list(range(1, len(journal) + 1))


# --- other nodes -----------------------------------------------------------------------------------------------------


async def test_a_node_that_stops_in_the_midst_of_a_unit_keeps_others_waiting_for_a_while_only(
    opened: SqlStore, mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mariadb_database, "IDLE_SECONDS", 1)
    stopped = open_store(mariadb_url)

    def stop(transaction: Transaction) -> None:
        added(ANA)(transaction)
        transaction.members("acme")
        begun.set()
        assert released.wait(30)

    begun, released = threading.Event(), threading.Event()
    held = asyncio.create_task(stopped.write(stop))
    assert await asyncio.to_thread(begun.wait, 30)
    await opened.write(added(BEA))
    released.set()
    with pytest.raises(errors.StoreUnavailable):
        await held
    assert await roster(opened) == [BEA]
    await stopped.close()


async def test_a_node_that_falls_silent_within_a_statement_keeps_others_waiting_for_a_while_only(
    opened: SqlStore, mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the server it is at work then, as it may be with a large statement that the network has cut in two."""
    monkeypatch.setattr(mariadb_database, "IDLE_SECONDS", 1)
    silent = MariadbDatabase(mariadb_url)._dial(5)
    with silent.cursor() as cursor:
        cursor.execute("START TRANSACTION; SELECT version FROM turn FOR UPDATE")
        cursor.nextset()
    assert silent._sock is not None
    silent._sock.sendall((1000).to_bytes(3, "little") + b"\x00\x03SELECT")  # the first of 1,000 bytes
    async with asyncio.timeout(mariadb_database.LOCK_SECONDS):
        await opened.write(added(BEA))
    silent.close()


async def test_a_node_that_is_silent_loses_its_lease_and_knows(
    opened: SqlStore, mariadb: PrivateMariadb, mariadb_url: str
) -> None:
    other = open_store(mariadb_url)
    async with opened.lease("pbx1", 5) as lease:
        lease.check()
        kill_sessions(mariadb)
        async with other.lease("pbx1", 5) as taken:
            taken.check()
            async with asyncio.timeout(30):
                while True:
                    try:
                        lease.check()
                    except errors.LeaseLost:
                        break
                    await asyncio.sleep(0.01)
    await other.close()


async def test_a_server_started_anew_gives_no_lease_before_those_it_forgot_have_ended(
    opened: SqlStore, mariadb: PrivateMariadb, mariadb_url: str
) -> None:
    other = open_store(mariadb_url)
    async with opened.lease("pbx1", 20) as lease:
        await asyncio.to_thread(mariadb.kill)
        await asyncio.to_thread(mariadb.start)
        async with other.lease("pbx1", 20):
            with pytest.raises(errors.LeaseLost):
                lease.check()
    await other.close()


async def test_the_hot_statements_use_an_index(opened: SqlStore) -> None:
    """They find members and ledger lines by key, though there are no statistics to guide the optimiser."""
    crew = [Member("Ventas->", f"agent {n}", f"SIP/{n}") for n in range(2000)]
    claims = [Claim(one.campaign, one.interface, True, False) for one in crew]
    await opened.write(added(*crew))
    await opened.write(lambda t: t.put_claims("acme", "pbx1", claims))
    values = {
        b"rows": b"'[]'",
        b"campaign": 1,
        b"campaigns": b"1,2",
        b"membername": b"'x'",
        b"most": 9,
        b"instance": b"'acme'",
        b"server": b"'pbx1'",
        b"queue": b"'a'",
        b"phone": b"'b'",
        b"more": b"",
        b"revision": 9,
    }

    def explain(transaction: Transaction) -> None:
        driver = transaction._connection._driver  # type: ignore[attr-defined]  # white-box
        for statement in (
            hot._LIKE,
            hot._FIRST,
            hot._PLACE_NEW,
            hot._OF,
            hot._CLAIMS,
            hot._UPDATE,
            hot._VACATE,
            hot._DISCLAIM,
            hot._FORGET_PAUSES,
            hot._AFTER,
            hot._UNDONE,
        ):
            with driver.cursor(pymysql.cursors.DictCursor) as cursor:
                cursor.execute(b"EXPLAIN " + statement % values)
                steps = [
                    step
                    for step in cursor.fetchall()
                    if step["table"] in {"m", "c", "members", "claims", "j", "journal"}
                ]
            assert steps
            for step in steps:
                assert step["key"] is not None, step
                by_group = "Using index for group-by" in (step["Extra"] or "")
                assert step["type"] not in {"ALL", "index"} or by_group, step

    await opened.write(explain)
