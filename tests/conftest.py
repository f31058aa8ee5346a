"""What every test may use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from plantel.testing.mariadb import PrivateMariadb
from tests.support.server import PlantelServer, served
from tests.support.tls import Certificate, make_certificate

HARD_NAMES = ("José Ñandú", "Ventas & Cobros", "Línea 100%", "A+B", "POWER<-")
"""Names that the usual clients encode each in its own way."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


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
def running_mariadb() -> Iterator[PrivateMariadb]:
    # what was committed outlives a kill of the server; only the machine's own end would need the disk
    with PrivateMariadb(["--innodb-flush-method=nosync", "--skip-sync-frm"]) as server:
        yield server


@pytest.fixture
def mariadb(running_mariadb: PrivateMariadb) -> PrivateMariadb:
    """A running MariaDB, whatever an earlier test did to it; each test makes a database of its own in it."""
    running_mariadb.thaw()
    if running_mariadb.pid is None:
        running_mariadb.start()
    return running_mariadb


@pytest.fixture(params=["sqlite", "mariadb"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind that a store can stand on."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/plantel.db"
    server: PrivateMariadb = request.getfixturevalue(request.param)
    return server.make_database()
