"""From `store.url` to a store whose schema is the present one.

What belongs to one kind of database is imported where one of that kind is opened: drivers take a while to import, which
every command of the command line would wait for.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, false, insert, inspect, select, update

from plantel import errors
from plantel.store import schema
from plantel.store.connection import Database
from plantel.store.node import Node
from plantel.store.realtime import Part, RealtimeView
from plantel.store.sqlite.file import SqliteFile
from plantel.store.store import SqlStore

if TYPE_CHECKING:
    from plantel.store.mariadb.database import MariadbDatabase
    from plantel.store.postgresql.database import PostgresqlDatabase

POSTGRESQL = ("postgresql", "postgres")
MARIADB = ("mariadb", "mysql")
"""The schemes of their URLs."""


def open_store(url: str, *, migrate: bool = True, make: bool = True, views: Sequence[RealtimeView] = ()) -> SqlStore:
    """Open the store at `url`, `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://...`, `mariadb://...`.

    A file is made if there is none, readable by its owner only; in an empty database the tables are made. The store of
    an earlier release is migrated, or, with `migrate` false, refused (SchemaTooOld). With `make` false nothing is made
    (StoreMissing). `views` are made where they are not there as they should be; others stay. Blocks: meant for the
    start of a program. Raises InvalidSetting, StoreMissing, SchemaTooOld, SchemaTooNew, StoreUnavailable, StoreFull.
    """
    database = open_database(url, migrate=migrate, make=make)
    if views:
        from plantel.store.views import provide  # noqa: PLC0415 - see above

        with database.translating(), database.engine.connect() as connection:
            provide(database, connection, views)
    return SqlStore(database)


def open_database(url: str, *, migrate: bool = True, make: bool = True) -> Database:
    """The database below a store, with the present schema. As `open_store`, without views."""
    database = _database(url, make=make)
    with database.translating(), database.engine.connect() as connection:
        _agree_on_schema(database, connection, migrate=migrate, make=make)
    return database


def missing_views(url: str, views: Sequence[RealtimeView]) -> list[str]:
    """The names of those that the database at `url` does not show, or not so. Blocks; raises StoreError."""
    from plantel.store.views import missing  # noqa: PLC0415 - see above

    database = _database(url, make=False)
    with database.translating(), database.engine.connect() as connection:
        return [view.name for view in missing(connection, views)]


def check_rights(url: str) -> None:
    """Raise StoreError where some table of the store at `url` may not be written; changes nothing. Blocks."""
    database = _database(url, make=False)
    with database.translating(), database.engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            if table is schema.alembic_version:  # written by a migration only, which needs more rights anyway
                continue
            key = next(iter(table.primary_key))
            nothing = select(table).where(false())
            connection.execute(insert(table).from_select(table.c.keys(), nothing, include_defaults=False))
            connection.execute(update(table).values({key: key}).where(false()))
            connection.execute(delete(table).where(false()))


def check_sessions(url: str) -> None:
    """Raise InvalidSetting where the database at `url` is behind a pooler that Plantel cannot work with. Blocks."""
    server = _server(url)
    if server is not None:
        server(url).check_sessions()


def nodes(url: str, leases: Sequence[str]) -> list[Node]:
    """Who else is connected to the database at `url` now, and which of `leases` each holds. Blocks; raises StoreError.

    Empty for a file, which does not know who uses it. A program counts as well that stays connected for a moment only,
    as the command line does.
    """
    server = _server(url)
    return [] if server is None else server(url).nodes(leases)


def leftover_parts(url: str, views: Sequence[RealtimeView], *, remove: bool = False) -> list[Part]:
    """What the database at `url` has for other realtime views than these; with `remove`, it has it no more then.

    An Asterisk that still reads such a view has no members afterwards. Blocks; raises InvalidSetting, StoreError.
    """
    from plantel.store.views import leftover, remove_leftover  # noqa: PLC0415 - see above

    database = open_database(url, migrate=False, make=False)
    with database.translating(), database.engine.connect() as connection:
        if remove:
            return remove_leftover(database, connection, views)
        return leftover(connection, views)


def shown(url: str) -> str:
    """`url` as people may read it: without a password."""
    server = _server(url)
    return url if server is None else server.shown(url)


def _database(url: str, *, make: bool) -> Database:
    server = _server(url)
    return SqliteFile(url, make=make) if server is None else server(url)


def _server(url: str) -> "type[PostgresqlDatabase | MariadbDatabase] | None":
    """The kind of database server that the URL names; None for a file."""
    scheme = url.split(":", 1)[0]
    if scheme in POSTGRESQL:
        from plantel.store.postgresql.database import PostgresqlDatabase  # noqa: PLC0415 - see above

        return PostgresqlDatabase
    if scheme in MARIADB:
        from plantel.store.mariadb.database import MariadbDatabase  # noqa: PLC0415 - see above

        return MariadbDatabase
    return None


def _agree_on_schema(database: Database, connection: Connection, *, migrate: bool, make: bool) -> None:
    """Make, or migrate, what has to be, under the lock, so that of two processes only one does."""
    found = _found(connection)
    connection.rollback()  # a read alone has begun a transaction, as SQLAlchemy sees it
    if found == schema.VERSION:
        return
    # without the lock, which in MariaDB takes away what somebody left unfinished
    _refuse(found, migrate=migrate, make=make)
    with connection.begin():
        database.lock_schema(connection)
        found = _found(connection)
        _refuse(found, migrate=migrate, make=make)  # another release may have come between
        if found is None:
            schema.create(connection)
        elif found < schema.VERSION:
            # Alembic takes longer to import than all the rest of a start.
            from plantel.store.migrations import upgrade  # noqa: PLC0415

            database.announce_migration(connection, schema.VERSION)
            try:
                upgrade(connection)
            except Exception as error:
                if (translated := database.translated(error)) is None:
                    raise
                detail = translated.params["detail"]
                raise errors.MigrationFailed(found=found, needed=schema.VERSION, detail=detail) from error
            database.tell_of_migration(connection)


def _refuse(found: str | None, *, migrate: bool, make: bool) -> None:
    """Raise where the schema is not to be made or migrated, or cannot be."""
    if found is None:
        if not make:
            raise errors.StoreMissing()
    elif found > schema.VERSION:
        raise errors.SchemaTooNew(found=found)
    elif found < schema.VERSION and not migrate:
        raise errors.SchemaTooOld(found=found, needed=schema.VERSION)


def _found(connection: Connection) -> str | None:
    """The version that the store is stamped with, or that of a newer Plantel which has begun to migrate it; None for an
    empty database."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if schema.alembic_version.name not in tables:
        raise errors.StoreUnavailable(detail="this database holds something else, not a store of Plantel")
    stamp = connection.execute(select(schema.alembic_version.c.version_num)).scalar_one_or_none()
    if not stamp:
        return ""  # as Alembic leaves it below the first version
    k = schema.keys.c
    begun = connection.execute(select(k.value).where(k.name == schema.MIGRATING)).scalar_one_or_none() or b""
    # what a newer Plantel has half migrated is no longer of the version that it was; who is as new goes on with it
    return begun.decode() if begun.decode() > schema.VERSION else str(stamp)
