"""The line to a real Asterisk fails: afterwards it agrees with the roster, and nothing was sent without a look."""

import random

import pytest

from tests.support.floor import Floor, crew

pytestmark = [pytest.mark.anyio, pytest.mark.asterisk]

SECONDS = 10.0
"""Within which a cut line must be forgotten: back-off, login, a look and the changes."""

SILENT_SECONDS = 15.0
"""The same for a line that is silent, with IMPATIENT deadlines."""


@pytest.mark.parametrize("from_asterisk", [True, False])
async def test_cut_mid_action_again_and_again(floor: Floor, from_asterisk: bool) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it where the test fails
    moments = random.Random(seed)
    async with floor.plantel() as plantel:
        for round_ in range(5):
            floor.proxy.cut_after = (moments.randrange(1, 60_000), from_asterisk)
            if round_ % 2:
                await plantel.remove(moments.sample(await plantel.roster(), 700))
            else:
                await plantel.add(crew(1500, 1500 * round_))
            await floor.agreement(plantel, SECONDS)
        assert len(floor.proxy.lines) > 3
        await floor.only_foreign_is_left(plantel)
