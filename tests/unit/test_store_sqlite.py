"""What is particular to the store over a SQLite file: the file, a disk that fails, locks, and the writer's thread."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from plantel import errors
from plantel.batch import Problem
from plantel.ports import Transaction
from plantel.roster import Member
from plantel.store import open_store, readers, schema, store, writer
from plantel.store.sqlite import connection as sqlite
from plantel.store.store import SqlStore
from plantel.tally import PROBLEMS
from tests.support.rosters import a_batch, added, declared, roster

pytestmark = pytest.mark.anyio

ANA = Member("Ventas->", "Ana", "SIP/1001")
BEA = Member("Ventas->", "Bea", "SIP/1002")


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path}/plantel.db")
    await opened.write(declared("Ventas->"))
    yield opened
    await opened.close()


class Blocker:
    """A unit that holds the writer until it is let go."""

    def __init__(self) -> None:
        self._begun = threading.Event()
        self._go = threading.Event()

    def __call__(self, transaction: Transaction) -> str:
        self._begun.set()
        assert self._go.wait(30)
        return "let go"

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._begun.wait, 30)

    def let_go(self) -> None:
        self._go.set()


# --- threads ---


async def test_who_asks_is_looked_up_beside_reads_that_take_long(opened: SqlStore) -> None:
    blockers = [Blocker() for _ in range(readers.THREADS)]
    slow = [asyncio.create_task(opened.read(blocker)) for blocker in blockers]
    for blocker in blockers:
        await blocker.begun()
    behind = asyncio.create_task(opened.read(lambda transaction: "read"))
    assert await opened.look_up(lambda transaction: "looked up") == "looked up"
    assert not behind.done()
    for blocker in blockers:
        blocker.let_go()
    assert await asyncio.gather(*slow, behind) == ["let go"] * len(slow) + ["read"]


async def test_so_many_reads_may_wait(opened: SqlStore) -> None:
    blocker = Blocker()
    count = readers.THREADS + readers.WAITING_READS
    waiting = [asyncio.create_task(opened.read(blocker)) for _ in range(count)]
    await blocker.begun()
    with pytest.raises(errors.ServerBusy):
        await opened.read(lambda transaction: None)
    blocker.let_go()
    assert await asyncio.gather(*waiting) == ["let go"] * count


@pytest.mark.parametrize(
    ("count", "more"), [(PROBLEMS, 0), (PROBLEMS + 1, 0), (PROBLEMS + 2, 2), (2 * PROBLEMS, PROBLEMS)]
)
async def test_the_problems_of_an_old_batch_are_told_in_bounds(opened: SqlStore, count: int, more: int) -> None:
    found = [Problem("not_text", number, "membername") for number in range(1, count + 1)]
    batch = a_batch(problems=found)
    await opened.write(lambda transaction: transaction.record(batch, []))
    told = await opened.read(lambda transaction: transaction.batch("acme", batch.id))
    assert told is not None
    expected = [*found[:PROBLEMS], Problem("more_problems", params={"count": more})] if more else found
    assert list(told.problems) == expected


async def test_a_long_read_holds_up_no_other_and_is_one_at_a_time(opened: SqlStore) -> None:
    blockers = [Blocker() for _ in range(readers.WAITING_LONG + 1)]
    long = [asyncio.ensure_future(opened.read_long(one)) for one in blockers]
    await blockers[0].begun()
    with pytest.raises(errors.ServerBusy):
        await opened.read_long(lambda _: None)
    assert await opened.read(lambda transaction: list(transaction.campaigns("acme"))) == ["ventas->"]
    assert not blockers[1]._begun.is_set()
    for one in blockers:
        one.let_go()
    assert await asyncio.gather(*long) == ["let go"] * len(long)
    with pytest.raises(RuntimeError):
        await opened.read_long(declared("Cobros"))


# --- the file --------------------------------------------------------------------------------------------------------


async def test_only_the_owner_may_read_the_files(opened: SqlStore, tmp_path: Path) -> None:
    await opened.write(added(ANA))
    assert _modes(tmp_path) == {"plantel.db": 0o600, "plantel.db-wal": 0o600, "plantel.db-shm": 0o600}


async def test_an_answer_means_durable(opened: SqlStore) -> None:
    def pragmas(transaction: Transaction) -> list[object]:
        driver = transaction._connection._driver  # type: ignore[attr-defined] # white-box
        return [driver.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]

    assert await opened.write(pragmas) == ["wal", 2]


async def test_the_log_does_not_grow_for_ever(opened: SqlStore, tmp_path: Path) -> None:
    """Nobody's commit copies it into the file; that is done between two of them, and then the log begins anew."""
    log = tmp_path / "plantel.db-wal"
    sizes = []
    for batch in range(6):
        some = (Member("Ventas->", f"agent {batch} {one}", f"SIP/{batch}{one:04d}") for one in range(1_000))
        await opened.write(added(*some))
        sizes.append(log.stat().st_size)
    assert sizes[-1] <= 2 * sizes[0]


