"""The MariaDB behind a store: where it is, how to reach it, and the settings of each session."""

import difflib
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import pymysql
import sqlalchemy
from pymysql.constants import CLIENT, CR, SERVER_STATUS
from sqlalchemy import create_engine, delete, exc, insert, make_url, update
from sqlalchemy.pool import NullPool

from plantel import errors
from plantel.language import Text
from plantel.ports import Lease
from plantel.store import schema
from plantel.store.connection import PATIENT_SECONDS, Database
from plantel.store.mariadb import connection as mariadb
from plantel.store.mariadb import nodes
from plantel.store.mariadb.connection import Driver, MariadbConnection
from plantel.store.mariadb.lease import MariadbLeaseSession
from plantel.store.node import Node
from plantel.store.session_lease import VALID_SECONDS, SessionLeases

NEEDED = (10, 11)

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 15
"""After so long without a sign of life from the server's machine a connection counts as lost."""

STATEMENT_SECONDS = 60.0
"""How long to wait for the answer to one statement."""

IDLE_SECONDS = 5
"""After so long without a word the server gives up a transaction, between two statements or in the midst of one: its
node has stopped, or is cut off, and others wait. For 100,000 members the longest silence is one of a second."""

LOCK_SECONDS = 15
"""How long to wait while another node writes: longer than a stopped node may keep others waiting."""

MIGRATION_SECONDS = 600
"""How long a step of a migration waits for who reads the table that it changes."""

_OPTIONS = ("ssl_ca", "ssl_cert", "ssl_key", "unix_socket")

# Quotes are doubled in literals and backslashes stand for themselves; what does not fit is an error; a long list of
# ids is looked up by key. @plantel is for the trigger of `mariadb.realtime`.
_SESSION = """SET SESSION
    sql_mode = 'STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO',
    idle_transaction_timeout = %s,
    innodb_lock_wait_timeout = %s,
    group_concat_max_len = 1073741824,
    in_predicate_conversion_threshold = 0,
    @plantel = 1"""


