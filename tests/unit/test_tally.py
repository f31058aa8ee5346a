"""Problems of a batch in bounds: told one by one up to a thousand, then counted."""

import pytest

from plantel import errors
from plantel.batch import settle
from plantel.errors import InvalidItem, MoreProblems
from plantel.roster import Interfaces, Member
from plantel.tally import PROBLEMS, UNTOLD, Tally, together


def problems(count: int, first: int = 1) -> list[InvalidItem]:
    return [errors.EmptyValue(key="membername", item=number) for number in range(first, first + count)]


def told(found: list[InvalidItem]) -> tuple[int, int]:
    """How many are told one by one, and how many are counted."""
    more = [one.params["count"] for one in found if isinstance(one, MoreProblems)]
    assert found[len(found) - len(more) :] == [one for one in found if isinstance(one, MoreProblems)]
    return len(found) - len(more), sum(more)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, (0, 0)),
        (PROBLEMS - 1, (PROBLEMS - 1, 0)),
        (PROBLEMS, (PROBLEMS, 0)),
        (PROBLEMS + 1, (PROBLEMS, 1)),
        (3 * PROBLEMS, (PROBLEMS, 2 * PROBLEMS)),
    ],
)
def test_so_many_are_told_and_the_others_counted(count: int, expected: tuple[int, int]) -> None:
    made = Tally()
    for number in range(count):
        made.make(errors.EmptyValue, key="membername", item=number + 1)
    assert told(Tally(problems(count)).told()) == told(made.told()) == expected


def test_what_several_tallies_counted_is_counted_together() -> None:
    whole = together(Tally([*problems(PROBLEMS), UNTOLD, UNTOLD]).told(), [], problems(3, 50))
    assert told(whole) == (PROBLEMS, 5)


def test_problems_are_told_by_item_and_one_is_kept_as_it_is() -> None:
    late, early = problems(1, 9)[0], problems(1, 2)[0]
    assert together([late], [early]) == [early, late]


def test_contradictions_and_interfaces_without_number_are_told_in_bounds() -> None:
    clashing = [Member("c", "ana", f"SIP/{number}") for number in range(PROBLEMS + 3)]
    assert told(settle(clashing)[1]) == (PROBLEMS, 2)
    refused = [Member("c", f"a{number}", f"SIP/{number}@trunk") for number in range(PROBLEMS + 3)]
    assert told(Interfaces().check(refused)) == (PROBLEMS, 3)
