"""One client of several nodes: it asks one thing after another, and writes down what it was told."""

import itertools
import random
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Sequence

from tests.support.history.node import Node
from tests.support.history.operation import NOT_SENT, Ask, Operation, Outcome, Read, Refused, Unknown
from tests.support.history.progress import Progress
from tests.support.history.request import outcome, request
from tests.support.history.workload import Coming, Workload
from tests.support.wire import Wire

PATIENCE = 2.0
"""Seconds without a byte after which a client gives up: longer than any answer takes that is not held up by a fault."""

CUT = 0.03
"""How often a client cuts the line itself, somewhere in the request or behind it."""

MOVE = 0.02
"""How often it turns to another node."""

_RESET = struct.pack("ii", 1, 0)


class Client(threading.Thread):
    """`processes`: names to work under, with their tokens; a new one is taken when an outcome is unknown.

    Ends when `done` is set, or the names have run out. `failure`: what it did not expect.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        processes: Iterator[tuple[str, str]],
        draw: random.Random,
        wishes: Workload | Coming,
        numbers: "itertools.count[int]",
        progress: Progress,
        done: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self.operations: list[Operation] = []
        self.failure: Exception | None = None
        self._nodes = nodes
        self._processes = processes
        self._draw = draw
        self._numbers = numbers
        self._progress = progress
        self._done = done
        self._wishes = wishes
        self._node = draw.choice(nodes)
        self._wire: Wire | None = None
        self._retry_after = 0.0
        """Seconds, as the last answer asked for: else all names would be used up on a database that is away."""

    def run(self) -> None:
        try:
            for process, token in self._processes:
                while not self._done.is_set():
                    number = next(self._numbers)
                    self._carry_out(number, process, token, self._wishes.next(number))
                    self._progress.made()
                    self._done.wait(self._draw.uniform(0, self._retry_after))
                    if isinstance(self.operations[-1].outcome, Unknown):
                        break
                else:
                    return
        except Exception as error:  # noqa: BLE001 - told where the client is waited for
            self.failure = error
        finally:
            self._hang_up()

    def read_everything(self, campaigns: Iterable[str]) -> None:
        """In place of `run`: read each campaign at each node."""
        process, token = next(self._processes)
        for campaign in campaigns:
            for node in self._nodes:
                self._hang_up()
                self._node = node
                self._carry_out(next(self._numbers), process, token, Read(campaign))
        self._hang_up()

    def _carry_out(self, number: int, process: str, token: str, ask: Ask) -> None:
        """One operation, written down."""
        invoked = time.monotonic()
        told = self._ask(ask, token)
        operation = Operation(number, process, self._node.name, invoked, time.monotonic(), ask, told)
        self.operations.append(operation)
        if isinstance(told, Unknown | Refused) or self._draw.random() < MOVE:
            self._hang_up()
            self._node = self._draw.choice([node for node in self._nodes if node.up.is_set()] or self._nodes)
            self._node.up.wait(PATIENCE)

    def _ask(self, ask: Ask, token: str) -> Outcome:
        sent = request(ask, token, self._draw)
        try:
            wire = self._connected()
        except ConnectionRefusedError:
            return Refused(NOT_SENT)
        cut = len(sent) if self._draw.random() >= CUT else self._draw.randrange(len(sent) + 1)
        try:
            wire.send(sent[:cut])
            if cut < len(sent):
                self._break_off()
                return Unknown("cut off") if isinstance(ask, Read) else Refused(NOT_SENT)
            if self._draw.random() < CUT:
                self._break_off()
                return Unknown("nobody waited for the answer")
            answer = wire.answer()
            self._retry_after = float(answer.headers.get("retry-after", "0"))
            return outcome(ask, answer)
        except OSError as error:
            return Unknown(repr(error))

    def _connected(self) -> Wire:
        if self._wire is None:
            self._wire = Wire(self._node.port)
            self._wire.socket.settimeout(PATIENCE)
        return self._wire

    def _break_off(self) -> None:
        """End the connection, politely or not."""
        if self._wire is not None and self._draw.random() < 0.5:
            self._wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._hang_up()

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.close()
            self._wire = None
