"""What several nodes did on one server, in the order in which it reached the server, and what must never be in it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from plantel.testing.ami_server import Headers
from tests.support.ami_proxy import CHANGES


class Deed(NamedTuple):
    """An action that reached the server. `at`: by the event loop's clock."""

    at: float
    node: str
    action: Headers

    @property
    def change(self) -> bool:
        return self.action.get("Action") in CHANGES

    @property
    def place(self) -> tuple[str, str]:
        return self.action.get("Queue", ""), self.action.get("Interface", "")

    def __str__(self) -> str:
        shown = " ".join(f"{name}={value}" for name, value in self.action.items() if name != "ActionID")
        return f"{self.at:.3f} {self.node}: {shown}"


def blind(record: Iterable[Deed]) -> Iterator[tuple[Deed, Deed]]:
    """Two nodes at work at one time: a change by one since the last look of another, and what the other then did."""
    since: dict[str, Deed | None] = {}
    nodes: set[str] = set()
    for deed in record:
        nodes.add(deed.node)
        if not deed.change:
            if deed.action.get("Action") == "QueueStatus":
                since[deed.node] = None
            continue
        if (other := since.get(deed.node)) is not None:
            yield other, deed
        for node in nodes - {deed.node}:
            since[node] = deed


def backwards(record: Iterable[Deed]) -> Iterator[tuple[Deed, Deed]]:
    """An intent carried out after a newer one: of each phone the penalty only ever rises, as its client asks for it."""
    newest: dict[tuple[str, str], Deed] = {}
    for deed in record:
        if deed.change and "Penalty" in deed.action:
            before = newest.get(deed.place)
            if before is not None and int(before.action["Penalty"]) > int(deed.action["Penalty"]):
                yield before, deed
            newest[deed.place] = deed
