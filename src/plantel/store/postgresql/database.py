"""The PostgreSQL database behind a store."""

import os
import re
import secrets
import socket
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.pool import NullPool

from plantel import errors
from plantel.language import Text
from plantel.ports import Lease
from plantel.store import schema
from plantel.store.connection import Database
from plantel.store.node import Node
from plantel.store.postgresql import connection as postgresql
from plantel.store.postgresql import nodes
from plantel.store.postgresql.connection import PostgresqlConnection
from plantel.store.postgresql.lease import PostgresqlLeaseSession
from plantel.store.postgresql.news import PostgresqlNews
from plantel.store.session_lease import SessionLeases

OLDEST = 150000
"""PostgreSQL 15."""

MIGRATION_SECONDS = 600
"""How long to wait while another node makes or migrates the schema."""

SILENT_SECONDS = 60
"""Between two steps of a migration. They are statements, and what is between them takes no time."""

_SCHEMA_LOCK = postgresql.WRITE_LOCK + 1

_DEFAULTS = {
    # of several hosts, the one that can be written: a standby may not yet show what was stored
    "target_session_attrs": "read-write",
    "connect_timeout": "5",
    # a network that is cut is noticed within about ten seconds, in the midst of an answer or without a word
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}

_FACTS = "SELECT current_setting('fsync'), current_setting('server_encoding'), current_setting('synchronous_commit')"


class PostgresqlDatabase(Database):
    """`postgresql://user:password@host:port/database?sslmode=...`, all that libpq takes, several hosts too."""

    def __init__(self, url: str) -> None:
        """Connects when first used. Raises InvalidSetting."""
        self._parameters: dict[str, Any] = {
            **_DEFAULTS,
            # for who asks which nodes there are; the server keeps 63 bytes
            "fallback_application_name": f"plantel {socket.gethostname()[:40]}:{os.getpid()}",
            **_parsed(url),
            "client_encoding": "UTF8",
        }
        self.engine = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=self._open,
            poolclass=NullPool,
            hide_parameters=True,  # its errors would show them: digests of passwords
            isolation_level="AUTOCOMMIT",
        )
        self._node = secrets.token_hex(8)
        self._news = PostgresqlNews(self._parameters, self._node)
        self._leases = SessionLeases(lambda: PostgresqlLeaseSession.open(self._parameters))

    @staticmethod
    def shown(url: str) -> str:
        """`url` for people to read: without password and options."""
        try:
            parts = _parsed(url)
        except errors.InvalidSetting:
            return "postgresql://"
        hosts = str(parts.get("host", "")).split(",")
        ports = str(parts.get("port", "")).split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        places = ",".join(f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=False))
        user = f"{parts['user']}@" if "user" in parts else ""
        return f"postgresql://{user}{places}/{parts.get('dbname', '')}"

    def translated(self, error: BaseException) -> errors.StoreError | None:
        return postgresql.translated(error)

    def connect(self, *, writable: bool, patient: bool = False) -> PostgresqlConnection:
        with self.translating():
            return PostgresqlConnection(self.engine, writable=writable, patient=patient, node=self._node)

    def lock_schema(self, connection: sqlalchemy.Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.execute("BEGIN")
        # who stops in the midst of it gives it up: others wait
        silent, locked = "idle_in_transaction_session_timeout", "lock_timeout"
        driver.execute(
            "SELECT set_config(%s, %s, true), set_config(%s, %s, true)",
            [silent, f"{SILENT_SECONDS}s", locked, f"{MIGRATION_SECONDS}s"],
        )
        driver.execute("SELECT pg_advisory_xact_lock(%s)", [_SCHEMA_LOCK])

    def announce_migration(self, connection: sqlalchemy.Connection, _version: str) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        # a batch that began before the migration must not end after it
        driver.execute(f"SELECT pg_advisory_xact_lock({postgresql.WRITE_LOCK})")

    def tell_of_migration(self, connection: sqlalchemy.Connection) -> None:
        connection.scalar(schema.commits)

    def check_sessions(self) -> None:
        with self.translating():
            nodes.check_sessions(self._parameters)

    def nodes(self, leases: Sequence[str]) -> list[Node]:
        with self.translating(), self.engine.connect() as connection:
            return nodes.connected(connection, leases)

    def lease(self, name: str, seconds: float) -> AbstractAsyncContextManager[Lease]:
        return self._leases.hold(name, seconds)

    async def wait_elsewhere(self, seconds: float) -> None:
        await self._news.wait(seconds)

    async def close(self) -> None:
        await self._news.close()
        await self._leases.close()

    def _open(self) -> psycopg.Connection:
        """A connection on which a commit is durable. Raises StoreUnavailable, psycopg.Error."""
        driver = psycopg.connect(**self._parameters, autocommit=True)
        try:
            driver.adapters.register_dumper(str, postgresql.Text)
            _check(driver)
        except BaseException:
            driver.close()
            raise
        return driver


def _parsed(url: str) -> dict[str, Any]:
    try:
        parsed = dict(conninfo_to_dict(url))
        # a password with @ or / that is not written as %XX ends up there, in part
        misplaced = "@" in str(parsed.get("host", ""))[1:] or re.search(r"[^\d,]", str(parsed.get("port", "")))
    except psycopg.ProgrammingError:
        misplaced = True
    if misplaced:
        # without libpq's message, which would repeat the URL, with the password
        detail = Text(
            "must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE?OPTION=VALUE, with %XX for what has a meaning there",
            "debe ser postgresql://USUARIO:CLAVE@SERVIDOR:PUERTO/BASE?OPCIÓN=VALOR, con %XX para lo que allí tiene"
            " significado",
        )
        raise errors.InvalidSetting(setting="store.url", detail=detail)
    return parsed


def _check(driver: psycopg.Connection) -> None:
    """Refuse a server on which an answer could not be kept, and ask for as much durability as it was set up for."""
    if driver.info.server_version < OLDEST:
        version = driver.info.parameter_status("server_version")
        raise errors.StoreUnavailable(detail=f"PostgreSQL {version} is too old: 15 or later is needed")
    row = driver.execute(_FACTS).fetchone()
    assert row is not None
    fsync, encoding, synchronous = row
    if fsync != "on":
        raise errors.StoreUnavailable(detail="fsync is off on this server: what it commits is lost in a crash")
    if encoding != "UTF8":
        raise errors.StoreUnavailable(detail=f"the database's encoding is {encoding}: UTF8 is needed")
    if synchronous not in {"on", "remote_apply"}:
        # with standbys `on` waits until they have it on disk, as far as synchronous_standby_names tells to
        driver.execute("SET synchronous_commit = on")
