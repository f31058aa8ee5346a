"""Whatever stands where an Asterisk should be: those who add members notice nothing."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.abuse.conftest import Stands, stands_on
from tests.support.abuse.asterisks import HOSTILITIES, Asterisks
from tests.support.abuse.attack import CONFIG, HTTP, Attack, AttackedServer
from tests.support.server import PlantelServer

pytestmark = pytest.mark.long

SECONDS = 3.0
"""Longer than other attacks, since Plantel has to come to it first."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stands, list[Attack]]]:
    """A Plantel with one server of each kind, well-behaved until its attack begins."""
    with ExitStack() as stack:
        asterisks = stack.enter_context(Asterisks())
        config = CONFIG + asterisks.settings()
        server = PlantelServer(tmp_path_factory.mktemp("asterisks"), http=HTTP, config=config)
        attacked = stack.enter_context(AttackedServer(server).running())
        yield stands_on(attacked, SECONDS), asterisks.attacks()


OFTEN = [pytest.param(number, id=one.name) for number, one in enumerate(HOSTILITIES) if not one.rare]


@pytest.mark.parametrize("number", OFTEN)
def test_a_hostile_asterisk_holds_nobody_up(site: tuple[Stands, list[Attack]], number: int) -> None:
    stands, attacks = site
    outcome = stands(attacks[number])
    assert outcome.answers, "Plantel came to it"
