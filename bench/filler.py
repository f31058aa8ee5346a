"""What it takes to fill a store by SQL alone, in one go: through the store it would take hours."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager


class Filler(ABC):
    """How one database says it."""

    @abstractmethod
    def open(self, url: str) -> "AbstractContextManager[Filler]":
        """For a new store, which nobody needs to survive a crash before the end; then it is on the disk."""
        ...

    @abstractmethod
    def execute(self, statement: str) -> None:
        """Execute it. Between `open` and its end."""

    @abstractmethod
    def count(self, rows: int) -> str:
        """A table whose one column `i` counts from 0 up to, not including, `rows`."""

    @abstractmethod
    def quotient(self, number: str, by: int) -> str:
        """The whole part of the quotient."""

    @abstractmethod
    def text(self, before: str, number: str, digits: int, after: str = "") -> str:
        """The number, with so many digits, between two texts."""

    @abstractmethod
    def drop_index(self) -> None:
        """Leave the journal without its index by member: one made afterwards is sorted once."""

    @abstractmethod
    def make_index(self) -> None:
        """Make it again."""
