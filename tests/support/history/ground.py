"""The stores on which a history is made."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple


class Ground(NamedTuple):
    """An empty store, by its url; and what can be done to its database meanwhile, by name.

    Within the context of a fault something is wrong; when it ends, the database is well again.
    """

    url: str
    faults: Mapping[str, Callable[[], AbstractContextManager[None]]] = {}


@contextmanager
def sqlite(folder: Path) -> Iterator[Ground]:
    """One file, which several processes share."""
    yield Ground(f"sqlite:///{folder}/plantel.db")


GROUNDS = {"sqlite": sqlite}
"""Each makes its own in a folder, and takes it down again."""
