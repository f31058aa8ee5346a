"""AMI with as little as possible between: what Plantel's delivery is held against, and the eyes that watch both."""

import contextlib
import socket
import threading
import time
from collections.abc import Sequence

from bench.measure import BenchFailed
from plantel.roster import Member
from plantel.testing.asterisk import AmiUser, PrivateAsterisk

WINDOW = 256
"""Actions sent and not yet answered."""

PATIENCE = 20.0
"""Seconds to wait for the next byte."""

OBSERVER = AmiUser("observer", "observer", read="agent", write="system")
"""Sees the members' events, and may filter them."""

READER = AmiUser("reader", "reader", write="agent,reporting")
"""Has Asterisk read its members from a database: what Plantel needs for that, and who looks for them there."""

_END = b"\r\n\r\n"


class Ami:
    """One connection of `user`. Events come only where `events` names their class. Methods raise BenchFailed."""

    def __init__(self, asterisk: PrivateAsterisk, user: AmiUser, *, events: str = "off") -> None:
        self._socket = socket.create_connection((asterisk.host, asterisk.ami_port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        self._until(b"\r\n")  # the banner
        self.request("Action: Login", f"Username: {user.name}", f"Secret: {user.secret}", f"Events: {events}")

    def close(self) -> None:
        self._socket.close()

    def request(self, *headers: str) -> None:
        """Send one action, and wait until it has succeeded."""
        self._socket.sendall(_block(*headers))
        self.wait_for(b"Response: Success")

    def send(self, action: bytes) -> None:
        """Send one action."""
        self._socket.sendall(action)

    def wait_for(self, words: bytes) -> None:
        """Return at the first message that holds `words`; passes over what comes before it, unless it is an error."""
        while words not in (message := self._until(_END)):
            if message.startswith(b"Response: Error"):
                raise BenchFailed(message.decode(errors="replace"))

    def pipeline(self, actions: Sequence[bytes]) -> None:
        """Send all, never more than WINDOW ahead of the answers, and return when each has succeeded. Events are off."""
        sent = answered = 0
        while answered < len(actions):
            if sent - answered <= WINDOW // 2:
                ahead = min(len(actions), answered + WINDOW)
                self._socket.sendall(b"".join(actions[sent:ahead]))
                sent = ahead
            self._more()
            *messages, self._read = self._read.split(_END)
            for message in messages:
                if not message.startswith(b"Response: Success"):
                    raise BenchFailed(message.decode(errors="replace"))
            answered += len(messages)

    def members(self) -> int:
        """How many members there are in all queues."""
        self._socket.sendall(_block("Action: QueueStatus"))
        count = 0
        while b"Event: QueueStatusComplete" not in (message := self._until(_END)):
            count += message.startswith(b"Event: QueueMember\r\n")
        return count

    def read_anew(self, members: Sequence[Member]) -> None:
        """Have Asterisk read the queue of each of these from its database, and find them there. Raises BenchFailed.

        QUEUE_MEMBER reads, as a call into the queue does; QueueStatus alone shows what was read before.
        """
        self._socket.sendall(b"".join(map(_look, members)))
        for one in members:
            item = ("Event: QueueMember", f"Queue: {one.campaign}", f"Name: {one.membername}")
            wanted = _block(*item, f"Location: {one.interface}").removesuffix(b"\r\n")
            found = False
            while b"Event: QueueStatusComplete" not in (message := self._until(_END)):
                if message.startswith(b"Response: Error"):
                    raise BenchFailed(message.decode(errors="replace"))
                found = found or message.startswith(wanted)
            if not found:
                raise BenchFailed(f"Asterisk does not show {one.interface} in {one.campaign}")

    def _until(self, end: bytes) -> bytes:
        while end not in self._read:
            self._more()
        found, _, self._read = self._read.partition(end)
        return found

    def _more(self) -> None:
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise BenchFailed(f"Asterisk has said nothing for {PATIENCE} s") from None
        if not data:
            raise BenchFailed("Asterisk closed the connection")
        self._read += data


def _block(*headers: str) -> bytes:
    return "\r\n".join((*headers, "", "")).encode()


def queue_add(member: Member) -> bytes:
    """The action that adds `member`."""
    return _block(
        "Action: QueueAdd",
        f"Queue: {member.campaign}",
        f"Interface: {member.interface}",
        f"MemberName: {member.membername}",
        f"Penalty: {member.penalty}",
        f"Paused: {int(member.paused)}",
    )


def _look(member: Member) -> bytes:
    reading = _block("Action: Getvar", f"Variable: QUEUE_MEMBER({member.campaign},count)")
    return reading + _block("Action: QueueStatus", f"Queue: {member.campaign}", f"Member: {member.interface}")


def check(asterisk: PrivateAsterisk, wanted: int) -> None:
    """That Asterisk has so many members in all. Raises BenchFailed."""
    with contextlib.closing(Ami(asterisk, asterisk.user)) as ami:
        if (found := ami.members()) != wanted:
            raise BenchFailed(f"Asterisk has {found} members, not {wanted}")


class Watcher(threading.Thread):
    """Waits for the addition of `count` members of the name `membername`, one in each queue.

    Asterisk filters the events for it: were it to see each of 50,000, it would slow down what it watches.
    """

    def __init__(self, asterisk: PrivateAsterisk, membername: str, count: int) -> None:
        super().__init__(daemon=True)
        self._ami = Ami(asterisk, OBSERVER, events="agent")
        self._ami.request("Action: Filter", "Operation: Add", f"Filter: MemberName: {membername}")
        self._count = count
        self._seen = 0.0
        self._error: BenchFailed | None = None
        self.start()

    def run(self) -> None:
        try:
            for _ in range(self._count):
                self._ami.wait_for(b"Event: QueueMemberAdded")
            self._seen = time.perf_counter()
        except BenchFailed as error:
            self._error = error
        finally:
            self._ami.close()

    def seen(self, seconds: float) -> float:
        """The moment (`perf_counter`) at which the last of them appeared. Raises BenchFailed after `seconds`."""
        self.join(seconds)
        if self._error is not None:
            raise self._error
        if self.is_alive():
            raise BenchFailed(f"the members were not added within {seconds} s")
        return self._seen
