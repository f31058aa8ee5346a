"""What is particular to the store in PostgreSQL: the server that goes away and comes back, and what it may not hide."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from plantel import errors
from plantel.access import Role, User
from plantel.ports import Lease, Transaction
from plantel.roster import Member
from plantel.store import open_store, session_lease, shown
from plantel.store.postgresql import connection as postgresql
from plantel.store.postgresql import database as postgresql_database
from plantel.store.store import SqlStore
from plantel.testing.postgresql import PrivatePostgresql
from tests.support.rosters import NOON, added, declared, roster

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]

ANA = Member("Ventas->", "Ana", "SIP/1001")
BEA = Member("Ventas->", "Bea", "SIP/1002")


@pytest.fixture
async def opened(postgresql_url: str) -> AsyncIterator[SqlStore]:
    opened = open_store(postgresql_url)
    await opened.write(declared("Ventas->"))
    yield opened
    await opened.close()


@pytest.fixture
def server() -> Iterator[PrivatePostgresql]:
    """A server of the test's own, to be ended and started again."""
    with PrivatePostgresql() as server:
        yield server


@pytest.fixture
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_lease, "LEASE_SECONDS", 1.5)
    monkeypatch.setattr(session_lease, "VALID_SECONDS", 1.0)
    monkeypatch.setattr(session_lease, "BEAT_SECONDS", 0.2)


def ends_sessions(server: PrivatePostgresql, url: str) -> None:
    """As an administrator does, or a server that is shut down."""
    server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", url.rpartition("/")[2])


class Blocker:
    """A unit that stays in its transaction until it is let go."""

    def __init__(self) -> None:
        self._begun = threading.Event()
        self.go = threading.Event()

    def __call__(self, transaction: Transaction) -> None:
        added(BEA)(transaction)
        self._begun.set()
        assert self.go.wait(30)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, 30)


# --- opening ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:geheim%zz@h/d",
        "postgresql://u:geheim@h/d?nonsense=1&password=geheim",
        "postgresql://u:sehr@geheim@h/d",
        "postgresql://u:geheim/sehr@h/d",
    ],
)
def test_a_url_that_is_wrong_is_not_repeated(url: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=r"store\.url: must be postgresql://") as caught:
        open_store(url)
    assert "geheim" not in str(caught.value)
    assert caught.value.__context__ is None
    assert "geheim" not in shown(url)


