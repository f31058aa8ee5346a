"""The servers that are attacked: each is started once, and anew where an attack did it lasting harm."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.support.abuse.attack import ALWAYS, CONFIG, HTTP, Attack, AttackedServer, Outcome, many_descriptors
from tests.support.abuse.bystander import Task
from tests.support.abuse.verdict import complaints
from tests.support.server import PlantelServer
from tests.support.tls import Certificate

SECONDS = 1.5
"""How long each attack lasts here; with `make abuse` longer."""

WORST = 2.0
"""Seconds that nobody has to wait: on a busy machine that is held up, not slow. `make abuse` looks closer."""

Stands = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def descriptors() -> Iterator[None]:
    """Attackers need many."""
    with many_descriptors():
        yield


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory, certificate: Certificate) -> Iterator[dict[bool, AttackedServer]]:
    """A server without TLS, and one with."""
    made: dict[bool, AttackedServer] = {}
    with ExitStack() as stack:
        for tls in (False, True):
            folder = tmp_path_factory.mktemp("attacked")
            server = PlantelServer(folder, certificate=certificate if tls else None, http=HTTP, config=CONFIG)
            made[tls] = stack.enter_context(AttackedServer(server).running())
        yield made


@pytest.fixture
def stands(servers: dict[bool, AttackedServer]) -> Stands:
    """Asserts that the server which an attack is for stands it."""

    def check(attack: Attack, tasks: tuple[Task, ...] = ALWAYS) -> Outcome:
        return stands_on(servers[attack.tls])(attack, tasks)

    return check


def stands_on(attacked: AttackedServer, seconds: float = SECONDS) -> Stands:
    """Asserts that a server stands an attack: bystanders, its memory and its descriptors know nothing of it."""

    def check(attack: Attack, tasks: tuple[Task, ...] = ALWAYS) -> Outcome:
        outcome = attacked.measure(attack, seconds, tasks)
        told = complaints(attack, outcome, attacked.server, WORST)
        if told:
            attacked.restart()
        assert not told, "\n".join([attack.name, *told, f"the attacker was answered {dict(outcome.answers)}"])
        return outcome

    return check
