"""Databases with a roster, from which an Asterisk reads over each driver that the documentation names."""

from typing import Any, Protocol

import psycopg
import pymysql

from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql
from plantel.testing.realtime import Realtime, odbc, pgsql

PASSWORD = "secreto"


class Base(Protocol):
    """A database, and in it Asterisk's user `pbx1`, who may do what the documentation grants and nothing else."""

    url: str
    realtime: Realtime

    def grant(self) -> None:
        """What an administrator does once the view is there."""

    def administer(self, statement: str) -> list[tuple[Any, ...]]:
        """Run it as who may do everything; its rows, if it gives any."""
        ...

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """Run it as Asterisk's user; its rows, if it gives any. Raises RefusedToAsterisk."""
        ...

    def stop(self) -> None: ...

    def start(self) -> None: ...


class RefusedToAsterisk(Exception):
    """The message is the database's."""


class PostgresqlBase(Base):
    def __init__(self, server: PrivatePostgresql, name: str) -> None:
        self._server, self._name, self._user = server, name, f"pbx1_{name}"
        self.url = server.database(name)
        server.execute(f"CREATE ROLE {self._user} LOGIN PASSWORD '{PASSWORD}'")
        self.realtime = pgsql(server.host, server.port, name, self._user, PASSWORD)

    def grant(self) -> None:
        self.administer(f"GRANT SELECT, UPDATE ON queue_members TO {self._user}")

    def administer(self, statement: str) -> list[tuple[Any, ...]]:
        return self._server.execute(statement, database=self._name)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        try:
            with psycopg.connect(self.url, user=self._user, password=PASSWORD, connect_timeout=5) as connection:
                cursor = connection.execute(statement.encode())
                return [] if cursor.description is None else cursor.fetchall()
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.CheckViolation) as error:
            raise RefusedToAsterisk(error) from error

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()


class MariadbBase(Base):
    def __init__(self, server: PrivateMariadb, _name: str) -> None:
        self._server = server
        self.url = server.make_database()
        self._name = self.url.rpartition("/")[2]
        server.sql(f"CREATE USER IF NOT EXISTS pbx1@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        self.realtime = odbc(server.host, server.port, self._name, "pbx1", PASSWORD)

    def grant(self) -> None:
        self.administer("GRANT SELECT, UPDATE ON queue_members TO pbx1@'127.0.0.1'")

    def administer(self, statement: str) -> list[tuple[Any, ...]]:
        return self._server.sql(f"USE {self._name}", statement)

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        connection = pymysql.connect(
            host=self._server.host,
            port=self._server.port,
            user="pbx1",
            password=PASSWORD,
            database=self._name,
            charset="utf8mb4",
            autocommit=True,
        )
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())
        except pymysql.OperationalError as error:
            raise RefusedToAsterisk(error) from error

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()
