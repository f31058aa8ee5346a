"""The state of a phone, as Asterisk's channel drivers report it."""

from enum import IntEnum


class DeviceState(IntEnum):
    """`enum ast_device_state` of Asterisk's `devicestate.h`; the names are those that DEVICE_STATE() gives."""

    UNKNOWN = 0
    """The channel driver does not tell. Queues ring such a phone."""
    NOT_INUSE = 1
    INUSE = 2
    BUSY = 3
    INVALID = 4
    """The server knows no such phone."""
    UNAVAILABLE = 5
    """Known, but not registered, or it does not answer."""
    RINGING = 6
    RINGINUSE = 7
    """In a call, and another one rings."""
    ONHOLD = 8

    @property
    def free(self) -> bool:
        """Whether a queue rings it whatever its ringinuse (`member_status_available` of app_queue.c)."""
        return self in {DeviceState.NOT_INUSE, DeviceState.UNKNOWN}
