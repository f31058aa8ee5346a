"""Which language a person reads."""

from collections.abc import Mapping

import pytest

from plantel.language import Language, Text, current


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
