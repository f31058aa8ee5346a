"""One target under atheris, in a process of its own: `python -m tests.fuzz.fuzzer TARGET FINDINGS AGAIN [OPTION...]`.

The options are libFuzzer's. AGAIN is a program that starts the same; libFuzzer needs it for a merge.
"""

import sys
import traceback
from hashlib import sha256
from pathlib import Path

import atheris
import structlog

with atheris.instrument_imports(include=["plantel"]):
    from tests.fuzz import targets

INPUT_BYTES = 4096
"""The longest input: more only makes each try slower, and limits that matter are lower here or tested elsewhere."""


def main() -> None:
    _, name, findings, again, *arguments = sys.argv
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[lambda *_: ""])
    target = targets.TARGETS[name]
    folder = Path(findings)

    def tried(data: bytes) -> None:
        try:
            target(data)
        except Exception as error:  # noqa: BLE001  # to note it, and go on
            _note(error, data, folder)

    dictionary = Path(__file__).with_name(f"{name}.dict")
    options = [f"-dict={dictionary}", f"-artifact_prefix={folder}/", "-timeout=20", "-rss_limit_mb=2048"]
    options.append(f"-max_len={INPUT_BYTES}")
    atheris.Setup([again, *options, *arguments], tried)
    atheris.Fuzz()


def _note(error: Exception, data: bytes, folder: Path) -> None:
    """Keep the first input that ends in this place of the code."""
    cause = error.__cause__ or error
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(cause.__traceback__)]
    what = f"{type(cause).__name__} {' '.join(places[-3:])}"
    file = folder / sha256(what.encode()).hexdigest()[:12]
    if not file.exists():
        file.write_bytes(data)
        file.with_suffix(".txt").write_text("".join(traceback.format_exception(error)), "utf-8", "replace")
        sys.stderr.write(f"FINDING {what}: {error!s:.300}\n  {file}\n")


if __name__ == "__main__":
    main()
