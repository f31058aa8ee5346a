"""The sockets behind one port, as the Linux kernel knows them: who is there, who has to go, whom to let in.

The server library owns the sockets; they are found among this process's descriptors. A descriptor may be closed and
used for another socket at any moment, so a socket is known by its inode, and nothing is done to another.
"""

import ctypes
import errno
import ipaddress
import os
import socket
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from plantel.http.connections import Seen

_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
"""From the kernel's asm-generic/socket.h."""

_INFO = struct.Struct("=24x I 16x I 4x I 64x Q 16x I")
"""Of struct tcp_info in linux/tcp.h: unacked, last_data_sent, last_data_recv, bytes_acked, notsent_bytes."""

_AT_ONCE = struct.pack("ii", 1, 0)
"""struct linger: what is not sent yet is thrown away when the socket is closed."""

_V4, _V6 = 4, 8
"""Bytes of a network."""


class _Known(NamedTuple):
    """A connection of this port: its peer, as the server library spells it, and the peer's network."""

    client: str
    network: bytes


class Sockets:
    """The listening sockets of `port` in this process, and their connections.

    `unread`: seconds after which the kernel gives up a connection whose peer takes nothing, even if it is closed here.
    """

    def __init__(self, port: int, unread: float) -> None:
        self._port = port
        self._unread = round(unread * 1000)
        self._known: dict[int, _Known | None] = {}
        """By inode; None is a socket of something else."""
        self._listeners: dict[int, int] = {}
        """By inode, the descriptor."""
        self.others = 0
        """How many descriptors were used for anything else at the last look."""

    def look(self) -> list[Seen]:
        """The connections that are open."""
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208  # thousands
        found: list[Seen] = []
        known: dict[int, _Known | None] = {}
        for descriptor in descriptors:
            inode = _socket_inode(descriptor)
            if not inode:
                continue
            with suppress(OSError):  # closed just now
                one = self._known[inode] if inode in self._known else self._recognise(descriptor, inode)
                known[inode] = one
                if one is not None:
                    found.append(_seen(descriptor, inode, one))
        self._known = known
        self.others = len(descriptors) - len(found)
        return found

    @property
    def listening(self) -> bool:
        """Whether a listening socket was found."""
        return bool(self._listeners)

    def _recognise(self, descriptor: int, inode: int) -> _Known | None:
        with _borrowed(descriptor) as borrowed:
            if borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL) != socket.IPPROTO_TCP:
                return None
            if borrowed.getsockname()[1] != self._port:
                return None
            if borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                # its connections inherit it
                borrowed.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, min(self._unread, 2**31 - 1))
                self._listeners[inode] = descriptor
                return None
            peer = borrowed.getpeername()
        return _Known(_spelled(peer), network(peer[0]))

    def close(self, one: Seen, *, at_once: bool) -> bool:
        """End the connection in both directions; whether it is ended. `at_once`: what its peer has not read is dropped.

        It is not if there is no descriptor left: what is behind the one that was seen may be something else by now.
        """
        try:
            own = os.dup(one.descriptor)
        except OSError as error:
            return error.errno == errno.EBADF
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, fileno=own) as end:
            if _socket_inode(own) == one.inode:
                if at_once:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                with suppress(OSError):  # the peer was faster
                    end.shutdown(socket.SHUT_RDWR)
        return True

    def refuse(self, networks: Sequence[bytes] | None) -> None:
        """Ignore who wants to connect from these networks, or from anywhere if None. The peer's kernel tries again.

        Afterwards at most as many connections are accepted as have waited for that. It needs neither a privilege nor a
        descriptor.
        """
        program = entry_filter(networks)
        code = ctypes.create_string_buffer(b"".join(program))
        self._set(_SO_ATTACH_FILTER, struct.pack("@HP", len(program), ctypes.addressof(code)))

    def admit(self) -> None:
        """Let in everybody."""
        with suppress(FileNotFoundError):  # nobody was refused
            self._set(_SO_DETACH_FILTER, bytes(4))

    def _set(self, option: int, value: bytes) -> None:
        for inode, descriptor in self._listeners.items():
            if _socket_inode(descriptor) == inode:
                with _borrowed(descriptor) as listener:
                    listener.setsockopt(socket.SOL_SOCKET, option, value)


