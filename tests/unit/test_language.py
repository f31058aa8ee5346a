"""Which language a person reads."""

from collections.abc import Mapping

import pytest

from plantel.cli.output import note
from plantel.language import Language, Text, current, encodable, visible


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "es_UY.UTF-8"}, "es"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "es_AR.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LC_MESSAGES": "en_GB.UTF-8", "LC_ALL": "es_MX"}, "es"),
        ({"LC_ALL": "", "LANG": "es"}, "es"),
        ({"LC_ALL": "en_US.UTF-8", "PLANTEL_LANG": "es"}, "es"),
        ({"LANG": "es_ES", "PLANTEL_LANG": "en"}, "en"),
        ({"PLANTEL_LANG": "ES"}, "es"),
        ({"LANG": "et_EE.UTF-8"}, "en"),
    ],
)
def test_the_language_of_a_terminal(environ: Mapping[str, str], language: Language) -> None:
    assert current(environ) == language


def test_a_text_fills_its_placeholders_and_leaves_what_fills_them_alone() -> None:
    text = Text("{name} is missing", "falta {name}")
    assert text.say("en", name="{x}") == "{x} is missing"
    assert text.say("es", name="Ñandú") == "falta Ñandú"
    with pytest.raises(KeyError):
        text.say("es")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("José Ñandú->", "José Ñandú->"),
        ("Jos\udce9", r"Jos\xe9"),
        ("\x1b[2J\x9b1m", r"\x1b[2J\x9b1m"),
        ("a\nb\r\t\0", r"a\nb\r\t\x00"),
        ("a\u202eb\ud800", r"a\u202eb\ud800"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert Text("<{name}>", "").say("en", name=text) == f"<{shown}>"
    assert visible(shown) == shown


def test_what_json_cannot_hold_is_escaped_and_nothing_else() -> None:
    assert encodable("a\u202e\x1b") == "a\u202e\x1b"
    assert encodable("Jos\udce9") == r"Jos\xe9"


def test_a_note_of_several_lines_stays_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTEL_LANG", "en")
    note("\nAdd {name}:\n", "\nAgregue {name}:\n", name="ana\neva")
    assert capsys.readouterr().err == "\nAdd ana\\neva:\n\n"
