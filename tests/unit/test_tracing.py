"""Names that somebody may have meant."""

import pytest

from plantel.roster import Member
from plantel.why.tracing import SIMILAR_MOST, _similar


def members(*names: str) -> list[Member]:
    return [Member("Ventas->", name, f"SIP/{number}") for number, name in enumerate(names, 1000)]


@pytest.mark.parametrize(
    "slip", ["fernanda.lopes", "frenanda.lopez", "Fernanda.Lopez", "ernanda.lopez", "fernanda.loepz"]
)
def test_a_slip_is_understood(slip: str) -> None:
    assert _similar(slip, members("ana", "fernanda.lopez", "eva", "bernardo.gomez")) == ("fernanda.lopez",)


def test_of_very_many_that_are_alike_a_few_are_offered() -> None:
    alike = members(*(f"agent-{number:05d}" for number in range(20_000)))
    assert len(_similar("agent-0000x", alike)) == SIMILAR_MOST
    assert _similar("x" * 100_000, alike) == ()
