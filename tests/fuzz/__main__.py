"""Coverage-guided fuzzing: `python -m tests.fuzz [TARGET...] [--seconds N] [--keep]`, with atheris installed.

Each target of `targets.py` gets N seconds. What it learns stays in `.fuzz/TARGET`, for the next time to go on from; an
input that brings out a defect is written to `.fuzz/TARGET-findings`, one for each place in the code, and the fuzzing
goes on. `--keep` reduces what was learned to the fewest inputs, and puts those of a few KiB into `tests/fuzz/corpus`.
Exit code 1 where there was a finding.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LEARNED = ROOT / ".fuzz"
NAMES = ("wire", "http", "ami")
INPUT_BYTES = 4096
"""The longest input: more only makes each try slower, and limits that matter are lower here or tested elsewhere."""

KEPT_BYTES = 1024
"""The longest input that is kept in the repository."""

KEPT_MOST = 64 * 1024
"""Bytes of one target's inputs in the repository."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Coverage-guided fuzzing.")
    parser.add_argument("name", nargs="*", help=f"one or more of {', '.join(NAMES)}; all if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; 60")
    parser.add_argument("--keep", action="store_true", help="put the inputs that cover the most into the repository")
    chosen = parser.parse_args()
    if unknown := set(chosen.name) - set(NAMES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    found = False
    for name in chosen.name or NAMES:
        learned, findings = LEARNED / name, LEARNED / f"{name}-findings"
        learned.mkdir(parents=True, exist_ok=True)
        findings.mkdir(exist_ok=True)
        known = set(findings.iterdir())
        ended = _fuzzer(name, f"-max_total_time={chosen.seconds}", str(learned), str(HERE / "corpus" / name))
        new = sorted(set(findings.iterdir()) - known)
        found |= bool(new or ended)
        print(f"{name}: {len(new)} new findings", *new, sep="\n  ", flush=True)
        if chosen.keep:
            _keep(name, learned)
    return int(found)


def _fuzzer(name: str, *arguments: str) -> int:
    command = [sys.executable, "-m", "tests.fuzz.fuzzer", name, str(LEARNED / f"{name}-findings")]
    return subprocess.run([*command, f"-max_len={INPUT_BYTES}", *arguments], cwd=ROOT, check=False).returncode


def _keep(name: str, learned: Path) -> None:
    """The fewest inputs that cover what all of them do, the shortest first, as many as there is room for."""
    kept = HERE / "corpus" / name
    with tempfile.TemporaryDirectory() as folder:
        _fuzzer(name, "-merge=1", folder, str(kept), str(learned))
        few = sorted(Path(folder).iterdir(), key=lambda file: (file.stat().st_size, file.name))
        for old in kept.iterdir():
            old.unlink()
        total = 0
        for file in few:
            total += (size := file.stat().st_size)
            if size > KEPT_BYTES or total > KEPT_MOST:
                break
            (kept / file.name[:12]).write_bytes(file.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
