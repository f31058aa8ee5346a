"""A PostgreSQL that follows another one, synchronously, and can take its place."""

import shutil
from types import TracebackType
from typing import Self

from plantel.testing.postgresql import PrivatePostgresql


class Standby(PrivatePostgresql):
    """Made as a copy of `primary`, which from then on answers a commit once it is written down here as well."""

    def __init__(self, primary: PrivatePostgresql) -> None:
        super().__init__({"hot_standby": "on"}, within=primary.folder.parent)
        self.password = primary.password
        self._primary = primary

    def __enter__(self) -> Self:
        try:
            self.make()
            self.start()
            self._primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            self._primary.execute("SELECT pg_reload_conf()")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def make(self) -> None:
        """Copy the primary's files as they are."""
        primary = self._primary
        shutil.rmtree(self.data, ignore_errors=True)
        self.run(
            "pg_basebackup",
            f"--pgdata={self.data}",
            f"--dbname=host={primary.host} port={primary.port} user=postgres application_name=standby",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        )

    def url(self, database: str, user: str = "plantel") -> str:
        """For `open_store`: both servers, of which one can be written."""
        primary = self._primary
        places = f"{primary.host}:{primary.port},{self.host}:{self.port}"
        return f"postgresql://{user}:{self.password}@{places}/{database}?target_session_attrs=read-write"

    def promote(self) -> None:
        """Make it the primary. It waits for no standby of its own. Raises PostgresqlFailed."""
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.write("synchronous_standby_names = ''\n")
        self.run("pg_ctl", "promote", f"--pgdata={self.data}", "--wait", "--timeout=30")
