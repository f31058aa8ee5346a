"""With the store in PostgreSQL: the attacks that give the store the most to do."""

from collections.abc import Iterator

import pytest

from plantel.testing.postgresql import PrivatePostgresql
from tests.abuse.conftest import Stands, stands_on
from tests.support.abuse.attack import CONFIG, HTTP, Attack, AttackedServer
from tests.support.abuse.token_holders import ATTACKS
from tests.support.server import PlantelServer

HEAVY = (
    "large batches side by side",
    "refused batches, and the list of them",
    "the large campaign as it was",
    "why, four at a time",
)


@pytest.fixture(scope="module")
def stands(tmp_path_factory: pytest.TempPathFactory, postgresql: PrivatePostgresql) -> Iterator[Stands]:
    store = postgresql.database("attacked")
    server = PlantelServer(tmp_path_factory.mktemp("attacked"), http=HTTP, config=CONFIG, store=store)
    with AttackedServer(server).running() as attacked:
        yield stands_on(attacked)


@pytest.mark.parametrize("attack", [one for one in ATTACKS if one.name in HEAVY], ids=lambda attack: attack.name)
def test_a_token_holder_holds_nobody_up(stands: Stands, attack: Attack) -> None:
    stands(attack)