def _socket_inode(descriptor: int) -> int:
    """0 if it is no socket, or was closed."""
    try:
        status = os.fstat(descriptor)
    except OSError:
        return 0
    return status.st_ino if stat.S_ISSOCK(status.st_mode) else 0


@contextmanager
def _borrowed(descriptor: int) -> Iterator[socket.socket]:
    """It as a socket object, which does not close it."""
    # of this family, since its addresses are the longest that are read
    borrowed = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, fileno=descriptor)
    try:
        yield borrowed
    finally:
        borrowed.detach()


def _seen(descriptor: int, inode: int, one: _Known) -> Seen:
    borrowed = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 0, fileno=descriptor)
    try:
        info = borrowed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
    finally:
        borrowed.detach()
    unacked, sent, received, delivered, unsent = _INFO.unpack(info)
    return Seen(
        inode=inode,
        descriptor=descriptor,
        client=one.client,
        network=one.network,
        delivered=delivered,
        unsent=unsent + bool(unacked),
        idle=min(sent, received) / 1000,
        listening=sent <= received,
    )


def _spelled(peer: tuple[Any, ...]) -> str:
    """As RSGI has it: "127.0.0.1:40100", "[::1]:40100", "[fe80::1%2]:40100"."""
    address, port, *more = peer
    if not more:
        return f"{address}:{port}"
    _, zone = more
    address = address.partition("%")[0]
    return f"[{address}%{zone}]:{port}" if zone else f"[{address}]:{port}"


def network(address: str) -> bytes:
    """What one subscriber is given: an IPv4 address, or the first half of an IPv6 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.ipv4_mapped.packed if parsed.ipv4_mapped else parsed.packed[:_V6]
    return parsed.packed


# --- a program of the kernel's packet filter --------------------------------------------------------------------------

_LOAD_BYTE, _LOAD_WORD = 0x30, 0x20
_AND, _SHIFT_RIGHT = 0x54, 0x74
_JUMP_EQUAL, _RETURN = 0x15, 0x06

_PASS, _DROP = 0xFFFFFFFF, 0
_FLAGS = 13
"""Where the TCP header has them: a filter of a TCP socket begins there."""
_SYN, _SYN_OR_ACK = 0x02, 0x12
_IP = 0xFFF00000
"""Where the IP header begins, for such a filter."""


def entry_filter(networks: Sequence[bytes] | None) -> list[bytes]:
    """A program that drops the first packet of connections from these networks; if None, all that makes connections.

    Connections that are made while a filter is there inherit it. To one of these networks' it does nothing.
    """
    if networks is None:
        return [_step(_RETURN, _DROP)]
    new = [_step(_LOAD_BYTE, _FLAGS), _step(_AND, _SYN_OR_ACK), _step(_JUMP_EQUAL, _SYN, 1, 0), _step(_RETURN, _PASS)]
    short = [one for one in networks if len(one) == _V4]
    long = [one for one in networks if len(one) == _V6]
    old_ip = [_step(_LOAD_WORD, _IP + 12), *(step for one in short for step in _drop_equal(one)), _step(_RETURN, _PASS)]
    return [
        *new,
        _step(_LOAD_BYTE, _IP),
        _step(_SHIFT_RIGHT, 4),
        _step(_JUMP_EQUAL, 4, 0, len(old_ip)),
        *old_ip,
        *(step for one in long for step in _drop_equal_halves(one)),
        _step(_RETURN, _PASS),
    ]


def _drop_equal(network: bytes) -> Iterable[bytes]:
    yield _step(_JUMP_EQUAL, int.from_bytes(network, "big"), 0, 1)
    yield _step(_RETURN, _DROP)


def _drop_equal_halves(network: bytes) -> Iterable[bytes]:
    yield _step(_LOAD_WORD, _IP + 8)
    yield _step(_JUMP_EQUAL, int.from_bytes(network[:4], "big"), 0, 3)
    yield _step(_LOAD_WORD, _IP + 12)
    yield from _drop_equal(network[4:])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
