"""Every input that fuzzing found worth keeping, through its target: without the fuzzer, with every run of the tests.

`corpus` covers the most with the least, and is made anew by `--keep`; `found` has what once brought out a defect.
"""

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS, FOUND = (Path(__file__).with_name(name) for name in ("corpus", "found"))


@pytest.mark.parametrize("name", TARGETS)
def test_no_kept_input_brings_out_a_defect(name: str) -> None:
    inputs = [file for folder in (FOUND, CORPUS) for file in sorted((folder / name).iterdir())]
    assert len(inputs) >= 20, "these came with the repository"
    for file in inputs:
        try:
            TARGETS[name](file.read_bytes())
        except Exception as error:
            error.add_note(f"the input is {file}")
            raise


def test_what_is_kept_is_small() -> None:
    assert (
        sum(file.stat().st_size for folder in (CORPUS, FOUND) for file in folder.rglob("*") if file.is_file())
        < 200 * 1024
    )
