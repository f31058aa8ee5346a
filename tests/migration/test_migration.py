"""A store that was migrated is like one that was made anew, and no version is mistaken for another."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from plantel import errors
from plantel.store import migrations, open_store, schema
from plantel.store.sqlite import engine

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
        assert sql(path, "SELECT name, length(value) FROM keys") == [("token", 32)]


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


async def test_an_older_store_is_left_alone_where_nobody_asked_to_migrate(oldest: Path) -> None:
    before = described(oldest)
    with pytest.raises(errors.SchemaTooOld, match=schema.VERSION):
        open_store(f"sqlite:///{oldest}", migrate=False)
    assert described(oldest) == before


async def test_a_migration_that_fails_leaves_the_store_as_it_was(oldest: Path) -> None:
    sql(oldest, "CREATE TABLE tokens (something_else)")  # in the way, after several tables have been made
    before = described(oldest)
    with pytest.raises(errors.StoreUnavailable, match="tokens"):
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
