"""The stores on which a history is made."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Ground(NamedTuple):
    """A store that does not exist yet, by its url; and what can be done to its database meanwhile, by name.

    Each fault returns once it is over, and the database answers again.
    """

    url: str
    faults: Mapping[str, Callable[[], None]] = {}


@contextmanager
def sqlite(folder: Path) -> Iterator[Ground]:
    """One file, which several processes share."""
    yield Ground(f"sqlite:///{folder}/plantel.db")


GROUNDS = {"sqlite": sqlite}
"""Each makes its own in a folder, and takes it down again."""
