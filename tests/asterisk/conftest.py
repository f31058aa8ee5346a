"""A private Asterisk of each version for this folder's tests, and a switch on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from plantel.ami import AmiSwitch
from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.testing.installation import Installation
from tests.support.ami_proxy import AmiProxy
from tests.support.asterisks import VERSIONS
from tests.support.floor import QUEUES_CONF, STRANGERS, Floor, Observer

QUEUES = ("Ventas->", "POWER<-", "Línea 100%", "Ventas & Cobros", "A+B")
USERS = (AmiUser("looker", "uno", read="call", write="call"), AmiUser("boss", "dos", read="all", write="all"))


@pytest.fixture(scope="session", params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def installation(version: str) -> Installation:
    return VERSIONS[version]()


@pytest.fixture(scope="session")
def running_asterisk(tmp_path_factory: pytest.TempPathFactory, installation: Installation) -> Iterator[PrivateAsterisk]:
    with PrivateAsterisk(
        tmp_path_factory.mktemp("pbx"),
        queues=dict.fromkeys(QUEUES, ()),
        phones=("1001", "1002"),
        users=USERS,
        installation=installation,
        ring_seconds=1,
    ) as asterisk:
        yield asterisk


@pytest.fixture
def asterisk(running_asterisk: PrivateAsterisk) -> PrivateAsterisk:
    """A running Asterisk with QUEUES and nobody in them."""
    if running_asterisk.pid is None:
        running_asterisk.start()
    running_asterisk.configure(dict.fromkeys(QUEUES, ()))
    for line in running_asterisk.cli("queue show").splitlines():
        assert "(dynamic)" not in line, "an earlier test left a member behind"
    return running_asterisk


@pytest.fixture
async def switch(asterisk: PrivateAsterisk) -> AsyncIterator[AmiSwitch]:
    """A switch on `asterisk`; whoever is in a queue at the end of the test goes with Asterisk."""
    switch = AmiSwitch("pbx1", asterisk.host, asterisk.ami_port, asterisk.user.name, asterisk.user.secret)
    yield switch
    await switch.close()
    asterisk.kill()  # a second quicker than to stop it


@pytest.fixture
async def floor(asterisk: PrivateAsterisk, tmp_path: Path) -> AsyncIterator[Floor]:
    """The floor of tests/support/floor.py; whatever a test did to Asterisk goes with it."""
    asterisk.configure(QUEUES_CONF)
    observer = Observer(asterisk, USERS[1])
    await observer.put(*STRANGERS)
    async with AmiProxy(asterisk.ami_port) as proxy:
        yield Floor(asterisk, proxy, observer, tmp_path)
    await observer.close()
    asterisk.kill()  # as above
