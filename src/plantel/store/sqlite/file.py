"""The file behind a store in SQLite."""

import errno
import os
import sqlite3
import time
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import sqlalchemy

from plantel import errors
from plantel.language import Text
from plantel.ports import Lease
from plantel.store.connection import Database
from plantel.store.sqlite import connection as sqlite
from plantel.store.sqlite.connection import SqliteConnection
from plantel.store.sqlite.lease import Leases
from plantel.store.sqlite.place import Place

_PREFIX = "sqlite:///"


class SqliteFile(Database):
    """`sqlite:///relative.db` or `sqlite:////absolute.db`; made, for its owner only, if there is none."""

    def __init__(self, url: str, *, make: bool = True) -> None:
        """With `make` false a file that is not there is not made (StoreMissing, where it could be), and one that is
        there stays as it is. Raises InvalidSetting, StoreMissing, StoreUnavailable, and errors that `translated`
        translates."""
        path = _path(url)
        try:
            _provide(path, make=make)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not make and os.access(path.parent, os.W_OK | os.X_OK):
                raise errors.StoreMissing() from error
            raise errors.StoreUnavailable(detail=f"{path}: {error.strerror}") from error
        self.engine = sqlite.engine(str(path))
        self._place = Place(str(path))
        self._leases = Leases(f"{path}-lease")
        if make:
            with sqlite.translating(), self.engine.connect() as connection:
                _use_wal(_driver(connection))

    def translated(self, error: BaseException) -> errors.StoreError | None:
        return sqlite.translated(error)

    def connect(self, *, writable: bool, patient: bool = False) -> SqliteConnection:  # noqa: ARG002 - no server
        with sqlite.translating():
            return SqliteConnection(self.engine, self._place, writable=writable)

    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        _driver(connection).execute("BEGIN IMMEDIATE")

    def lease(self, name: str, seconds: float) -> AbstractAsyncContextManager[Lease]:
        return self._leases.hold(name, seconds)

    async def close(self) -> None:
        self._leases.close()


def _path(url: str) -> Path:
    name = url.removeprefix(_PREFIX)
    if name == url or not name or name.startswith(":") or "?" in name or "\0" in name:
        detail = Text(
            f"must be {_PREFIX}FILE, without options, or begin with postgresql:// or mariadb://",
            f"debe ser {_PREFIX}ARCHIVO, sin opciones, o empezar por postgresql:// o mariadb://",
        )
        raise errors.InvalidSetting(setting="store.url", detail=detail)
    return Path(name)


def _provide(path: Path, *, make: bool) -> None:
    """Make the file if there is none, and never open one that is there: to close it would end all the locks that this
    process has on it, those of another store too, whose log somebody else would then take for left over, and remove.
    Raises OSError."""
    if make:
        with suppress(FileExistsError):
            # SQLite itself would make it with 0644. -wal and -shm take their mode from it.
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o600))
    path.stat()
    for wrong, found in ((errno.EISDIR, path.is_dir()), (errno.EACCES, not os.access(path, os.R_OK | os.W_OK))):
        if found:
            raise OSError(wrong, os.strerror(wrong))


def _driver(connection: sqlalchemy.Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _use_wal(driver: sqlite3.Connection) -> None:
    """Readers beside the writer. The file remembers it. Two processes that try at once get 'locked' without a wait."""
    deadline = time.monotonic() + sqlite.BUSY_SECONDS
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
