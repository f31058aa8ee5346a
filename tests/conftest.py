"""What every test may use."""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from plantel.testing.mariadb import PrivateMariadb
from plantel.testing.postgresql import PrivatePostgresql
from tests.support.server import PlantelServer, served
from tests.support.tls import Certificate, make_certificate

HARD_NAMES = ("José Ñandú", "Ventas & Cobros", "Línea 100%", "A+B", "POWER<-")
"""Names that the usual clients encode each in its own way."""

MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def bytecode() -> Iterator[None]:
    """The program is started hundreds of times, and not compiled anew each time, wherever its source may be."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as environment:
        environment.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        environment.setenv("PYTHONPYCACHEPREFIX", folder)
        yield


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A throw-away authority and a server certificate for the loopback names."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def plantel_server(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[PlantelServer]:
    """A Plantel over TLS with the hard names as campaigns, open to browsers of any origin; shared, so leave it tidy."""
    server = PlantelServer(tmp_path_factory.mktemp("server"), certificate=certificate, http={"cors_origins": ["*"]})
    server.declare(HARD_NAMES)
    with served(server):
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PrivatePostgresql]:
    """A PostgreSQL server; shared, so leave it running. In memory: what has to survive here is its processes' end."""
    with PrivatePostgresql(within=MEMORY if MEMORY.is_dir() else None) as server:
        yield server


_numbers = itertools.count()


@pytest.fixture
def postgresql_url(postgresql: PrivatePostgresql) -> str:
    """Where an empty database of the test's own is."""
    return postgresql.database(f"test_{next(_numbers)}")


@pytest.fixture(scope="session")
def running_mariadb() -> Iterator[PrivateMariadb]:
    """In memory, as `postgresql`."""
    with PrivateMariadb(within=MEMORY if MEMORY.is_dir() else None) as server:
        yield server


@pytest.fixture
def mariadb(running_mariadb: PrivateMariadb) -> PrivateMariadb:
    """A running MariaDB, whatever an earlier test did to it; each test makes a database of its own in it."""
    running_mariadb.thaw()
    if running_mariadb.pid is None:
        running_mariadb.start()
    return running_mariadb


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/plantel.db"


@pytest.fixture
def mariadb_url(mariadb: PrivateMariadb) -> str:
    """Where an empty database of the test's own is."""
    return mariadb.make_database()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Where an empty database is, of each kind that a store can stand on."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url
