"""The realtime views of a database: made, and made anew where another release or configuration wants them otherwise."""

from collections.abc import Sequence

from sqlalchemy import Connection, inspect

from plantel import errors
from plantel.language import Text
from plantel.store import realtime_postgresql, schema
from plantel.store.connection import Database
from plantel.store.realtime import RealtimeView
from plantel.store.realtime_postgresql import PostgresqlRealtime


def provide(database: Database, connection: Connection, views: Sequence[RealtimeView]) -> None:
    """Have the database show exactly these, where it shows them in another way or not at all; others stay.

    A view of a server that is configured no more stays until somebody drops it: another node may have another
    configuration, and an Asterisk that finds no view drops its members. Raises InvalidSetting, and errors of the database.
    """
    schema_name = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    wanted = {view.name: PostgresqlRealtime(view, schema_name) for view in views}
    late = {name: one for name, one in wanted.items() if _found(connection).get(name) != one.state}
    connection.rollback()  # a read alone has begun a transaction, as SQLAlchemy sees it
    if not late:
        return
    with connection.begin():
        database.lock_schema(connection)
        ours = _found(connection)
        taken = {*schema.metadata.tables, *inspect(connection).get_table_names(), *inspect(connection).get_view_names()}
        for name, one in late.items():
            if name in taken and name not in ours:
                raise _taken(name)
            for statement in one.statements:
                connection.exec_driver_sql(statement.replace("%", "%%"))


def _found(connection: Connection) -> dict[str, str]:
    """The state of each view that is Plantel's."""
    return {name: state for name, state in connection.exec_driver_sql(realtime_postgresql.FOUND.replace("%", "%%"))}


def _taken(name: str) -> errors.InvalidSetting:
    detail = Text(
        f"{name} is something else in this database, and stays as it is: choose another name for the view",
        f"{name} es otra cosa en esta base de datos, y se queda como está: elija otro nombre para la vista",
    )
    return errors.InvalidSetting(setting="asterisk.view", detail=detail)
