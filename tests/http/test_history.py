"""Clients of several nodes that are killed, frozen and started again: one order explains all that they were told.

`PLANTEL_HISTORY_SEED=...` asks for the same things and does the same harm again, and nothing else;
`PLANTEL_HISTORY_SECONDS=...` goes on for longer.
"""

import os
import random
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.support.history.ground import GROUNDS
from tests.support.history.operation import Stored
from tests.support.history.report import report
from tests.support.history.site import Site

SECONDS = float(os.environ.get("PLANTEL_HISTORY_SECONDS", "12"))
SEED = int(os.environ.get("PLANTEL_HISTORY_SEED") or random.SystemRandom().randrange(2**32))


@pytest.mark.timeout(120 + 3 * SECONDS)
@pytest.mark.parametrize("ground", GROUNDS)
def test_one_order_explains_all_that_the_clients_were_told(ground: str, tmp_path: Path) -> None:
    print(f"PLANTEL_HISTORY_SEED={SEED}")  # noqa: T201 - pytest shows it where the test fails
    with GROUNDS[ground](tmp_path) as made:
        site = Site(tmp_path, made, SEED, SECONDS)
        history = site.run()
    kept = tmp_path / "history.json"
    kept.write_bytes(msgspec.json.encode(history))
    outcomes = Counter(type(one.outcome).__name__ for one in history.operations)
    print(f"{dict(outcomes)}, {len(history.lines)} lines, {dict(site.faults)}; kept in {kept}")  # noqa: T201 - the same
    told = report(history)
    assert not told, told
    assert outcomes[Stored.__name__] > 100, "too few to tell anything"
    assert site.faults.total() > 0
