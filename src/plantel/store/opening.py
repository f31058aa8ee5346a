"""From `store.url` to a store whose schema is the present one."""

import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy import Connection, inspect, select

from plantel import errors
from plantel.language import Text
from plantel.store import schema
from plantel.store.sqlite import BUSY_SECONDS, engine, translating
from plantel.store.store import SqliteStore

_PREFIX = "sqlite:///"


def open_store(url: str, *, migrate: bool = True) -> SqliteStore:
    """Open the store at `url`, `sqlite:///relative.db` or `sqlite:////absolute.db`; make it if there is none.

    A new file is readable by its owner only. The store of an earlier release is migrated, or, with `migrate` false,
    refused (SchemaTooOld). Blocks: meant for the start of a program. Raises InvalidSetting, SchemaTooOld, SchemaTooNew,
    StoreUnavailable, StoreFull.
    """
    path = _path(url)
    try:
        # SQLite itself would make it with 0644. -wal and -shm take their mode from it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise errors.StoreUnavailable(detail=f"{path}: {error.strerror}") from error
    with translating():
        database = engine(str(path))
        with database.connect() as connection:
            _use_wal(connection)
            _agree_on_schema(connection, migrate=migrate)
        return SqliteStore(database)


def _path(url: str) -> Path:
    scheme = url.split(":", 1)[0]
    if scheme in {"postgresql", "mysql", "mariadb"}:
        detail = Text(
            f"{scheme}:// comes with a later release; use {_PREFIX}FILE",
            f"{scheme}:// llegará con una versión posterior; use {_PREFIX}ARCHIVO",
        )
        raise errors.InvalidSetting(setting="store.url", detail=detail)
    name = url.removeprefix(_PREFIX)
    if name == url or not name or name.startswith(":") or "?" in name or "\0" in name:
        detail = Text(f"must be {_PREFIX}FILE, without options", f"debe ser {_PREFIX}ARCHIVO, sin opciones")
        raise errors.InvalidSetting(setting="store.url", detail=detail)
    return Path(name)


def _driver(connection: Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _use_wal(connection: Connection) -> None:
    """Readers beside the writer. The file remembers it. Two processes that try at once get 'locked' without a wait."""
    driver = _driver(connection)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            mode = driver.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise errors.StoreUnavailable(detail=f"the file system does not support a write-ahead log ({mode})")
        return


def _agree_on_schema(connection: Connection, *, migrate: bool) -> None:
    """Make, or migrate, what has to be, under the lock, so that of two processes only one does."""
    found = _found(connection)
    connection.rollback()  # a read alone has begun a transaction, as SQLAlchemy sees it
    if found == schema.VERSION:
        return
    with connection.begin():
        _driver(connection).execute("BEGIN IMMEDIATE")
        found = _found(connection)
        if found is None:
            schema.create(connection)
        elif found > schema.VERSION:
            raise errors.SchemaTooNew(found=found)
        elif found < schema.VERSION:
            if not migrate:
                raise errors.SchemaTooOld(found=found, needed=schema.VERSION)
            # Alembic takes longer to import than all the rest of a start.
            from plantel.store.migrations import upgrade  # noqa: PLC0415

            upgrade(connection)


def _found(connection: Connection) -> str | None:
    """The version that the store is stamped with; None for an empty file."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if schema.alembic_version.name not in tables:
        raise errors.StoreUnavailable(detail="this database holds something else, not a store of Plantel")
    stamp = connection.execute(select(schema.alembic_version.c.version_num)).scalar_one_or_none()
    return stamp or ""  # as Alembic leaves it below the first version
