"""The catalogue of errors: complete, documented, in both languages, and able to travel."""

import copy
import pickle
import re
from pathlib import Path
from string import Formatter
from typing import Any

import msgspec
import pytest

from plantel import errors
from plantel.batch import Problem
from plantel.errors import BatchRefused, InvalidItem, MembersInvalid, PlantelError, ServerRefused, every_error
from plantel.http.problems import statuses
from plantel.language import Text
from plantel.roster import parse_member

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {"en": DOCS / "errors.md", "es": DOCS / "errores.md"}


def kinds(kind: type[PlantelError] = PlantelError) -> list[type[PlantelError]]:
    """Every class of plantel.errors, whatever its code."""
    below = [each for sub in kind.__subclasses__() if sub.__module__ == errors.__name__ for each in kinds(sub)]
    return [kind, *below]


KINDS = kinds()
LEAVES = [kind for kind in KINDS if not kind.__subclasses__()]


def placeholders(wording: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(wording) if name}


COMPOSED: dict[type[PlantelError], PlantelError] = {
    one.__class__: one
    for one in (
        BatchRefused("b1", [errors.NegativeValue(key="penalty", item=3), errors.EmptyBatch()]),
        errors.Mistakes([errors.UnknownSetting(setting="a.b", nearest="a.c")]),
        errors.PhonesUnverified([errors.DevicesUntold(server="pbx1")]),
        MembersInvalid([errors.NegativeValue(key="penalty", item=3)]),
    )
}
"""Those that are made of other errors."""


def example(kind: type[PlantelError]) -> PlantelError:
    """One error of this kind, its parameters filled with something telling."""
    if kind in COMPOSED:
        return COMPOSED[kind]
    if issubclass(kind, ServerRefused):
        return kind(reason="why", reason_code="empty_value", batch="b1", item=2)
    params: dict[str, Any] = {name: f"<{name}>" for name in placeholders(kind.text.en)}
    if issubclass(kind, InvalidItem):
        return kind(key="membername", item=7, **params)
    return kind(**params)


# --- the classes -----------------------------------------------------------------------------------------------------


