"""Strangers send whatever they like: nobody else notices."""

import pytest

from tests.abuse.conftest import Stands
from tests.support.abuse.attack import Attack
from tests.support.abuse.strangers import ATTACKS, TLS_ATTACKS


@pytest.mark.parametrize("attack", [*ATTACKS, *TLS_ATTACKS], ids=lambda attack: attack.name)
def test_a_stranger_holds_nobody_up(stands: Stands, attack: Attack) -> None:
    stands(attack)