async def test_a_change_by_hand_makes_another_version(opened: SqlStore, tmp_path: Path) -> None:
    """Revisions tell nothing of it, nor of a file that was put back as it was yesterday."""
    await opened.write(added(ANA))
    before = await opened.write(lambda transaction: transaction.version())
    with closing(sqlite3.connect(tmp_path / "plantel.db")) as by_hand, by_hand:
        by_hand.execute("UPDATE members SET penalty = 5")
    assert await opened.write(lambda transaction: transaction.version()) != before


async def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    await open_store("sqlite:///here.db").close()
    assert (tmp_path / "here.db").exists()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://", "must be"),
        ("sqlite:///", "must be"),
        ("sqlite:///:memory:", "must be"),
        ("sqlite:///plantel.db?mode=ro", "without options"),
        ("plantel.db", "must be"),
        ("", "must be"),
    ],
)
def test_other_urls_are_refused(url: str, reason: str) -> None:
    with pytest.raises(errors.InvalidSetting, match=rf"store\.url: .*{reason}"):
        open_store(url)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.StoreUnavailable, match="No such file or directory"):
        open_store(f"sqlite:///{tmp_path}/nowhere/plantel.db")


def test_who_makes_nothing_leaves_another_programs_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE invoices (id)")
    before = path.read_bytes()
    with pytest.raises(errors.StoreUnavailable, match="something else"):
        open_store(f"sqlite:///{path}", migrate=False, make=False)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "plantel.db"
    path.write_bytes(b"this is no database, however long it may be looked at" * 100)
    with pytest.raises(errors.StoreUnavailable, match="not a database"):
        open_store(f"sqlite:///{path}")


# --- a disk that fails -----------------------------------------------------------------------------------------------


def limit(opened: SqlStore, pages: int) -> Callable[[Transaction], None]:
    """Let the database grow by so many pages and no further."""

    def work(transaction: Transaction) -> None:
        driver = transaction._connection._driver  # type: ignore[attr-defined] # SQLite's own way to fill a disk
        now = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {now + pages}")

    return work


@pytest.mark.parametrize("size", [1, 600])
async def test_a_full_disk_refuses_and_the_writer_goes_on(opened: SqlStore, size: int) -> None:
    await opened.write(added(ANA))
    await opened.write(limit(opened, 4))

    def some(number: int) -> list[Member]:
        return [Member("Ventas->", f"agent {number} {n}", f"PJSIP/{number}-{n}") for n in range(size)]

    stored = [ANA]
    for number in range(1000):
        try:
            await opened.write(added(*some(number)))
        except errors.StoreFull:
            break
        stored += some(number)
    else:
        pytest.fail("the disk was never full")
    assert sorted(await roster(opened), key=str) == sorted(stored, key=str)
    with pytest.raises(errors.StoreFull):
        await opened.write(added(*(Member("Ventas->", f"late {n}", f"IAX2/{n}") for n in range(600))))

    await opened.write(limit(opened, 10_000))
    await opened.write(added(BEA))
    assert sorted(await roster(opened), key=str) == sorted([*stored, BEA], key=str)
    journal = await opened.read(lambda transaction: transaction.journal("acme", limit=10**6))
    assert len(journal) == len(stored) + 1
    revisions = [entry.revision for entry in journal]
    assert revisions == sorted(set(revisions))


async def test_a_transaction_that_sqlite_gave_up_fails_the_whole_group(opened: SqlStore) -> None:
    """On a full disk or an I/O error SQLite may roll back by itself; what follows must not be stored bit by bit."""

    def give_up(transaction: Transaction) -> None:
        added(BEA)(transaction)
        transaction._connection._driver.execute("ROLLBACK")  # type: ignore[attr-defined] # as SQLite does by itself
        with pytest.raises(errors.StoreUnavailable):
            declared("Cobros")(transaction)
        with pytest.raises(errors.StoreUnavailable):
            transaction.members("acme")

    blocker = Blocker()
    held = asyncio.ensure_future(opened.write(blocker))
    await blocker.begun()
    group = [asyncio.ensure_future(opened.write(work)) for work in (added(ANA), give_up, declared("Soporte"))]
    await asyncio.sleep(0)
    blocker.let_go()
    outcomes = await asyncio.gather(held, *group, return_exceptions=True)
    assert outcomes[0] == "let go"
    assert [type(outcome) for outcome in outcomes[1:]] == [errors.StoreUnavailable] * 3
    assert await roster(opened) == []
    assert set(await opened.write(lambda transaction: set(transaction.campaigns("acme")))) == {"ventas->"}
    assert await opened.write(added(ANA)) == 1