def test_no_two_classes_share_a_code() -> None:
    codes = [kind.code for kind in KINDS]
    assert sorted(codes) == sorted(set(codes))
    assert {code: kind for code, kind in every_error().items() if kind in KINDS} == dict(zip(codes, KINDS, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_is_the_name_of_its_class(kind: type[PlantelError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    if kind is not PlantelError:
        assert kind.code == re.sub(r"(?<!^)([A-Z])", r"_\1", kind.__name__).lower()


@pytest.mark.parametrize("kind", LEAVES)
def test_both_wordings_hold_the_same_placeholders_and_differ(kind: type[PlantelError]) -> None:
    assert placeholders(kind.text.en) == placeholders(kind.text.es)
    bare = [Formatter().vformat(wording, (), dict.fromkeys(placeholders(wording), "")) for wording in kind.text]
    # nothing to translate in a text of placeholders and punctuation, and `use POST` is one in both languages
    assert bare[0] != bare[1] or kind in {errors.InvalidSetting, errors.MethodNotAllowed}


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_says_all_it_knows_in_either_language(kind: type[PlantelError]) -> None:
    error = example(kind)
    for language in ("en", "es"):
        said = error.say("es" if language == "es" else "en")
        assert said
        assert "{" not in said
        for name in placeholders(kind.text.en) & error.params.keys():
            assert f"<{name}>" in said
    assert str(error) == error.say("en")


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    drawn: list[tuple[str, str]] = []
    above: list[tuple[int, str]] = []
    assert errors.__doc__ is not None
    for line in errors.__doc__.partition("    PlantelError\n")[2].splitlines():
        words = re.split(r"(?<=\w)\s{3,}", line)[0]
        column, parent = -1, "PlantelError"
        for found in re.finditer(r"[A-Z]\w+(:?)", words):
            name = found[0].rstrip(":")
            if column < 0:
                column = found.start()
                above = [one for one in above if one[0] < column]
                parent = above[-1][1] if above else "PlantelError"
            drawn.append((name, parent))
            if found[1]:
                above.append((column, name))
                parent, column = name, found.end() + 1
            else:
                above = [*(one for one in above if one[0] < column), (column, name)]
    assert sorted(drawn) == sorted((kind.__name__, kind.__mro__[1].__name__) for kind in KINDS[1:])


# --- travelling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_pickling_and_copying(kind: type[PlantelError]) -> None:
    error = example(kind)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is kind
        assert twin.say("en") == error.say("en")
        assert twin.say("es") == error.say("es")
        assert getattr(twin, "item", None) == getattr(error, "item", None)
        assert getattr(twin, "key", None) == getattr(error, "key", None)
        assert [str(one) for one in getattr(twin, "problems", [])] == [
            str(one) for one in getattr(error, "problems", [])
        ]


def test_how_far_a_client_got_survives_pickling() -> None:
    error = errors.ServerUnavailable(tries=5, detail="x", retry_after=None)
    error.stored, error.tried = 2000, 3000
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.stored, twin.tried) == (2000, 3000)


@pytest.mark.parametrize(
    "kind", [kind for kind in LEAVES if issubclass(kind, (InvalidItem, errors.InvalidBatch, errors.AccessRefused))]
)
def test_a_problem_keeps_item_key_and_message(kind: type[PlantelError]) -> None:
    error = example(kind)
    kept = msgspec.json.decode(msgspec.json.encode(Problem.of(error)), type=Problem)
    again = kept.error()
    assert type(again) is kind
    assert again.say("en") == error.say("en")
    assert again.say("es") == error.say("es")
    assert (kept.code, kept.item, kept.key) == (kind.code, getattr(error, "item", None), getattr(error, "key", ""))


def test_item_and_key_lead_the_message() -> None:
    error = errors.NegativeValue(key="penalty").at(3)
    assert error.say("en") == "item 3: penalty: must be 0 or more"
    assert error.say("es") == "elemento 3: penalty: debe ser 0 o más"


def test_a_setting_says_what_it_must_be_in_the_language_asked_for() -> None:
    error = errors.InvalidSetting(setting="a.b", detail=Text("is {wrong}", "está {mal}"))
    assert (error.say("en"), error.say("es")) == ("a.b: is {wrong}", "a.b: está {mal}")
    assert errors.InvalidSetting(setting="a.b", detail="x").say("es") == "a.b: x"


def test_a_drift_is_named_in_the_language_asked_for() -> None:
    error = errors.MemberDrifted(server="pbx1", queue="Cobros", interface="SIP/1", kind="removed")
    assert "(removed)" in error.say("en")
    assert "(quitado)" in error.say("es")


# --- the documentation -----------------------------------------------------------------------------------------------


def rows(page: Path) -> dict[str, str]:
    """The code of each table row, and the cell behind it."""
    found = re.findall(r"^\| `([a-z_]+)` \| ([^|]*) \|", page.read_text("utf-8"), re.MULTILINE)
    assert len(found) == len(dict(found)), "a code has two rows"
    return dict(found)


@pytest.mark.parametrize("language", PAGES)
def test_every_code_that_can_be_met_is_documented(language: str) -> None:
    text = PAGES[language].read_text("utf-8")
    documented = rows(PAGES[language])
    assert {kind.code for kind in LEAVES} <= documented.keys()
    assert {kind.code for kind in KINDS} <= set(re.findall(r"`([a-z_]+)`", text))
    assert documented.keys() <= {kind.code for kind in KINDS}


@pytest.mark.parametrize("language", PAGES)
def test_the_documented_statuses_are_those_of_the_table(language: str) -> None:
    documented = rows(PAGES[language])
    never_answered = (
        *(errors.ClientError, errors.ConfigError, errors.SwitchError),
        *(errors.AddressInUse, errors.NotShown),
    )
    for kind in LEAVES:
        if kind is not BatchRefused:
            status = "{} / {}".format(*statuses(example(kind)))
            assert documented[kind.code] == ("–" if issubclass(kind, never_answered) else status), kind.code  # noqa: RUF001  # as printed


def test_both_pages_hold_the_same_codes_and_statuses() -> None:
    def digits(page: Path) -> dict[str, list[str]]:
        return {code: re.findall(r"\d+", status) for code, status in rows(page).items()}

    assert digits(PAGES["en"]) == digits(PAGES["es"])


@pytest.mark.parametrize("kind", [errors.CampaignForbidden, errors.UnknownCampaign])
def test_a_text_from_outside_is_cut(kind: type[PlantelError]) -> None:
    whole, cut = kind(campaign="x" * kind.longest), kind(campaign="x" * 2**20)
    assert whole.params["campaign"] == "x" * kind.longest
    assert cut.params["campaign"] == "x" * (kind.longest - 1) + "…"


def test_an_error_that_is_kept_keeps_nothing_else() -> None:
    with pytest.raises(InvalidItem) as raised:
        parse_member({})
    assert raised.value.__context__ is not None
    kept = raised.value.at(3)
    assert (kept.item, kept.__traceback__, kept.__context__) == (3, None, None)
