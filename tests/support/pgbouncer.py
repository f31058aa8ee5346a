"""A private PgBouncer before a private PostgreSQL."""

import socket
from collections.abc import Sequence
from pathlib import Path

from plantel.testing.postgresql import PrivatePostgresql
from plantel.testing.private_server import free_port
from plantel.testing.temporary_server import TemporaryServer


class PrivatePgbouncer(TemporaryServer):
    """Debian's `pgbouncer`, which lends the sessions of `behind` as `mode` says: session, transaction, statement."""

    name = "PgBouncer"
    _logs = ("log",)
    _users = ("postgres", "nobody")  # it refuses root, as databases do

    def __init__(self, behind: PrivatePostgresql, mode: str) -> None:
        super().__init__(within=None)
        self.port = free_port(socket.SOCK_STREAM)
        self._behind = behind
        self._mode = mode

    def url(self, database: str) -> str:
        """As `PrivatePostgresql.url`, through here."""
        return self._behind.url(database).replace(f":{self._behind.port}/", f":{self.port}/")

    def make(self) -> None:
        (self.directory / "users").write_text(f'"plantel" "{self._behind.password}"\n')
        (self.directory / "pgbouncer.ini").write_text(
            f"""[databases]
            * = host={self._behind.host} port={self._behind.port}
            [pgbouncer]
            listen_addr = {self.host}
            listen_port = {self.port}
            unix_socket_dir =
            auth_type = plain
            auth_file = users
            pool_mode = {self._mode}
            """.replace("    ", "")
        )

    def _command(self) -> Sequence[str | Path]:
        return "/usr/sbin/pgbouncer", "pgbouncer.ini"

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0
