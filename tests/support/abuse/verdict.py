"""What was wrong about how a server stood an attack."""

from collections.abc import Sequence

from tests.support.abuse.attack import MIB, Attack, Outcome, lost
from tests.support.server import PlantelServer


def complaints(attack: Attack | None, outcome: Outcome, server: PlantelServer, worst: float) -> Sequence[str]:
    """Everything; nothing where the server held. `worst`: seconds that a bystander may have to wait once."""
    told = []
    for kind, record in outcome.bystanders.items():
        if attack is not None and attack.full and kind == "newcomer":
            continue
        told += [f"{kind}: {one}" for one in record.wrong[:5]]
        if (most := outcome.wait(100, kind)) > worst:
            told.append(f"{kind}: {most:.2f} s at worst, {outcome.median(kind):.3f} s in the middle")
    if gone := lost(server, outcome):
        told.append(f"{len(gone)} members were answered 1 and are gone: {sorted(gone)[:3]}")
    told += _answers(attack, outcome)
    return told + _footprint(attack, outcome)


def _answers(attack: Attack | None, outcome: Outcome) -> list[str]:
    told = [f"{count} answers {status}" for status, count in outcome.answers.items() if status >= 500 and status != 503]
    if attack is not None and attack.right and (wrong := set(outcome.answers) - attack.right):
        told.append(f"answered {sorted(wrong)}, right is {sorted(attack.right)}")
    return told


def _footprint(attack: Attack | None, outcome: Outcome) -> list[str]:
    told = []
    before, after = outcome.before, outcome.after
    taken = (outcome.peak - before.resident) // MIB
    if attack is not None and taken > attack.memory:
        told.append(f"{taken} MiB more at worst")
    if not outcome.settled:
        told.append(
            f"before: {before.resident // MIB} MiB, {before.descriptors} descriptors, {before.threads} threads; "
            f"after: {after.resident // MIB} MiB, {after.descriptors} descriptors, {after.threads} threads"
        )
    return told
