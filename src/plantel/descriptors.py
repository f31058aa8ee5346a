"""File descriptors: how many this process may have, and how many of them are for connections.

    0 ............ OWN ............ connections + slack ............ soft limit ........ hard limit
    store, AMI, log   HTTP connections, a few too many       nobody, if all is well    the reserve

The server library cannot go on if it has no descriptor for a new connection (`docs/decisions/connections.md`). So the
soft limit stays below the hard one by a reserve: the soft limit is raised to the hard one only if it was reached.
"""

import resource
from typing import NamedTuple

OWN = 128
"""Descriptors for everything but connections: store, AMI, log, event loops. A service with twenty Asterisks has 70."""

LEAST = 16
"""Connections that are always admitted, however low the limit."""

_ENDLESS = 2**20
"""What "unlimited" counts as: Linux' own ceiling for one process, if nobody moved it."""

_BACKLOG_LEAST = 128
_BACKLOG_MOST = 1024
"""Of connections that wait to be accepted. If more come at once, their clients try again after a second."""


class Descriptors(NamedTuple):
    """The limits of this process, and what it needs to admit all the connections that it was told to."""

    soft: int
    hard: int
    needed: int


class Share(NamedTuple):
    """What one limit allows: `connections`, for a moment `slack` more, `backlog` that wait to be accepted.

    The slack is an eighth of the connections at least, and as many again if there is room.
    """

    connections: int
    slack: int
    backlog: int

    @property
    def reserve(self) -> int:
        """Descriptors for all that can still be accepted after the kernel was told to let nobody in.

        As many connections as `backlog` have been made, and as many again are being made.
        """
        return 2 * self.backlog


def descriptors(connections: int) -> Descriptors:
    """The limits as they are now, and what `connections` need. `hard` has to be at least `needed`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Descriptors(_finite(soft), _finite(hard), needed(connections))


def needed(connections: int) -> int:
    """The lowest limit whose share is that many connections."""
    used = OWN - (-connections * 9 // 8)
    return max(used + 2 * _BACKLOG_LEAST, min(used + 2 * _BACKLOG_MOST, -(-used * 8 // 7)))


def share(limit: int, connections: int) -> Share:
    """What `limit` descriptors allow, with at most `connections`."""
    backlog = min(max(limit // 16, _BACKLOG_LEAST), _BACKLOG_MOST)
    room = limit - OWN - 2 * backlog
    admitted = max(LEAST, min(connections, room * 8 // 9))
    return Share(admitted, min(admitted, max(room - admitted, 0)), backlog)


def take(reserve: int) -> int:
    """Set the soft limit to the hard one less `reserve`; what it is now. No privilege is needed for that."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = max(_finite(hard) - reserve, OWN)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


def _finite(limit: int) -> int:
    return _ENDLESS if limit == resource.RLIM_INFINITY else limit
