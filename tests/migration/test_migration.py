"""A store that was migrated is like one that was made anew, and no version is mistaken for another."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, update

from plantel import errors
from plantel.roster import Campaign
from plantel.store import migrations, open_store, schema
from plantel.store.postgresql.database import PostgresqlDatabase
from plantel.store.sqlite.connection import engine
from plantel.testing.postgresql import PrivatePostgresql

pytestmark = pytest.mark.anyio


def sql(path: Path, *statements: str) -> list[tuple[object, ...]]:
    """Run statements on the file; the rows of the last."""
    rows: list[tuple[object, ...]] = []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            rows = connection.execute(statement).fetchall()
    return rows


def described(path: Path) -> dict[str, object]:
    """Every table and index: its statement, its columns in detail, its indexes."""
    description: dict[str, object] = {}
    for kind, name, statement in sql(path, "SELECT type, name, sql FROM sqlite_master"):
        columns = sql(path, f"PRAGMA table_xinfo('{name}')")
        indexes = sql(path, f"SELECT name, \"unique\", origin, partial FROM pragma_index_list('{name}') ORDER BY name")
        description[f"{kind} {name}"] = (statement, columns, indexes)
    return description


async def opened(path: Path, *, migrate: bool = True) -> None:
    await open_store(f"sqlite:///{path}", migrate=migrate).close()


@pytest.fixture
def oldest(tmp_path: Path) -> Path:
    """A store stamped with a version before the first, which has nothing yet."""
    path = tmp_path / "old.db"
    with engine(str(path)).connect() as connection:
        schema.alembic_version.create(connection)
    return path


async def test_a_migrated_store_is_like_a_new_one(oldest: Path, tmp_path: Path) -> None:
    await opened(oldest)
    await opened(tmp_path / "new.db")
    old, new = described(oldest), described(tmp_path / "new.db")
    assert old == new
    for path in (oldest, tmp_path / "new.db"):
        assert sql(path, "SELECT version_num FROM alembic_version") == [(schema.VERSION,)]
        assert sql(path, "SELECT name, length(value) FROM keys ORDER BY name") == [("campaigns", 16), ("token", 32)]


def described_by(server: PrivatePostgresql, database: str) -> dict[str, list[tuple[object, ...]]]:
    """The same of a database in PostgreSQL."""
    return {
        what: server.execute(statement, database=database)
        for what, statement in {
            "columns": """SELECT table_name, column_name, ordinal_position, column_default, is_nullable, data_type,
                character_maximum_length, collation_name FROM information_schema.columns
                WHERE table_schema = 'public' ORDER BY 1, 3""",
            "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
            "constraints": """SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
                WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2""",
            "sequences": """SELECT sequencename, data_type::text, start_value, increment_by, cache_size
                FROM pg_sequences ORDER BY 1""",
        }.items()
    }


async def test_a_migrated_store_in_postgresql_is_like_a_new_one(postgresql: PrivatePostgresql) -> None:
    for name in ("migrated", "new"):
        url = postgresql.database(name)
        if name == "migrated":
            with PostgresqlDatabase(url).engine.connect() as connection:
                schema.alembic_version.create(connection)
            with pytest.raises(errors.SchemaTooOld, match=schema.VERSION):
                open_store(url, migrate=False)
        await open_store(url).close()
        await open_store(url, migrate=False).close()
    old, new = described_by(postgresql, "migrated"), described_by(postgresql, "new")
    assert old == new
    assert {row[-1] for row in new["columns"] if row[5] == "character varying" and row[0] != "alembic_version"} == {"C"}
    # a sequence that none of our numbers come from would be waste
    assert {row[0] for row in new["sequences"]} == {"campaigns_id_seq", "commits", "drifts_number_seq", "tokens_id_seq"}


async def test_a_database_in_postgresql_of_something_else_is_left_alone(
    postgresql: PrivatePostgresql, postgresql_url: str
) -> None:
    database = postgresql_url.rpartition("/")[2]
    postgresql.execute("CREATE TABLE invoices (id int)", database=database)
    with pytest.raises(errors.StoreUnavailable, match="something else"):
        open_store(postgresql_url)
    assert {row[0] for row in described_by(postgresql, database)["columns"]} == {"invoices"}


async def test_a_migration_that_fails_in_postgresql_leaves_the_database_as_it_was(
    postgresql: PrivatePostgresql, postgresql_url: str
) -> None:
    database = postgresql_url.rpartition("/")[2]
    with PostgresqlDatabase(postgresql_url).engine.connect() as connection:
        schema.alembic_version.create(connection)
    postgresql.execute("CREATE TABLE tokens (something_else int)", database=database)
    before = described_by(postgresql, database)
    with pytest.raises(errors.MigrationFailed, match="tokens"):
        open_store(postgresql_url)
    assert described_by(postgresql, database) == before


def test_the_newest_migration_gives_the_present_schema() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [schema.VERSION]
    assert [revision.revision for revision in script.walk_revisions()] == sorted(
        (revision.revision for revision in script.walk_revisions()), reverse=True
    )


async def test_a_store_of_a_newer_plantel_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "plantel.db"
    await opened(path)
    sql(path, "UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with pytest.raises(errors.SchemaTooNew, match="9999"):
        open_store(f"sqlite:///{path}")
    assert path.read_bytes() == before


async def test_a_store_that_a_newer_plantel_migrates_is_used_no_longer(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upgrade(connection: Connection) -> None:
        connection.execute(update(schema.alembic_version).values(version_num="9999"))

    campaign = Campaign("default", "Ventas")
    store = open_store(store_url)
    try:
        await store.write(lambda transaction: transaction.add_campaign(campaign))
        assert set(await store.read(lambda transaction: transaction.campaigns("default"))) == {"ventas"}
        with monkeypatch.context() as newer:
            newer.setattr(schema, "VERSION", "9999")
            newer.setattr(migrations, "upgrade", upgrade)
            await open_store(store_url).close()
        for use in (store.write, store.read):  # also the second time
            with pytest.raises(errors.SchemaTooNew, match="9999"):
                await use(lambda transaction: transaction.campaigns("default"))
            with pytest.raises(errors.SchemaTooNew, match="9999"):
                await use(lambda transaction: transaction.campaigns("default"))
        with pytest.raises(errors.SchemaTooNew, match="9999"):
            await store.changed_elsewhere()  # by which a node finds out before it is asked anything
    finally:
        await store.close()


async def test_an_older_store_is_left_alone_where_nobody_asked_to_migrate(oldest: Path) -> None:
    before = described(oldest)
    with pytest.raises(errors.SchemaTooOld, match=schema.VERSION):
        open_store(f"sqlite:///{oldest}", migrate=False)
    assert described(oldest) == before


async def test_a_migration_that_fails_leaves_the_store_as_it_was(oldest: Path) -> None:
    sql(oldest, "CREATE TABLE tokens (something_else)")  # in the way, after several tables have been made
    before = described(oldest)
    with pytest.raises(errors.MigrationFailed, match="tokens"):
        open_store(f"sqlite:///{oldest}")
    assert described(oldest) == before


async def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    sql(path, "CREATE TABLE invoices (id)")
    before = described(path)
    with pytest.raises(errors.StoreUnavailable, match="something else"):
        open_store(f"sqlite:///{path}")
    assert described(path) == before


def test_alembic_is_imported_only_to_migrate(oldest: Path, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys; from plantel.store import open_store;"
        " asyncio.run(open_store(sys.argv[1]).close()); print('alembic' in sys.modules)"
    )
    for path, imported in ((oldest, "True"), (tmp_path / "new.db", "False"), (oldest, "False")):
        done = subprocess.run(
            [sys.executable, "-c", program, f"sqlite:///{path}"], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.strip() == imported
