"""A node as the database sees it."""

from typing import NamedTuple


class Node(NamedTuple):
    """A process that is connected to the database of a store with the store's user, or all on one machine."""

    name: str
    """`plantel`, the machine and the process, or what it calls itself; empty where the database does not know."""

    address: str
    """Where it is connected from; empty for a socket of the database's machine."""

    leases: tuple[str, ...]
    """Those that it holds at this moment, of those that were asked for."""
