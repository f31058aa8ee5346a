"""The changes of a plan as AMI actions, and Asterisk's answers as outcomes.

Sources: `manager_add_queue_member` and its kin in Asterisk's `apps/app_queue.c`; every message below was seen on 16.28.
"""

from plantel.ami import wire
from plantel.errors import ActionRefused, MemberNotDynamic, PrivilegeMissing, QueueMissing
from plantel.plan import Action, Add, Pause, Penalise, Remove
from plantel.ports import Outcome


def name(action: Action) -> str:
    """What Asterisk calls the action."""
    match action:
        case Add():
            return "QueueAdd"
        case Remove():
            return "QueueRemove"
        case Penalise():
            return "QueuePenalty"
        case Pause():
            return "QueuePause"


def encode(action: Action) -> bytes:
    """The action on the wire, without an ActionID. Raises wire.Unsendable."""
    headers = [("Action", name(action)), ("Queue", action.queue), ("Interface", action.interface)]
    match action:
        case Add():
            headers += [
                ("MemberName", action.membername),
                ("Penalty", str(action.penalty)),
                ("Paused", "1" if action.paused else "0"),
            ]
            if action.state_interface:
                headers.append(("StateInterface", action.state_interface))
        case Penalise():
            headers.append(("Penalty", str(action.penalty)))
        case Pause():
            headers.append(("Paused", "1" if action.paused else "0"))
            if action.reason:
                headers.append(("Reason", action.reason))
        case Remove():
            pass
    return wire.encode(headers)


def outcome(server: str, action: Action, answer: wire.Message) -> Outcome:
    """What became of `action`.

    To remove a member that is `Not there` is done, not refused: what was wanted is so. Only QueueAdd and QueueRemove
    tell an unknown queue; QueuePause and QueuePenalty give the same answer for an unknown interface.
    """
    if answer.succeeded:
        return None
    detail = answer.text
    if detail.endswith("No such queue"):
        return QueueMissing(server=server, queue=action.queue)
    if detail == "Member not dynamic":
        return MemberNotDynamic(server=server, queue=action.queue, interface=action.interface)
    if detail == "Permission denied":
        return PrivilegeMissing(server=server, action=name(action))
    if isinstance(action, Remove) and detail.endswith("Not there"):
        return None
    return ActionRefused(server=server, action=name(action), detail=wire.told(detail))
