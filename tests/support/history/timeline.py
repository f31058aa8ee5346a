"""The roster after each batch of the journal: where reads find their place."""

from collections.abc import Iterable

from plantel.ports import Entry
from plantel.roster import Member, fold
from tests.support.history.meaning import Key, key_of

Span = tuple[int, int]
"""The first and the last of the places at which a campaign was so."""


class Timeline:
    """Place 0 is before the first batch, place n after the n-th."""

    def __init__(self) -> None:
        self.roster: dict[Key, Member] = {}
        """After the last batch."""
        self.place = 0
        self._spans: dict[tuple[str, frozenset[Member]], list[Span]] = {}
        self._now: dict[str, tuple[int, frozenset[Member]]] = {}
        """Of each folded campaign, since when it is how it is."""

    def pass_batch(self, lines: Iterable[Entry]) -> None:
        """One batch more: what its lines say is so from now on."""
        self.place += 1
        touched = set()
        for line in lines:
            key = key_of(line.change.member)
            touched.add(key[0])
            if line.change.after is None:
                self.roster.pop(key, None)
            else:
                self.roster[key] = line.change.after
        for campaign in touched:
            since, content = self._of(campaign)
            self._spans.setdefault((campaign, content), []).append((since, self.place - 1))
            crew = (member for (name, _), member in self.roster.items() if name == campaign)
            self._now[campaign] = (self.place, frozenset(crew))

    def spans(self, campaign: str, members: Iterable[Member]) -> list[Span]:
        """When the campaign had just these members, in order; the last place is the present one."""
        folded, content = fold(campaign), frozenset(members)
        found = list(self._spans.get((folded, content), ()))
        since, now = self._of(folded)
        return [*found, (since, self.place)] if now == content else found

    def was(self, campaign: str, members: Iterable[Member], place: int) -> bool:
        """Whether the campaign had just these members after that batch."""
        return any(first <= place <= last for first, last in self.spans(campaign, members))

    def _of(self, campaign: str) -> tuple[int, frozenset[Member]]:
        return self._now.get(campaign, (0, frozenset()))
