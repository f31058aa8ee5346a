"""How long others wait while one attacks: `python -m tests.abuse [--seconds N] [--list] [NAME...]`.

Every attack (or those with one of the words in their name) for N seconds, on servers of their own: without TLS, with
TLS, and one with a hostile Asterisk of each kind. Prints a table: what the bystanders waited, the server's memory
before, at worst and after. The first line of each server is nobody attacking: the floor. Exit code 1
where somebody waited longer than LIMIT, anything was lost, or something stayed behind.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.support.abuse import strangers, token_holders
from tests.support.abuse.asterisks import HOSTILITIES, Asterisks
from tests.support.abuse.attack import CONFIG, HTTP, MIB, Attack, AttackedServer, Outcome, many_descriptors
from tests.support.abuse.verdict import complaints
from tests.support.server import PlantelServer
from tests.support.tls import Certificate, make_certificate

LIMIT, LIMIT_WITH_ASTERISK = 0.100, 0.250
"""Seconds that 99 of 100 adds wait at most: under any attack; under that of an Asterisk."""

WORST = 2.0
"""Seconds that no single add waits."""

ROW = "{:<58} {:>6} {:>6} {:>7} {:>7}   {:>4} {:>5} {:>5} {:>6}   {}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.abuse", description="What others wait under attack.")
    parser.add_argument("word", nargs="*", help="only attacks that have one of these in their name")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each attack; 10")
    parser.add_argument("--list", action="store_true", help="only tell the names")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    wanted = [word.lower() for word in chosen.word]

    def meant(name: str) -> bool:
        return not wanted or any(word in name.lower() for word in wanted)

    if chosen.list:
        names = [*(one.name for one in _plain()), *(f"Asterisk: {one.name}" for one in HOSTILITIES)]
        print(*filter(meant, names), sep="\n")
        return 0
    print(ROW.format("attack", "p50", "p99", "max ms", "new max", "MiB", "worst", "after", "conns", "answers"))
    wrong = False
    with tempfile.TemporaryDirectory() as folder, many_descriptors():
        for attacked, attacks, limit in _servers(Path(folder), meant):
            for attack in (None, *attacks):
                outcome = attacked.measure(attack, chosen.seconds)
                told = _report(attack, outcome, attacked.server, limit)
                if told:
                    wrong = True
                    attacked.restart()
    return int(wrong)


def _plain() -> list[Attack]:
    return [*strangers.ATTACKS, *token_holders.ATTACKS, *strangers.TLS_ATTACKS]


Meant = Callable[[str], bool]


def _servers(folder: Path, meant: Meant) -> Iterator[tuple[AttackedServer, list[Attack], float]]:
    """Each running server, one at a time, with the attacks that are meant for it and what others may wait."""
    certificate = make_certificate(folder)
    for tls in (False, True):
        if attacks := [one for one in _plain() if one.tls == tls and meant(one.name)]:
            with _server(folder / f"tls-{tls}", certificate if tls else None).running() as attacked:
                yield attacked, attacks, LIMIT
    with Asterisks() as asterisks:
        if attacks := [one for one in asterisks.attacks() if meant(one.name)]:
            with _server(folder / "asterisks", None, asterisks.settings()).running() as attacked:
                yield attacked, attacks, LIMIT_WITH_ASTERISK


def _server(folder: Path, certificate: Certificate | None, config: str = "") -> AttackedServer:
    folder.mkdir()
    return AttackedServer(PlantelServer(folder, certificate=certificate, http=HTTP, config=CONFIG + config))


def _report(attack: Attack | None, outcome: Outcome, server: PlantelServer, limit: float) -> list[str]:
    """Print one line, and below it what was wrong, which is returned."""
    told = list(complaints(attack, outcome, server, WORST))
    if attack is not None and outcome.wait(99) > limit:
        told.append(f"99 of 100 waited up to {outcome.wait(99) * 1000:.0f} ms")
    waits = (outcome.median(), outcome.wait(99), outcome.wait(100), outcome.wait(100, "newcomer"))
    memory = (outcome.before.resident, outcome.peak, outcome.after.resident)
    print(
        ROW.format(
            "(nobody attacks)" if attack is None else attack.name,
            *(f"{1000 * wait:.1f}" for wait in waits),
            *(one // MIB for one in memory),
            outcome.connections,
            " ".join(f"{status}:{count}" for status, count in sorted(outcome.answers.items())),
        )
    )
    print(*(f"    {one}\n" for one in told), sep="", end="", flush=True)
    return told


if __name__ == "__main__":
    sys.exit(main())
