"""The rules by which a server calls the roster's phones."""

import pytest

from plantel.errors import NameTooLong
from plantel.phones import AS_SENT, PhoneRules, UnfitRule

RULES = PhoneRules(
    {"SIP/": "PJSIP/", "IAX2/1": "Local/7", "iax2/": "PJSIP/x"},
    {"Local/{phone}@agents/n": "PJSIP/{phone}", "Local/{phone}@from-queue/n": "hint:{phone}@ext-local"},
)


@pytest.mark.parametrize(
    ("sent", "there"),
    [
        ("SIP/1001", "PJSIP/1001"),
        ("sip/1001", "PJSIP/1001"),
        ("PJSIP/1001", "PJSIP/1001"),
        ("Local/SIP/1", "Local/SIP/1"),
        ("IAX2/12", "Local/72"),
        ("IAX2/2", "PJSIP/x2"),
    ],
)
def test_the_first_beginning_that_fits_is_put_in_place_of_the_sent_one(sent: str, there: str) -> None:
    assert RULES.interface(sent) == there
    assert RULES.shown(sent) == (sent if sent == there else f"{sent} -> {there}")
    assert AS_SENT.shown(sent) == sent


@pytest.mark.parametrize(
    ("interface", "state"),
    [
        ("Local/1001@agents/n", "PJSIP/1001"),
        ("local/Ana.1@AGENTS/N", "PJSIP/Ana.1"),
        ("Local/1001@from-queue/n", "hint:1001@ext-local"),
        ("Local/1001@agents", ""),
        ("Local/1001@agents/nj", ""),
        ("Local/@agents/n", ""),
        ("Local/1/2@agents/n", ""),
        ("PJSIP/1001", ""),
    ],
)
def test_whose_state_counts(interface: str, state: str) -> None:
    assert RULES.state(interface) == state
    assert AS_SENT.state(interface) == ""


def test_what_asterisk_would_cut_is_refused_and_shown_as_it_was_sent() -> None:
    longest = "SIP/" + "1" * 73
    assert len(RULES.interface(longest)) == 79
    with pytest.raises(NameTooLong):
        RULES.interface(longest + "1")
    assert RULES.shown(longest + "1") == longest + "1"
    rules = PhoneRules({}, {"Local/{phone}@a": "hint:{phone}@ext-local"})
    assert len(rules.state("Local/" + "1" * 64 + "@a")) == 79
    with pytest.raises(NameTooLong):
        rules.state("Local/" + "1" * 65 + "@a")


def test_the_rules_that_count_are_named_as_they_are_written() -> None:
    rules = PhoneRules({"SIP/": "Local/"}, {"Local/{phone}": "PJSIP/{phone}"})
    assert rules.applied("sip/1001") == ['map: "SIP/" = "Local/"', 'state: "Local/{phone}" = "PJSIP/{phone}"']
    assert rules.applied("PJSIP/1001") == []


@pytest.mark.parametrize(
    ("mapping", "state", "table"),
    [
        ({"SIP": "PJSIP/"}, {}, "map"),
        ({"SIP/": "PJSIP"}, {}, "map"),
        ({"": "PJSIP/"}, {}, "map"),
        ({"SIP/": "PJSIP/\r\nAction: Logoff"}, {}, "map"),
        ({"SIP/": "PJSIP/1,2"}, {}, "map"),
        ({}, {"Local/1001@agents/n": "PJSIP/1001"}, "state"),
        ({}, {"Local/{phone}@{phone}": "PJSIP/{phone}"}, "state"),
        ({}, {"Local/{phone}@agents/n": ""}, "state"),
        ({}, {"Local/{phone}@agents/n": "PJSIP/{agent}"}, "state"),
        ({}, {"Local/{phone}@agents/n": "PJSIP/1;2"}, "state"),
    ],
)
def test_a_rule_that_cannot_be(mapping: dict[str, str], state: dict[str, str], table: str) -> None:
    with pytest.raises(UnfitRule) as refused:
        PhoneRules(mapping, state)
    assert refused.value.table == table