class MariadbDatabase(Database):
    """`mariadb://user:password@host:port/database`, or `mysql://...`, with options after a `?`.

    unix_socket   the server's socket on this machine, in place of host and port
    ssl_ca        the file of the authority that signed the server's certificate: TLS is required, and checked
    ssl_cert, ssl_key   files with a certificate of our own, where the server asks for one

    Without `ssl_ca` TLS is used where the server offers it, and nobody is checked.
    """

    def __init__(self, url: str, *, statement_seconds: float = STATEMENT_SECONDS) -> None:
        """Connects to nothing yet. Raises InvalidSetting."""
        self._target = _target(url)
        self._tls = _tls(self._target.query)
        self.engine = create_engine(
            "mariadb+pymysql://",
            creator=lambda: self._dial(statement_seconds),
            poolclass=NullPool,
            hide_parameters=True,  # its errors would show them: digests of passwords
            isolation_level="AUTOCOMMIT",
        )
        self._leases = SessionLeases(
            lambda: MariadbLeaseSession.open(lambda: self._dial(VALID_SECONDS), str(self._target.database))
        )

    @staticmethod
    def shown(url: str) -> str:
        """`url` for people to read: without password and options."""
        try:
            target = _target(url)
        except errors.InvalidSetting:
            return "mariadb://"
        port = f":{target.port}" if target.port else ""
        return f"mariadb://{target.username}@{target.host or 'localhost'}{port}/{target.database}"

    def translated(self, error: BaseException) -> errors.StoreError | None:
        return mariadb.translated(error)

    def connect(self, *, writable: bool, patient: bool = False) -> MariadbConnection:
        with self.translating():
            return MariadbConnection(self.engine.connect, writable=writable, patient=patient)

    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        """Also takes away what is left of a creation that was cut off: MariaDB stores each table by itself."""
        (locked,) = connection.exec_driver_sql(
            "SELECT GET_LOCK(CONCAT('plantel ', SHA1(DATABASE())), %s)", (int(STATEMENT_SECONDS) - 5,)
        ).one()
        if locked != 1:
            raise errors.StoreUnavailable(detail="another process is making or migrating the tables")
        _clear_unfinished(connection)

    def announce_migration(self, connection: sqlalchemy.Connection, version: str) -> None:
        """Nodes of an older release notice at their next transaction, so none sees what is half migrated; and so does
        whoever starts after a migration that was cut off."""
        driver = connection.connection.driver_connection
        assert isinstance(driver, Driver)
        driver.wait_for_answers(PATIENT_SECONDS)
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {MIGRATION_SECONDS}")
        connection.exec_driver_sql("START TRANSACTION")
        connection.execute(update(schema.turn).values(version=schema.turn.c.version + 1))
        connection.execute(delete(schema.keys).where(schema.keys.c.name == schema.MIGRATING))
        connection.execute(insert(schema.keys).values(name=schema.MIGRATING, value=version.encode()))
        connection.exec_driver_sql("COMMIT")

    def tell_of_migration(self, connection: sqlalchemy.Connection) -> None:
        connection.execute(delete(schema.keys).where(schema.keys.c.name == schema.MIGRATING))
        connection.execute(update(schema.turn).values(version=schema.turn.c.version + 1))

    def nodes(self, leases: Sequence[str]) -> list[Node]:
        with self.translating(), self.engine.connect() as connection:
            return nodes.connected(connection, str(self._target.database), leases)

    def lease(self, name: str, seconds: float) -> AbstractAsyncContextManager[Lease]:
        return self._leases.hold(name, seconds)

    async def close(self) -> None:
        await self._leases.close()

    def _dial(self, statement_seconds: float) -> Driver:
        """A new connection, ready for use. Raises InvalidSetting, StoreUnavailable, and the driver's errors."""
        target = self._target
        driver = Driver(
            host=target.host or "localhost",
            user=target.username,
            password=(target.password or "").encode(),
            database=target.database,
            charset="utf8mb4",
            collation="utf8mb4_nopad_bin",
            autocommit=True,
            read_timeout=CONNECT_SECONDS,
            write_timeout=CONNECT_SECONDS,
            ssl=self._tls,
            # FOUND_ROWS: a row counts where it was found, also if it was right already
            client_flag=CLIENT.MULTI_STATEMENTS | CLIENT.FOUND_ROWS,
            program_name="plantel",
            defer_connect=True,
        )
        driver.connect(self._socket())
        try:
            _check_version(driver.server_version)
            _check_durability(driver)
            with driver.cursor() as cursor:
                cursor.execute(_SESSION, (IDLE_SECONDS, LOCK_SECONDS))
            _check_escapes(driver)
            driver.wait_for_answers(statement_seconds)
        except BaseException:
            driver.close()
            raise
        return driver

    def _socket(self) -> socket.socket:
        """Connected, and found out within SILENCE_SECONDS where the other side is no more."""
        target = self._target
        path = target.query.get("unix_socket")
        try:
            if isinstance(path, str):
                connected = socket.socket(socket.AF_UNIX)
                connected.settimeout(CONNECT_SECONDS)
                try:
                    connected.connect(path)
                except OSError:
                    connected.close()
                    raise
                return connected
            connected = socket.create_connection((target.host or "localhost", target.port or 3306), CONNECT_SECONDS)
        except OSError as error:
            where = path or f"{target.host or 'localhost'}:{target.port or 3306}"
            raise pymysql.OperationalError(CR.CR_CONN_HOST_ERROR, f"no connection to {where}: {error}") from error
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENCE_SECONDS // 3)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENCE_SECONDS // 3)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)
        return connected


def _invalid(en: str, es: str) -> errors.InvalidSetting:
    return errors.InvalidSetting(setting="store.url", detail=Text(en, es))


