"""Holders of a token send whatever they like: nobody else notices."""

import pytest

from tests.abuse.conftest import Stands
from tests.support.abuse.attack import Attack
from tests.support.abuse.token_holders import ATTACKS


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_token_holder_holds_nobody_up(stands: Stands, attack: Attack) -> None:
    stands(attack)
