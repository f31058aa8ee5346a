"""Coverage-guided fuzzing: `python -m tests.fuzz [TARGET...] [--seconds N] [--keep]`, with atheris installed.

Each target of `targets.py` gets N seconds. What it learns stays in `.fuzz/TARGET`, for the next time to go on from.
An input that brings out a defect is written to `.fuzz/TARGET-findings`, one for each place in the code, and the fuzzing
goes on; with its mend it belongs into `tests/fuzz/found/TARGET`. `--keep` reduces what was learned to the fewest
inputs, and puts the short ones into `tests/fuzz/corpus/TARGET`. Exit code 1 where there was a finding.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LEARNED = ROOT / ".fuzz"
NAMES = ("wire", "http", "ami")
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
        ended = _fuzzer(name, f"-max_total_time={chosen.seconds}", str(learned), *_kept(name))
        new = sorted(set(findings.iterdir()) - known)
        found |= bool(new or ended)
        print(f"{name}: {len(new)} new findings", *new, sep="\n  ", flush=True)
        if chosen.keep:
            _keep(name, learned)
    return int(found)


def _fuzzer(name: str, *arguments: str) -> int:
    command = _command(name)
    with tempfile.TemporaryDirectory() as folder:
        # what libFuzzer starts again for itself, once for each input that a merge stumbles over
        again = Path(folder) / "again"
        again.write_text(f'#!/bin/sh\nexec {shlex.join(command)} {again} "$@"\n', "utf-8")
        again.chmod(0o755)
        return subprocess.run([*command, again, *arguments], cwd=ROOT, check=False).returncode


def _kept(name: str) -> list[str]:
    return [str(HERE / folder / name) for folder in ("corpus", "found")]


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", "tests.fuzz.fuzzer", name, str(LEARNED / f"{name}-findings")]


def _keep(name: str, learned: Path) -> None:
    """The fewest inputs that cover what all of them do, the shortest first, as many as there is room for."""
    kept = HERE / "corpus" / name
    with tempfile.TemporaryDirectory() as folder:
        if _fuzzer(name, "-merge=1", folder, str(learned), *_kept(name)):
            sys.exit(f"{name}: what was learned could not be reduced")
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
