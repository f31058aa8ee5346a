"""The stores on which a history is made."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql

_MEMORY = Path("/dev/shm")
"""What has to survive here is the end of processes, not that of a machine."""


class Ground(NamedTuple):
    """An empty store, by its url; and what can be done to its database meanwhile, by name.

    Within the context of a fault something is wrong; when it ends, the database is well again.
    """

    url: str
    faults: Mapping[str, Callable[[], AbstractContextManager[None]]] = {}


class _Server(Protocol):
    """A database server of one's own."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...


@contextmanager
def sqlite(folder: Path) -> Iterator[Ground]:
    """One file, which several processes share."""
    yield Ground(f"sqlite:///{folder}/plantel.db")


@contextmanager
def postgresql(folder: Path) -> Iterator[Ground]:
    """A server, which goes away in every way."""
    with PrivatePostgresql(within=_within()) as server:
        yield Ground(server.database("plantel"), _faults(server, server.crash))


@contextmanager
def mariadb(folder: Path) -> Iterator[Ground]:
    """The same."""
    with PrivateMariadb(within=_within()) as server:
        yield Ground(server.make_database(), _faults(server, server.kill))


def _within() -> Path | None:
    return _MEMORY if _MEMORY.is_dir() else None


def _faults(server: _Server, kill: Callable[[], None]) -> Mapping[str, Callable[[], AbstractContextManager[None]]]:
    @contextmanager
    def killed() -> Iterator[None]:
        kill()
        yield
        server.start()

    @contextmanager
    def stopped() -> Iterator[None]:
        server.stop()
        yield
        server.start()

    @contextmanager
    def frozen() -> Iterator[None]:
        server.freeze()
        try:
            yield
        finally:
            server.thaw()

    return {"the database killed": killed, "the database stopped": stopped, "the database frozen": frozen}


GROUNDS = {"sqlite": sqlite, "postgresql": postgresql, "mariadb": mariadb}
"""Each makes its own in a folder, and takes it down again."""
