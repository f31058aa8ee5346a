"""Every promise of docs/security.md is held by tests, which this page names."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HELD_BY: dict[str, tuple[str, ...]] = {}
"""A promise, and the tests that fail if it is broken: `file::function`."""


def promises(page: str) -> list[str]:
    return re.findall(r"^- \*\*([A-Z]\d+)\*\* ", (ROOT / page).read_text("utf-8"), re.MULTILINE)


@cache
def functions(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return frozenset(one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))


def test_both_languages_promise_the_same() -> None:
    assert promises("docs/security.md") == promises("docs/seguridad.md") == list(HELD_BY)


@pytest.mark.parametrize("promise", HELD_BY)
def test_a_promise_is_held_by_tests_that_exist(promise: str) -> None:
    tests = HELD_BY[promise]
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        assert name.startswith("test_")
        assert name in functions(file), test
