"""One look at queues and their members, and how much of it there may be."""

from plantel.ami import wire
from plantel.ami.limits import ITEM_BYTES, LOOK_BYTES, MEMBERS_MOST, QUEUES_MOST
from plantel.ami.members import live_member, usual_member
from plantel.plan import LiveMember


class Look:
    """Feeds `Connection.pipeline` with the answers to QueueStatus. `queues`: the members by queue."""

    __slots__ = ("_bytes", "_found", "_members", "refusal")

    def __init__(self) -> None:
        self._found: dict[str, list[LiveMember]] = {}
        self._members = 0
        self._bytes = 0
        self.refusal: str | None = None
        """Why Asterisk does not show its queues; None where it does."""

    @property
    def queues(self) -> dict[str, tuple[LiveMember, ...]]:
        return {queue: tuple(members) for queue, members in self._found.items()}

    def item(self, message: wire.Message) -> None:
        """Take a queue or a member. Raises wire.Malformed, wire.TooMuch."""
        block = message.block
        self._bytes += len(block)
        if len(block) > ITEM_BYTES:
            raise wire.TooMuch("item_bytes", ITEM_BYTES)
        if self._bytes > LOOK_BYTES:
            raise wire.TooMuch("look_bytes", LOOK_BYTES)
        try:
            if (usual := usual_member(block)) is not None:
                self._put(*usual)
                return
            headers = message.headers
            event = headers["Event"]
            if event == "QueueMember":
                self._put(headers["Queue"], live_member(headers))
            elif event == "QueueParams":
                self._found.setdefault(headers["Queue"], [])
                if len(self._found) > QUEUES_MOST:
                    raise wire.TooMuch("queues", QUEUES_MOST)
        except (KeyError, ValueError) as error:
            raise wire.Malformed(f"{message.headers.get('Event')}: {error}") from None

    def _put(self, queue: str, member: LiveMember) -> None:
        self._found[queue].append(member)
        self._members += 1
        if self._members > MEMBERS_MOST:
            raise wire.TooMuch("members", MEMBERS_MOST)

    def answered(self, _number: int, answer: wire.Message) -> None:
        """Take the end of a list, or a refusal."""
        if not answer.succeeded and self.refusal is None:
            self.refusal = wire.told(answer.text)