@pytest.mark.parametrize(
    ("url", "people"),
    [
        (
            "postgresql://ana:geheim@db.example:5433/plantel?sslmode=verify-full",
            "postgresql://ana@db.example:5433/plantel",
        ),
        ("postgresql://ana:ge%40heim@a:1,b:2/plantel", "postgresql://ana@a:1,b:2/plantel"),
        ("postgresql:///plantel?host=/run/postgresql&password=geheim", "postgresql:///run/postgresql/plantel"),
        ("sqlite:////var/lib/plantel.db", "sqlite:////var/lib/plantel.db"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, people: str) -> None:
    assert shown(url) == people


def test_what_is_wrong_with_the_database_is_told(postgresql: PrivatePostgresql, postgresql_url: str) -> None:
    cases = {
        postgresql.url("nowhere"): 'database "nowhere" does not exist',
        postgresql.url("postgres").replace(postgresql.password, "wrong"): "password authentication failed",
        postgresql_url.replace(str(postgresql.port), "1"): "Connection refused",
    }
    for url, reason in cases.items():
        with pytest.raises(errors.StoreUnavailable, match=reason) as caught:
            open_store(url)
        assert postgresql.password not in str(caught.value)


def test_a_database_that_cannot_keep_an_answer_is_refused(
    postgresql: PrivatePostgresql, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(postgresql_database, "OLDEST", 990000)
        with pytest.raises(errors.StoreUnavailable, match="too old"):
            open_store(postgresql_url)
    name = postgresql_url.rpartition("/")[2]
    latin = f"{name}_latin"
    postgresql.execute(f"CREATE DATABASE {latin} OWNER plantel TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(errors.StoreUnavailable, match="encoding is LATIN1"):
        open_store(postgresql.url(latin))
    postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(errors.StoreUnavailable, match="read-only"):
        open_store(postgresql_url)


def test_a_server_that_does_not_write_to_disk_is_refused() -> None:
    with PrivatePostgresql({"fsync": "off"}) as server, pytest.raises(errors.StoreUnavailable, match="fsync is off"):
        open_store(server.database("plantel"))


async def test_an_answer_means_durable_whatever_the_database_is_set_to(
    postgresql: PrivatePostgresql, postgresql_url: str
) -> None:
    postgresql.execute(f"ALTER DATABASE {postgresql_url.rpartition('/')[2]} SET synchronous_commit = off")
    opened = open_store(postgresql_url)
    setting = await opened.write(lambda t: t._connection._rows("SHOW synchronous_commit"))  # type: ignore[attr-defined]
    assert setting == [("on",)]
    await opened.close()


# --- names -----------------------------------------------------------------------------------------------------------


async def test_members_come_in_the_order_of_code_points(opened: SqlStore) -> None:
    names = ["Zoe", "ana", "Ana", "Ñu", "a b", "ab", "Éva", "éva", "_x", '"q"', "back\\slash", "{}", "NULL"]
    await opened.write(added(*(Member("Ventas->", name, f"SIP/{place}") for place, name in enumerate(names))))
    assert [member.membername for member in await roster(opened)] == sorted(names)


async def test_a_name_that_no_text_of_the_database_can_hold_is_not_found(opened: SqlStore) -> None:
    await opened.write(lambda t: t.put_user(User("acme", "ana", "hash", Role.ADMIN, (), NOON)))
    assert await opened.read(lambda t: t.user("acme", "ana\0")) is None
    assert await opened.write(lambda t: t.token("acme", "ana\0", b"digest")) is None


async def test_the_hot_statements_use_an_index(opened: SqlStore) -> None:
    """Though the table is empty when they are planned, and there are no statistics."""

    def plans(transaction: Transaction) -> list[str]:
        rows = transaction._connection._rows  # type: ignore[attr-defined] # white-box
        return [
            "\n".join(row[0] for row in rows(f"EXPLAIN {statement}", values))
            for statement, values in (
                (postgresql._LIKE, ("{1}", "{a}", "{b}")),
                (postgresql._UPDATE, ("{1}", "{a}", "{b}", "{1}", "{t}")),
                (postgresql._VACATE, (1, "{a}")),
                (postgresql._FIRST, ("{1}", "{10}")),
                (postgresql._PLACE_NEW, (9,)),
                (postgresql._OF, ("{1}",)),
                (postgresql._FORGET_PAUSES, ("{a}", "{b}", "{c}")),
                (postgresql._DISCLAIM, ("a", "b", "c", ["d"])),
                (postgresql._AFTER, ("{1}", 9)),
                (postgresql._UNDONE, (9, "{1}")),
            )
        ]

    for plan in await opened.write(plans):
        assert "Index" in plan
        assert "Seq Scan" not in plan


# --- a server that goes away -----------------------------------------------------------------------------------------


async def test_connections_that_the_server_ended_are_made_again(
    opened: SqlStore, postgresql: PrivatePostgresql, postgresql_url: str
) -> None:
    await opened.write(added(ANA))
    assert await roster(opened) == [ANA]
    ends_sessions(postgresql, postgresql_url)
    assert await roster(opened) == [ANA]
    assert await opened.write(added(BEA)) == 2


async def test_a_unit_under_way_fails_with_the_connection_and_leaves_nothing(
    opened: SqlStore, postgresql: PrivatePostgresql, postgresql_url: str
) -> None:
    blocker = Blocker()
    under_way = asyncio.ensure_future(opened.write(blocker))
    await blocker.begun()
    ends_sessions(postgresql, postgresql_url)
    blocker.go.set()
    with pytest.raises(errors.StoreUnavailable):
        await under_way
    assert await opened.write(added(ANA)) == 1
    assert await roster(opened) == [ANA]


async def test_a_node_that_stops_within_a_transaction_keeps_the_others_out_for_a_while_only(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgresql._WRITER, "idle_in_transaction_session_timeout", "300ms")
    stopped, other = open_store(postgresql_url), open_store(postgresql_url)
    await other.write(declared("Ventas->"))
    blocker = Blocker()
    under_way = asyncio.ensure_future(stopped.write(blocker))
    await blocker.begun()
    assert await other.write(added(ANA)) == 1
    blocker.go.set()
    with pytest.raises(errors.StoreUnavailable):
        await under_way
    assert await stopped.write(added(BEA)) == 2
    await stopped.close()
    await other.close()


async def test_a_node_that_falls_silent_within_a_pipeline_is_ended_by_whoever_waits(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For such a session the server has no deadline: it waits for the rest, with the lock."""
    monkeypatch.setitem(postgresql._WRITER, "lock_timeout", "300ms")
    monkeypatch.setattr(postgresql, "_END_SILENT", postgresql._END_SILENT.replace("'5 s'", "'0.1 s'"))
    store = open_store(postgresql_url)
    await store.write(declared("Ventas->"))
    silent = psycopg.connect(postgresql_url, autocommit=True)
    with suppress(psycopg.OperationalError), silent.pipeline():  # when it goes on it finds that it was ended
        silent.execute("BEGIN")
        silent.execute(f"SELECT pg_advisory_xact_lock({postgresql.WRITE_LOCK})")
        await _until(lambda: store.read(_lock_is_held))
        assert await store.write(added(ANA)) == 1
    silent.close()
    await store.close()


def _lock_is_held(transaction: Transaction) -> bool:
    asked = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = %s AND granted"
    return bool(transaction._connection._rows(asked, (postgresql.WRITE_LOCK & 0xFFFFFFFF,)))  # type: ignore[attr-defined]


async def _load(store: SqlStore, stop: asyncio.Event) -> set[Member]:
    """Add from many tasks, also while the server is away; what was answered."""
    answered: set[Member] = set()
    numbers = itertools.count()

    async def task() -> None:
        while not stop.is_set():
            number = next(numbers)
            member = Member("Ventas->", f"agent {number}", f"SIP/{number}")
            try:
                await store.write(added(member))
            except errors.StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                answered.add(member)

    await asyncio.gather(*(task() for _ in range(16)))
    return answered


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_nothing_that_was_answered_is_lost_with_the_server(server: PrivatePostgresql, end: str) -> None:
    store = open_store(server.database("plantel"))
    await store.write(declared("Ventas->"))
    stop = asyncio.Event()
    load = asyncio.ensure_future(_load(store, stop))
    for least in (20, 40, 60):
        await _until(partial(_reached, store, least))
        await asyncio.to_thread(getattr(server, end))
        await asyncio.to_thread(server.start)
        await _until(lambda: _answers(store))
    stop.set()
    answered = await load
    members = set(await roster(store))
    journal = await store.read(lambda t: t.journal("acme", limit=10**9))
    assert len(answered) >= 60
    assert answered <= members
    assert {line.change.after for line in journal} == members
    assert [line.revision for line in journal] == sorted({line.revision for line in journal})
    await store.close()


async def _until(asked: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again: nothing announces what becomes of a server."""
    async with asyncio.timeout(30):
        while True:
            if await asked():
                return
            await asyncio.sleep(0.02)


async def _reached(store: SqlStore, revision: int) -> bool:
    return await store.read(lambda transaction: transaction.revision()) >= revision


async def _answers(store: SqlStore) -> bool:
    try:
        await store.write(lambda t: t.revision())
    except errors.StoreUnavailable:
        return False
    return True


async def test_a_commit_whose_wait_for_standbys_is_cut_short_is_no_answer(server: PrivatePostgresql) -> None:
    store = open_store(server.database("plantel"))
    await store.write(declared("Ventas->"))
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    server.execute("SELECT pg_reload_conf()")
    await asyncio.to_thread(server.restart)
    waiting = asyncio.ensure_future(store.write(added(ANA)))
    cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    await _until(lambda: asyncio.to_thread(server.execute, cancel))
    with pytest.raises(errors.StoreUnavailable, match="canceling wait for synchronous replication"):
        await waiting
    server.execute("ALTER SYSTEM RESET synchronous_standby_names")
    await asyncio.to_thread(server.restart)
    await store.close()


async def test_other_nodes_are_told_of_a_commit_at_once_and_nobody_of_his_own(postgresql_url: str) -> None:
    one, other = open_store(postgresql_url), open_store(postgresql_url)
    await one.write(declared("Ventas->"))
    for store in (one, other):
        await store.wait_elsewhere(0.01)  # from now on it listens
    waiting = [asyncio.ensure_future(store.wait_elsewhere(60)) for store in (one, other)]
    await one.write(added(ANA))
    async with asyncio.timeout(30):
        await waiting[1]
        assert not waiting[0].done()
        await other.write(added(BEA))
        await waiting[0]
    await one.close()
    await other.close()


# --- leases ----------------------------------------------------------------------------------------------------------


async def _gone(lease: Lease) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                lease.check()
            except errors.LeaseLost:
                return
            await asyncio.sleep(0.02)


HOLDER = """
import asyncio, sys
from plantel import errors
from plantel.store import open_store, session_lease as lease

lease.LEASE_SECONDS, lease.VALID_SECONDS, lease.BEAT_SECONDS = 1.5, 1.0, 0.2

async def main():
    store = open_store(sys.argv[1])
    async with store.lease("pbx1", 5) as held:
        held.check()
        print("held", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        try:
            held.check()
        except errors.LeaseLost:
            print("lost", flush=True)
    await store.close()

asyncio.run(main())
"""


@contextmanager
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """A node that says `held`, and, told to go on, `lost` where it has lost the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


async def test_a_node_that_stops_loses_its_lease_and_knows_it_when_it_wakes(postgresql_url: str) -> None:
    other = open_store(postgresql_url)
    with holder(postgresql_url) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "held\n"
        with pytest.raises(TimeoutError):
            async with other.lease("pbx1", 0.3):
                pytest.fail("held twice")
        process.send_signal(signal.SIGSTOP)
        async with other.lease("pbx1", 20) as lease:
            process.send_signal(signal.SIGCONT)
            output, _ = await asyncio.to_thread(process.communicate, "go on\n", 30)
            assert output == "lost\n"
            lease.check()
        assert process.returncode == 0
    await other.close()


async def test_a_node_that_is_killed_gives_its_lease_back_at_once(postgresql_url: str) -> None:
    other = open_store(postgresql_url)
    with holder(postgresql_url) as process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == "held\n"
        process.kill()
        async with other.lease("pbx1", session_lease.LEASE_SECONDS - 1) as lease:
            lease.check()
    await other.close()


@pytest.mark.usefixtures("short_leases")
async def test_a_lease_stands_while_its_node_lives(postgresql_url: str) -> None:
    store = open_store(postgresql_url)
    async with store.lease("pbx1", 5) as lease:
        await asyncio.sleep(2 * session_lease.LEASE_SECONDS)  # it is time that would end it
        lease.check()
    await store.close()


@pytest.mark.usefixtures("short_leases")
@pytest.mark.parametrize("end", ["stop", "kill", "one process"])
async def test_nobody_is_given_a_lease_before_the_old_ones_have_run_out(server: PrivatePostgresql, end: str) -> None:
    url = server.database("plantel")
    one, other = open_store(url), open_store(url)
    loop = asyncio.get_running_loop()
    async with one.lease("pbx1", 5) as lease:
        held_until = loop.time()
        if end == "one process":
            pid = server.execute("SELECT pid FROM pg_stat_activity WHERE datname = 'plantel' LIMIT 1")[0][0]
            os.kill(int(str(pid)), signal.SIGKILL)
        else:
            await asyncio.to_thread(getattr(server, end))
            await asyncio.to_thread(server.start)
        gone = asyncio.ensure_future(_gone(lease))
        async with asyncio.timeout(30):
            while True:
                try:
                    async with other.lease("pbx1", 10):
                        assert gone.done()
                        assert loop.time() - held_until >= session_lease.VALID_SECONDS
                        break
                except errors.StoreUnavailable:
                    await asyncio.sleep(0.02)
        await gone
    async with one.lease("pbx1", 5) as again:
        again.check()
    await one.close()
    await other.close()


async def test_an_entry_that_is_cancelled_keeps_nothing(postgresql_url: str) -> None:
    one, other = open_store(postgresql_url), open_store(postgresql_url)

    async def hold() -> None:
        async with one.lease("pbx1", 5):
            await asyncio.sleep(0)

    for turns in range(40):
        task = asyncio.ensure_future(hold())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with other.lease("pbx1", 5) as lease:
            lease.check()
    await one.close()
    await other.close()
