"""What an entry of the log shows, and what it never shows; each by a program with the service's own configuration."""

import json
import subprocess
import sys
import textwrap
from typing import Any

import pytest

SECRET = "S3cr3t-0f-l4ur4"

FORMS = pytest.mark.parametrize("form", ["text", "json"])


def logged(form: str, program: str, *, code: int = 0) -> str:
    """What a program logs: `raising(depth)` raises with a secret in a local of each frame."""
    start = f"""
        import asyncio, gc, logging, sys, threading, warnings
        import structlog
        from plantel import logs
        logs.configure("debug", "{form}")
        logs.take_over()
        log = structlog.get_logger()

        def raising(depth, error=ValueError):
            local = {{"password": "".join({list(SECRET)!r}), "depth": depth}}
            if depth == 0:
                raise error("here")
            raising(depth - 1, error)
            return local
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(program)],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    text = done.stderr.decode()
    assert SECRET not in text + done.stdout.decode()
    return text


def entries(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# --- no local variables -----------------------------------------------------------------------------------------------

CAUGHT = """
    for depth in (0, 3, 40):
        try:
            raising(depth)
        except ValueError:
            log.exception("failed", path="/x")
"""


@FORMS
def test_a_traceback_shows_no_local_variables(form: str) -> None:
    text = logged(form, CAUGHT)
    assert text.count("failed") == 3
    assert "ValueError" in text
    assert "raising" in text, "where it was raised"


GROUP = """
    try:
        try:
            raising(2)
        except ValueError as error:
            raise ExceptionGroup("both", [error, KeyError(1)]) from error
    except ExceptionGroup as error:
        log.error("group", exc_info=error)
"""


@FORMS
def test_nor_do_groups_and_causes(form: str) -> None:
    text = logged(form, GROUP)
    assert "ExceptionGroup" in text
    assert "KeyError" in text


UNCAUGHT = """
    def thread():
        raising(1, OSError)
    one = threading.Thread(target=thread)
    one.start()
    one.join()

    class Late:
        def __del__(self):
            raising(1, LookupError)
    Late()
    gc.collect()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(logs.of_loop)
        loop.call_soon(raising, 1, TypeError)
        loop.call_soon(lambda secret: raising(0, EOFError), "".join(["S3cr3t-", "0f-l4ur4"]))
        asyncio.ensure_future(asyncio.to_thread(raising, 1, IndexError))
        await asyncio.sleep(0.2)
        gc.collect()
    asyncio.run(main())
    raising(5)
"""


@FORMS
def test_what_nobody_catches_is_an_entry_like_any_other(form: str) -> None:
    text = logged(form, UNCAUGHT, code=1)
    for kind in ("OSError", "LookupError", "TypeError", "EOFError", "IndexError", "ValueError"):
        assert kind in text
    if form == "json":
        assert [one["event"] for one in entries(text)] == ["uncaught"] * 6


# --- one entry, one line ----------------------------------------------------------------------------------------------

HARD = "a\n2026-01-01T00:00:00Z [info     ] forged\r\x1b[31mred\x9b\u2028\u202eright \ud800 'x' =\x00"


@FORMS
def test_no_value_begins_a_line_or_reaches_the_terminal(form: str) -> None:
    text = logged(form, f"log.warning('refused', path={HARD!r}, address=[{HARD!r}], **{{{HARD!r}: 1}})")
    assert len(text.splitlines()) == 1
    assert text[:-1].isprintable()
    if form == "json":
        (one,) = entries(text)
        assert one["path"] == HARD, "in JSON it is what it was"


@FORMS
def test_the_message_of_an_exception_begins_no_entry(form: str) -> None:
    text = logged(form, f"log.error('failed', exc_info=ValueError({HARD!r}))")
    first, *rest = text.splitlines()
    assert all(line.startswith("    ") for line in rest)
    assert all(line.isprintable() for line in (first, *rest))


def test_blanks_and_signs_in_a_value_cannot_be_taken_for_another_value() -> None:
    text = logged("text", "log.info('x', reason='a code=forged')")
    assert "reason='a code=forged'" in text


@FORMS
def test_an_entry_has_a_bounded_length(form: str) -> None:
    program = """
        log.info("long", value="x" * 10_000_000)
        log.info("many", value=["y" * 10_000] * 10_000)
        log.info("deep", value=(lambda f: f(f, 500))(lambda f, n: {"k": f(f, n - 1)} if n else 1))
        log.info("z" * 10_000_000)
        try:
            raise ValueError("e" * 10_000_000)
        except ValueError:
            log.exception("failed")
    """
    lines = logged(form, program).splitlines()
    assert len(lines) >= 5
    assert max(map(len, lines)) < 70_000


@FORMS
def test_a_value_that_cannot_be_shown_harms_nobody(form: str) -> None:
    program = """
        class Bad:
            def __repr__(self):
                raise RuntimeError("no")
            __str__ = __repr__
        log.info("bad", value=Bad())
        log.info("bad", value=10 ** 10_000)
        log.info("bad", value={(1, 2): {1, 2}, None: b"x"})
        logging.getLogger("x").error("%s", Bad())
        logging.getLogger("x").error("%d %d", 1)
        log.info("good")
    """
    text = logged(form, program)
    assert text.count("bad") == 3
    assert text.count("good") == 1
    assert text.count("library") >= 2


# --- libraries, and floods --------------------------------------------------------------------------------------------


@FORMS
def test_libraries_and_warnings_go_the_same_way(form: str) -> None:
    program = """
        logging.getLogger("asyncio").warning("slow %s", "callback")
        logging.getLogger("asyncio").info("not asked for")
        warnings.warn("old", stacklevel=1)
        own = logging.getLogger("_granian")
        own.addHandler(logging.StreamHandler(sys.__stdout__))
        own.propagate = False
        logs.adopt("_granian", logging.ERROR)
        own.error("broken")
        own.warning("not worth it")
        try:
            raising(2)
        except ValueError:
            logging.getLogger("x").exception("seen")
        print("printed", file=sys.stderr)
    """
    text = logged(form, program)
    for said in ("slow callback", "old", "broken", "seen", "printed"):
        assert said in text
    assert "not asked for" not in text
    assert "not worth it" not in text


@FORMS
def test_a_flood_of_one_event_is_dropped_and_counted_and_others_are_not(form: str) -> None:
    program = """
        for _ in range(50_000):
            log.warning("refused", path="/x")
        log.info("server", state="agreed")
        logs.close()
        log.info("end", dropped=logs.dropped())
    """
    lines = logged(form, program).splitlines()
    refused = sum("refused" in line for line in lines)
    assert 1_000 <= refused < 5_000
    assert sum("agreed" in line for line in lines) == 1
    assert any("log_lines_dropped" in line for line in lines)
    if form == "json":
        assert entries("\n".join(lines))[-1]["dropped"] == 50_000 - refused