def _target(url: str) -> sqlalchemy.URL:
    wrong = _invalid(
        "must be mariadb://USER:PASSWORD@HOST:PORT/DATABASE, with %XX for what has a meaning there",
        "debe ser mariadb://USUARIO:CLAVE@SERVIDOR:PUERTO/BASE, con %XX para lo que allí tiene significado",
    )
    try:
        target = make_url(url)
    except (exc.ArgumentError, ValueError):
        raise wrong from None
    # a password with an @ that is not written as %XX ends up in the host, in part
    if not target.username or not target.database or "@" in (target.host or ""):
        raise wrong
    for option in target.query:
        if option not in _OPTIONS:
            nearest = difflib.get_close_matches(option, _OPTIONS, 1, 0.0)[0]
            raise _invalid(
                f"{option} is no option of it; the nearest is {nearest}",
                f"{option} no es una opción suya; la más parecida es {nearest}",
            )
    return target


def _tls(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """None where nothing is asked for: PyMySQL then takes TLS where it is offered."""
    authority, certificate, key = options.get("ssl_ca"), options.get("ssl_cert"), options.get("ssl_key")
    if not (authority or certificate or key):
        return None
    if not authority:
        raise _invalid("ssl_cert and ssl_key need ssl_ca", "ssl_cert y ssl_key necesitan ssl_ca")
    try:
        context = ssl.create_default_context(cafile=authority)
        if certificate:
            context.load_cert_chain(certificate, key)
    except OSError as error:
        raise _invalid(
            f"the files of ssl_ca, ssl_cert or ssl_key cannot be used: {error}",
            f"los archivos de ssl_ca, ssl_cert o ssl_key no se pueden usar: {error}",
        ) from error
    return context


def _check_version(version: str) -> None:
    """Raise InvalidSetting unless it is a MariaDB that has all that the statements need (JSON_TABLE, SKIP LOCKED)."""
    needed = ".".join(map(str, NEEDED))
    number = version.removeprefix("5.5.5-")  # so that old clients of MySQL would not be frightened by a 10
    try:
        found = tuple(int(part) for part in number.split("-")[0].split(".")[:2])
    except ValueError:
        found = ()
    if "mariadb" not in version.lower() or found < NEEDED:
        raise _invalid(
            f"the server is {number}; MariaDB {needed} or later is needed",
            f"el servidor es {number}; hace falta MariaDB {needed} o posterior",
        )


def _check_durability(driver: Driver) -> None:
    """Raise StoreUnavailable where the server may lose what it has committed when its machine fails."""
    with driver.cursor() as cursor:
        cursor.execute("SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog")
        ((flush, logged, synced),) = cursor.fetchall()
    if flush not in {1, 3}:
        setting = f"innodb_flush_log_at_trx_commit is {flush}"
    elif logged and synced != 1:
        setting = f"sync_binlog is {synced}"  # what the binary log has lost InnoDB takes back
    else:
        return
    raise errors.StoreUnavailable(detail=f"{setting} on this server: it has to be 1, or a crash loses what was stored")


def _check_escapes(driver: Driver) -> None:
    """Raise StoreUnavailable where a backslash would mean something in the literals that `mariadb` writes."""
    if not driver.server_status & SERVER_STATUS.SERVER_STATUS_NO_BACKSLASH_ESCAPES:
        raise errors.StoreUnavailable(detail="the server does not take the session's sql_mode")


def _clear_unfinished(connection: sqlalchemy.Connection) -> None:
    """Drop our tables where no stamp says that they were ever complete, and none but the keys' holds anything."""
    there = set(sqlalchemy.inspect(connection).get_table_names())
    ours = {schema.turn.name: schema.turn, **schema.metadata.tables}
    if not there or not there <= ours.keys():
        return
    kept = there - {schema.turn.name, schema.keys.name}
    if any(connection.execute(sqlalchemy.select(ours[name]).limit(1)).first() for name in kept):
        return
    for name in there:
        ours[name].drop(connection)