async def test_a_store_that_cannot_be_written(opened: SqlStore) -> None:
    driver = opened._writer._connection._driver  # type: ignore[attr-defined] # white-box
    driver.execute("PRAGMA query_only = ON")
    with pytest.raises(errors.StoreUnavailable, match="readonly"):
        await opened.write(added(ANA))
    assert await roster(opened) == []
    driver.execute("PRAGMA query_only = OFF")
    await opened.write(added(ANA))
    assert await roster(opened) == [ANA]


async def test_a_lock_held_too_long_by_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    opened = open_store(f"sqlite:///{tmp_path}/plantel.db")
    await opened.write(declared("Ventas->"))
    with closing(sqlite3.connect(tmp_path / "plantel.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.StoreUnavailable, match="locked"):
            await opened.write(added(ANA))
        assert await roster(opened) == []
        other.execute("ROLLBACK")
    await opened.write(added(BEA))
    assert await roster(opened) == [BEA]
    await opened.close()


# --- the writer and the readers --------------------------------------------------------------------------------------


async def test_too_many_waiting_units_are_refused(opened: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITING_MOST", 5)
    blocker = Blocker()
    held = asyncio.ensure_future(opened.write(blocker))
    await blocker.begun()
    waiting = [asyncio.ensure_future(opened.write(added(ANA))) for _ in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(errors.ServerBusy):
        await opened.write(added(BEA))
    blocker.let_go()
    await asyncio.gather(held, *waiting)
    assert await roster(opened) == [ANA]
    await opened.write(added(BEA))


async def test_units_that_wait_together_share_a_commit(opened: SqlStore) -> None:
    blocker = Blocker()
    held = asyncio.ensure_future(opened.write(blocker))
    await blocker.begun()
    members = [Member("Ventas->", f"agent {n:03}", f"SIP/{n}") for n in range(100)]
    waiting = [asyncio.ensure_future(opened.write(added(member))) for member in members]
    await asyncio.sleep(0)
    with closing(sqlite3.connect(_path(opened))) as other:
        before = other.execute("PRAGMA data_version").fetchone()
        blocker.let_go()
        first, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        # the first answer comes after the one commit, so by then all are there
        assert other.execute("SELECT count(*) FROM members").fetchone() == (100,)
        assert other.execute("PRAGMA data_version").fetchone() != before
    await asyncio.gather(held, *waiting)
    assert first
    assert await roster(opened) == members


async def test_a_disk_that_does_not_answer(opened: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ANSWER_SECONDS", 0.05)
    blocker = Blocker()
    with pytest.raises(errors.StoreUnavailable, match="no answer within"):
        await opened.write(blocker)
    monkeypatch.undo()
    blocker.let_go()
    await opened.write(added(ANA))
    assert await roster(opened) == [ANA]


async def test_a_timeout_of_the_work_itself_is_passed_on(opened: SqlStore) -> None:
    def work(transaction: Transaction) -> None:
        raise TimeoutError("its own")

    for call in (opened.write(work), opened.read(work)):
        with pytest.raises(TimeoutError, match="its own"):
            await call


async def test_a_reader_keeps_its_view_while_others_write(opened: SqlStore) -> None:
    await opened.write(added(ANA))
    seen, go = threading.Event(), threading.Event()

    def read_twice(transaction: Transaction) -> list[list[Member]]:
        first = transaction.members("acme")
        seen.set()
        assert go.wait(30)
        return [first, transaction.members("acme")]

    reading = asyncio.ensure_future(opened.read(read_twice))
    assert await asyncio.to_thread(seen.wait, 30)
    await opened.write(added(BEA))
    assert await roster(opened) == [ANA, BEA]
    go.set()
    assert await reading == [[ANA], [ANA]]


@pytest.mark.parametrize("strange", [SystemExit(3), KeyboardInterrupt(), StopIteration()], ids=repr)
async def test_the_writer_outlives_whatever_a_unit_raises(opened: SqlStore, strange: BaseException) -> None:
    def work(transaction: Transaction) -> None:
        added(BEA)(transaction)
        raise strange

    with pytest.raises(RuntimeError, match=type(strange).__name__):
        await opened.write(work)
    await opened.write(added(ANA))
    assert await roster(opened) == [ANA]


async def test_units_from_several_event_loops(opened: SqlStore) -> None:
    def elsewhere(name: str) -> None:
        async def add() -> None:
            units = (added(Member("Ventas->", f"{name} {n}", f"SIP/{name}-{n}")) for n in range(20))
            await asyncio.gather(*(opened.write(unit) for unit in units))

        asyncio.run(add())

    await asyncio.gather(*(asyncio.to_thread(elsewhere, name) for name in ("a", "b", "c")))
    assert len(await roster(opened)) == 60


async def test_an_event_loop_that_is_gone_takes_nothing_from_others(opened: SqlStore) -> None:
    blocker = Blocker()
    held = asyncio.ensure_future(opened.write(blocker))
    await blocker.begun()

    def elsewhere() -> None:
        async def submit_and_leave() -> None:
            task = asyncio.ensure_future(opened.write(added(ANA)))
            await asyncio.sleep(0)
            task.cancel()

        asyncio.run(submit_and_leave())

    await asyncio.to_thread(elsewhere)
    here = asyncio.ensure_future(opened.write(added(BEA)))
    await asyncio.sleep(0)
    blocker.let_go()
    await asyncio.gather(held, here)
    assert await roster(opened) == [ANA, BEA]


async def test_the_hot_statements_use_an_index(opened: SqlStore) -> None:
    """The hot statements find members by key though there are no statistics to guide the planner."""
    with closing(sqlite3.connect(_path(opened))) as other:
        for statement, values in (
            (sqlite._LIKE, 1),
            (sqlite._UPDATE, 1),
            (sqlite._VACATE, 2),
            (sqlite._FIRST, 2),
            (sqlite._PLACE_NEW, 1),
            (sqlite._OF, 1),
            (sqlite._DISCLAIM, 4),
            (sqlite._AFTER, 2),
            (sqlite._UNDONE, 2),
        ):
            steps = [row[3] for row in other.execute(f"EXPLAIN QUERY PLAN {statement}", ["[]"] * values)]
            assert any(step.startswith("SEARCH") for step in steps), steps
            assert not any(step.startswith("SCAN") and ("members" in step or "journal" in step) for step in steps), (
                steps
            )


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def _path(opened: SqlStore) -> Path:
    return Path(str(opened._writer._connection.core.engine.url.database))


async def test_two_stores_of_one_process_lose_nothing_when_another_process_comes_and_goes(tmp_path: Path) -> None:
    """A process that closes one descriptor of a file loses its locks on it, all of them."""
    url = f"sqlite:///{tmp_path}/plantel.db"

    def another(program: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", program, url], capture_output=True, text=True, timeout=60, check=True
        ).stdout.strip()

    first = open_store(url)
    second = open_store(url)
    try:
        await first.write(declared("Ventas->"))
        comes_and_goes = "import asyncio, sys; from plantel.store import open_store;"
        await asyncio.to_thread(another, f"{comes_and_goes} asyncio.run(open_store(sys.argv[1]).close())")
        await first.write(added(ANA))
        await second.write(added(BEA))
        count = "import sqlite3, sys; file = sqlite3.connect(sys.argv[1].removeprefix('sqlite:///'));"
        found = await asyncio.to_thread(another, f"{count} print(*file.execute('SELECT membername FROM members'))")
        assert found == "('Ana',) ('Bea',)"
    finally:
        await first.close()
        await second.close()


# --- a file of locks that is gone -------------------------------------------------------------------------------------


async def test_a_lease_is_lost_with_its_file_and_others_may_take_it(opened: SqlStore, tmp_path: Path) -> None:
    other = open_store(f"sqlite:///{tmp_path}/plantel.db")
    try:
        async with opened.lease("pbx1", 1) as mine:
            mine.check()
            (tmp_path / "plantel.db-lease").unlink()
            with pytest.raises(errors.LeaseLost):
                mine.check()
            async with other.lease("pbx1", 1) as theirs:
                theirs.check()
                with pytest.raises(errors.LeaseLost):
                    mine.check()
        async with other.lease("pbx1", 1) as theirs:
            with pytest.raises(TimeoutError):
                async with opened.lease("pbx1", 0.1):
                    pytest.fail("two have it")
            with pytest.raises(errors.LeaseLost):
                mine.check()
            theirs.check()
        async with opened.lease("pbx1", 1) as mine:
            mine.check()
    finally:
        await other.close()


async def test_a_store_that_refused_is_tried_until_it_takes_something(opened: SqlStore) -> None:
    await opened.write(limit(opened, 0))
    with pytest.raises(errors.StoreFull):
        await opened.write(added(*(Member("Ventas->", f"late {n}", f"IAX2/{n}") for n in range(600))))
    for _ in range(3):
        with pytest.raises(errors.StoreFull):
            await opened.changed_elsewhere()
    await opened.write(limit(opened, 10_000))
    assert not await opened.changed_elsewhere()
    left = await opened.read(lambda transaction: transaction._rows(select(schema.keys.c.name)))  # type: ignore[attr-defined]
    assert schema.TRIAL not in {name for (name,) in left}
