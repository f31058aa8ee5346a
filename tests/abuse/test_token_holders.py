"""Holders of a token send whatever they like: nobody else notices."""

import pytest

from tests.abuse.conftest import Stands
from tests.support.abuse.attack import Attack
from tests.support.abuse.token_holders import ATTACKS

pytestmark = pytest.mark.long

OFTEN = [one for one in ATTACKS if not one.rare]
"""The others only with `make abuse`."""


@pytest.mark.parametrize("attack", OFTEN, ids=lambda attack: attack.name)
def test_a_token_holder_holds_nobody_up(stands: Stands, attack: Attack) -> None:
    stands(attack)
