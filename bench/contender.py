"""Who brings members to an Asterisk, and how one sees that they are there."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from plantel.roster import Member
from plantel.testing.asterisk import PrivateAsterisk

Add = Callable[[Sequence[Member]], object]
"""Has the members added, and may return before Asterisk has them."""


class Contender(msgspec.Struct, frozen=True):
    """Ready to begin, with an Asterisk of its own whose queues are empty.

    watch    to be called before `add`, with the same members; what it returns is called after, waits until Asterisk has
             them and gives the moment (`perf_counter`) at which that was seen. Raises BenchFailed
    """

    asterisk: PrivateAsterisk
    add: Add
    watch: Callable[[Sequence[Member]], Callable[[], float]]


Entry = Callable[[Path, Sequence[str]], AbstractContextManager[Contender]]
"""Makes a contender with its files in a folder of its own, and with these campaigns."""
