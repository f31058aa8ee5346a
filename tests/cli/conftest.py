"""One running server, and a way to call it as an integrator does."""

from collections.abc import Iterator

import pytest

from tests.support.integrator import Integrator
from tests.support.server import PlantelServer, served


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlantelServer]:
    """A server that runs while the command line changes its store."""
    server = PlantelServer(tmp_path_factory.mktemp("cli"))
    server.declare(["Ventas->", "POWER<-"])
    with served(server):
        yield server


@pytest.fixture(scope="package")
def integrator(server: PlantelServer) -> Integrator:
    return Integrator(server)
