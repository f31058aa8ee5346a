"""The realtime views of a database: made, and made anew where another release or configuration wants them otherwise."""

from collections.abc import Sequence

from sqlalchemy import Connection, inspect

from plantel import errors
from plantel.language import Text
from plantel.store import schema
from plantel.store.connection import Database
from plantel.store.mariadb import realtime as realtime_mariadb
from plantel.store.mariadb.realtime import MariadbRealtime
from plantel.store.postgresql import realtime as realtime_postgresql
from plantel.store.postgresql.realtime import PostgresqlRealtime
from plantel.store.realtime import Part, RealtimeSql, RealtimeView


def provide(database: Database, connection: Connection, views: Sequence[RealtimeView]) -> None:
    """Have the database show these, where it does not yet, or not so; others stay.

    A view of a server that is configured no more stays until somebody has it removed (`remove_leftover`): another node
    may be configured otherwise, and an Asterisk that finds no view drops its members. Raises InvalidSetting, and errors
    of the database.
    """
    late = missing(connection, views)
    connection.rollback()  # a read alone has begun a transaction, as SQLAlchemy sees it
    if not late:
        return
    with connection.begin():
        database.lock_schema(connection)
        ours = _found(connection)
        taken = {*schema.metadata.tables, *inspect(connection).get_table_names(), *inspect(connection).get_view_names()}
        for view in missing(connection, views):
            if view.name in taken and view.name not in ours:
                raise _taken(view.name)
            for statement in _sql(connection, view).statements:
                connection.exec_driver_sql(_raw(statement))


def missing(connection: Connection, views: Sequence[RealtimeView]) -> list[RealtimeView]:
    """Those that the database does not show, or not so."""
    found = _found(connection)
    return [view for view in views if found.get(view.name) != _sql(connection, view).state]


def leftover(connection: Connection, views: Sequence[RealtimeView]) -> list[Part]:
    """What the database has for other views than these, in the order in which it can go."""
    if connection.dialect.name == "sqlite":
        return []
    postgresql = connection.dialect.name == "postgresql"
    present = realtime_postgresql.PRESENT if postgresql else realtime_mariadb.PRESENT
    there = {Part(str(kind), str(name)) for kind, name in connection.exec_driver_sql(_raw(present)).all()}
    needed = {part for view in views for part in _sql(connection, view).parts}
    return sorted(there - needed, key=lambda part: (list(_DROP).index(part.kind), part.name))


def remove_leftover(database: Database, connection: Connection, views: Sequence[RealtimeView]) -> list[Part]:
    """Drop what `leftover` gives, and return it. What is cut off can be done again. Raises errors of the database."""
    with connection.begin():
        database.lock_schema(connection)
        parts = leftover(connection, views)
        for part in parts:
            connection.exec_driver_sql(_DROP[part.kind].format(part.name))
    return parts


_DROP = {
    "view": "DROP VIEW IF EXISTS {}",
    "trigger": "DROP TRIGGER IF EXISTS {}",
    "function": "DROP FUNCTION IF EXISTS {}()",
    "index": "DROP INDEX IF EXISTS {}",
    "table": "DROP TABLE IF EXISTS {}",
    "column": "ALTER TABLE members DROP COLUMN IF EXISTS {}",
}
"""Each after what needs it."""


def _found(connection: Connection) -> dict[str, str]:
    """The state of each view that is Plantel's, by name."""
    postgresql = connection.dialect.name == "postgresql"
    found = realtime_postgresql.FOUND if postgresql else realtime_mariadb.FOUND
    return {str(name): str(state) for name, state in connection.exec_driver_sql(_raw(found)).all()}


def _sql(connection: Connection, view: RealtimeView) -> RealtimeSql:
    if connection.dialect.name == "postgresql":
        return PostgresqlRealtime(view, connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    return MariadbRealtime(view)


def _raw(statement: str) -> str:
    """For drivers that take `%` for the beginning of a placeholder."""
    return statement.replace("%", "%%")


def _taken(name: str) -> errors.InvalidSetting:
    detail = Text(
        f"{name} is something else in this database, and stays as it is: choose another name for the view",
        f"{name} es otra cosa en esta base de datos, y se queda como está: elija otro nombre para la vista",
    )
    return errors.InvalidSetting(setting="asterisk.view", detail=detail)
