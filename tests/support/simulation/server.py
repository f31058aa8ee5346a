"""One simulated Asterisk: whose it is what is in it, and what Plantel does to it."""

import asyncio
from collections.abc import Callable, Iterable

from plantel.phones import AS_SENT, PhoneRules
from plantel.plan import LiveMember, Membership
from plantel.roster import Member, as_reason, fold
from plantel.testing.app_queue import AppQueue
from tests.support.simulation.story import Key, Story, at


class Server:
    """The queues of one Asterisk. Whoever is not Plantel changes them within `meddle`.

    `phones`: what it calls them. `repair`: whether what others change is to be put right, and not just reported.
    """

    def __init__(self, name: str, story: Story, phones: PhoneRules = AS_SENT, *, repair: bool = True) -> None:
        self.name = name
        self.phones = phones
        self.repair = repair
        self.pbx = AppQueue()
        self.pbx.watchers.append(self._changed)
        self.foreign: set[Key] = set()
        """Live dynamic members that somebody else put there."""
        self.protected: set[Key] = set()
        """Those of them that came when Plantel had nothing to do with the phone: not Plantel's to remove.

        Where the roster names the phone in the same chapter, a look from before may have led to an addition of which
        nobody knows whether it is the one there.
        """
        self.firm: set[Key] = set()
        """Those of them that come from an earlier chapter, whatever the roster names now."""
        self.disturbed: set[Key] = set()
        """What somebody else has ever changed, or a restart or a reload."""
        self.watched = False
        """Whether nothing ever fails here: then what is not to be repaired never is."""
        self.actions = 0
        """How many changes Plantel made, and of them: pauses."""
        self.pauses = 0
        self.paused_by_others: dict[Key, list[tuple[float, tuple[bool, str]]]] = {}
        """When somebody else set which pause, and for which reason."""
        self._story = story
        self._meddling = False
        self._removed: Key | None = None
        """What Plantel's last action took out: a member gets another name by being put in anew."""

    def meddle(self, action: Callable[[], object]) -> None:
        """Have somebody else do this."""
        self._meddling = True
        try:
            action()
        finally:
            self._meddling = False

    def restart(self) -> None:
        """Dynamic members are gone. Connections are not this server's to end."""
        self._disturb(self.pbx.members())
        self.pbx.restart()
        for keys in (self.foreign, self.protected, self.firm):
            keys.clear()

    def drop(self, queue: str) -> None:
        self._disturb(name for name in self.pbx.members() if fold(name) == fold(queue))
        self.pbx.drop(queue)
        for keys in (self.foreign, self.protected, self.firm):
            keys -= {key for key in keys if key[0] == fold(queue)}

    def named(self, key: Key) -> bool:
        """Whether the roster names the phone, or did at some moment of this chapter."""
        return self._story.named(key, self.phones)

    def wanted(self, roster: Iterable[Member]) -> tuple[dict[Key, Member], list[Member]]:
        """Who has to be on which phone here, and who cannot be, since another member has theirs."""
        those: dict[Key, list[Member]] = {}
        for member in roster:
            those.setdefault(at(member, self.phones), []).append(member)
        lost = []
        for (_, phone), members in those.items():
            members.sort(key=lambda member: (member.phone != phone, member.membername))
            lost += members[1:]
        return {key: members[0] for key, members in those.items()}, lost

    def begin_chapter(self) -> None:
        """All is quiet: what stands is as it should be."""
        self.firm = {key for key in self.protected if not self._story.claimed(self.name, key, added=True)}
        self.protected = set(self.firm)

    def live(self, queue: str) -> dict[str, LiveMember] | None:
        """The members of a queue by folded interface; None where there is no such queue."""
        for name, members in self.pbx.members().items():
            if fold(name) == fold(queue):
                return {fold(member.interface): member for member in members}
        return None

    def _changed(self, event: str, queue: str, member: LiveMember) -> None:
        key = (fold(queue), fold(member.interface))
        self._story.tell(
            f"    {self.name}: {'others' if self._meddling else 'plantel'} {event} {queue} {member.interface}"
            f" {member.membername} {member.penalty} {f'paused {member.paused_reason}' if member.paused else ''}"
        )
        if self._meddling:
            self._by_others(event, key, member)
        else:
            self._by_plantel(event, key, member)

    def _disturb(self, queues: Iterable[str]) -> None:
        for queue in queues:
            self.disturbed |= {(fold(queue), phone) for phone in self.live(queue) or ()}

    def _by_others(self, event: str, key: Key, member: LiveMember) -> None:
        self.disturbed.add(key)
        if event == "QueueMemberPause" or (event == "QueueMemberAdded" and member.paused):
            moment = asyncio.get_running_loop().time()
            done = member.paused, as_reason(member.paused_reason)
            self.paused_by_others.setdefault(key, []).append((moment, done))
        if event == "QueueMemberAdded":
            self.foreign.add(key)
            if not self.named(key) and not self._story.claimed(self.name, key):
                self.protected.add(key)
        elif event == "QueueMemberRemoved":
            self._gone(key)

    def _by_plantel(self, event: str, key: Key, member: LiveMember) -> None:
        self.actions += 1
        self.pauses += event == "QueueMemberPause"
        undoes = event == "QueueMemberPenalty" or (event == "QueueMemberAdded" and key != self._removed)
        if undoes and self.watched and not self.repair and not self._story.changed(key, self.phones):
            self._story.blame(f"{self.name}: Plantel repaired {key}, which it is only to report")
        self._removed = key if event == "QueueMemberRemoved" else None
        if event == "QueueMemberRemoved":
            if key in self.firm or (key in self.protected and not self.named(key)):
                self._story.blame(f"{self.name}: Plantel removed {key}, which somebody else put there")
            self._gone(key)
        elif event != "QueueMemberAdded":
            strange = key in self.protected or member.membership is Membership.STATIC
            if strange and not self.named(key):
                self._story.blame(f"{self.name}: Plantel changed {key}, which the roster did not name")

    def _gone(self, key: Key) -> None:
        for keys in (self.foreign, self.protected, self.firm):
            keys.discard(key)
