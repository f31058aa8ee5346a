"""The journal, batch by batch: each line continues those before it, and each batch is what its operation means."""

from collections import Counter
from collections.abc import Mapping, Sequence

from plantel.batch import Batch
from plantel.ports import Entry
from plantel.roster import Member, fold
from tests.support.history.campaigns import Campaigns
from tests.support.history.history import History
from tests.support.history.meaning import Difference, Key, Rules, key_of, kind_of, phone_of
from tests.support.history.operation import Operation, Refused, Stored
from tests.support.history.timeline import Timeline
from tests.support.history.violation import Fault, Violation


class Replay:
    """What `history` comes to, where `operations` are those of its batches, by place."""

    def __init__(self, history: History, operations: Mapping[int, Operation]) -> None:
        self.violations: list[Violation] = []
        self.timeline = Timeline()
        self._campaigns = Campaigns(history)
        self._phones: dict[Key, Key] = {}
        """Who is on each phone."""
        self._check_order(history)
        lines: dict[str, list[Entry]] = {}
        for line in history.lines:
            lines.setdefault(line.batch, []).append(line)
        for place, batch in enumerate(history.batches, 1):
            own = lines.pop(batch.id, [])
            self._check_lines(place, batch, own)
            operation = operations.get(place)
            if operation is not None:
                self._check_operation(place, batch, own, operation)
            self.timeline.pass_batch(own)
        for batch_id in lines:
            self._blame(Fault.PHANTOM, f"the journal has lines of {batch_id}, which is no batch")
        self._check_pasts(history)
        self._check_end(history.members)

    def _check_order(self, history: History) -> None:
        """Revisions count up, in the order of the batches, each of which has its own in one piece."""
        places = {batch.id: place for place, batch in enumerate(history.batches, 1)}
        for before, line in zip(history.lines, history.lines[1:], strict=False):
            both = (places.get(before.batch, 0), places.get(line.batch, 0))
            if line.revision <= before.revision:
                self._blame(Fault.GAP, f"revision {line.revision} stands after {before.revision}", *both)
            if both[1] < both[0]:
                text = f"revision {line.revision} is of a batch before that of revision {before.revision}"
                self._blame(Fault.GAP, text, *both)

    def _check_lines(self, place: int, batch: Batch, lines: Sequence[Entry]) -> None:
        if lines and not batch.stored:
            self._blame(Fault.STORED_THOUGH_REFUSED, f"batch {batch.id} was refused, and has lines", place)
        for key, times in Counter(key_of(line.change.member) for line in lines).items():
            if times > 1:
                self._blame(Fault.TWICE, f"batch {batch.id} changes {key[1]} {times} times", place)
        for line in lines:
            self._check_before(place, batch, line)
        for line in lines:
            after = line.change.after
            if after is not None:
                other = self._phones.setdefault(phone_of(after), key_of(after))
                if other != key_of(after):
                    text = f"revision {line.revision} puts {after.membername} on the phone of {other[1]}"
                    self._blame(Fault.GAP, text, place)

    def _check_before(self, place: int, batch: Batch, line: Entry) -> None:
        """The line continues what was there; that one's phone is free from here on."""
        there = self.timeline.roster.get(key_of(line.change.member))
        if there != line.change.before:
            text = f"revision {line.revision} follows {shown(line.change.before)}; there was {shown(there)}"
            self._blame(Fault.GAP, text, place)
        if (line.actor, line.at) != (batch.actor, batch.at):
            self._blame(Fault.WRONG, f"revision {line.revision} has not the actor or the time of its batch", place)
        if there is not None and self._phones.get(phone_of(there)) == key_of(there):
            del self._phones[phone_of(there)]

    def _check_operation(self, place: int, batch: Batch, lines: Sequence[Entry], operation: Operation) -> None:
        """The batch is what the operation means at this point. What an answer says of it is so."""
        found = [self._judged(rules, batch, lines, operation) for rules in self._campaigns.rules(operation)]
        if all(found):
            self.violations += (Violation(fault, text, (operation.number,), (place,)) for fault, text in found[0])

    def _judged(
        self, rules: Rules, batch: Batch, lines: Sequence[Entry], operation: Operation
    ) -> list[tuple[Fault, str]]:
        ask, outcome, roster = operation.ask, operation.outcome, self.timeline.roster
        problems = rules.problems(ask, roster)
        if not batch.stored:
            codes = {problem.code for problem in batch.problems}
            told = {outcome.code} if isinstance(outcome, Refused) else set()
            if codes and codes <= problems and told <= codes:
                return []
            text = f"refused for {', '.join(sorted(codes | told))}; reasons there: {', '.join(problems) or 'none'}"
            return [(Fault.REFUSED_WITHOUT_REASON, text)]
        if problems:
            return [(Fault.WRONG, f"done, in spite of {', '.join(problems)}")]
        wrong: list[tuple[Fault, str]] = []
        wanted = rules.difference(ask, roster)
        found: Difference = {key_of(one.change.member): (one.change.before, one.change.after) for one in lines}
        if found != wanted:
            fault = Fault.TORN if found.items() < wanted.items() else Fault.WRONG
            wrong.append((fault, f"changes {told_changes(found)}; it means {told_changes(wanted)}"))
        wrong += (
            (Fault.WRONG, f"revision {line.revision} calls it {line.change.kind}")
            for line in lines
            if line.change.kind is not kind_of(ask, line.change.before, line.change.after)
        )
        if isinstance(outcome, Stored) and outcome.changes not in {None, len(lines)}:
            wrong.append((Fault.WRONG, f"told of {outcome.changes} changes, {len(lines)} are recorded"))
        return wrong

    def _check_pasts(self, history: History) -> None:
        for past in history.pasts:
            place = max((at for at, batch in enumerate(history.batches, 1) if batch.at <= past.moment), default=0)
            for campaign in (*history.campaigns, history.passing):
                crew = [member for member in past.members if fold(member.campaign) == fold(campaign)]
                if not self.timeline.was(campaign, crew, place):
                    text = f"at {past.moment}, in {campaign}: {', '.join(map(shown, crew)) or 'nobody'}"
                    self._blame(Fault.PAST, text, place)

    def _check_end(self, members: Sequence[Member]) -> None:
        roster, found = self.timeline.roster, Counter(members)
        for member in (Counter(roster.values()) - found).elements():
            self._blame(Fault.END, f"by the journal, {shown(member)} is there", self.timeline.place)
        for member in (found - Counter(roster.values())).elements():
            self._blame(Fault.END, f"{shown(member)} is there, but not by the journal", self.timeline.place)

    def _blame(self, fault: Fault, text: str, *places: int) -> None:
        self.violations.append(Violation(fault, text, places=places))


def shown(member: Member | None) -> str:
    """In a few characters."""
    if member is None:
        return "nobody"
    state = " paused" if member.paused else ""
    return f"{member.membername}@{member.campaign} on {member.interface} penalty {member.penalty}{state}"


def told_changes(difference: Difference) -> str:
    told = [f"{shown(before)} => {shown(after)}" for before, after in difference.values()]
    return "; ".join(told) or "nothing"
