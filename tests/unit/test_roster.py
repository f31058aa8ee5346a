"""The value rules: what a member may be, and that each refusal names its key."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantel import errors, roster
from plantel.phones import PhoneRules
from plantel.roster import NAME_BYTES, Interfaces, Member, fold, parse_member, parse_members
from tests.support.door import item

MOST = 100_000
"""Items, where their number makes no difference."""

NAMED_KEYS = {"membername": "membername", "queueName": "campaign", "interface1": "interface"}


def test_the_five_keys_make_a_member_and_others_are_ignored() -> None:
    member = parse_member(item("José Ñandú", "POWER<-", "PJSIP/1001", penalty="3", paused="1", other=[1]))
    assert member == Member("POWER<-", "José Ñandú", "PJSIP/1001", 3, paused=True)


@pytest.mark.parametrize("key", ["membername", "queueName", "interface1", "penalty", "paused"])
def test_every_key_has_to_be_there(key: str) -> None:
    keys = item()
    del keys[key]
    with pytest.raises(errors.MissingKey) as refusal:
        parse_member(keys)
    assert refusal.value.key == key


@pytest.mark.parametrize("key", ["membername", "queueName", "interface1"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", errors.EmptyValue),
        ("  ", errors.EmptyValue),
        (None, errors.EmptyValue),
        (1001, errors.NotText),
        (["a"], errors.NotText),
        ("a\r\nAction: Originate", errors.ForbiddenCharacter),
        ("a\x00b", errors.ForbiddenCharacter),
        ("a\x85b", errors.ForbiddenCharacter),
        ("a,b", errors.ForbiddenCharacter),
        ("a;b", errors.ForbiddenCharacter),
        ("a|b", errors.ForbiddenCharacter),
        ("ñ" * 40, errors.NameTooLong),
    ],
)
def test_texts_that_asterisk_could_not_hold(key: str, value: object, error: type[errors.InvalidItem]) -> None:
    with pytest.raises(error) as refusal:
        parse_member({**item(), key: value})
    assert refusal.value.key == key


def test_seventy_nine_bytes_fit_and_eighty_do_not() -> None:
    longest = "ñ" * 39 + "a"
    assert parse_member(item(longest)).membername == longest
    with pytest.raises(errors.NameTooLong, match=r"^membername: must be at most 79 bytes in UTF-8, this one has 80$"):
        parse_member(item(longest + "a"))


@pytest.mark.parametrize(
    ("value", "penalty"),
    [(0, 0), (7, 7), ("7", 7), (" 7 ", 7), ("+7", 7), ("007", 7), ("-0", 0), ("", 0), ("  ", 0), (None, 0)],
)
def test_penalties(value: object, penalty: int) -> None:
    assert parse_member(item(penalty=value)).penalty == penalty


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, errors.NegativeValue),
        ("-1", errors.NegativeValue),
        ("-99999999999999999999999999", errors.NegativeValue),
        (2**31, errors.ValueTooLarge),
        ("9" * 5000, errors.ValueTooLarge),
        (10**400, errors.ValueTooLarge),
        ("1.5", errors.NotAnInteger),
        (1.0, errors.NotAnInteger),
        ("x", errors.NotAnInteger),
        ("٣", errors.NotAnInteger),
        ("+", errors.NotAnInteger),
        (True, errors.NotAnInteger),
        ({}, errors.NotAnInteger),
    ],
)
def test_penalties_that_are_none(value: object, error: type[errors.InvalidItem]) -> None:
    with pytest.raises(error) as refusal:
        parse_member(item(penalty=value))
    assert refusal.value.key == "penalty"


@pytest.mark.parametrize(
    ("value", "paused"),
    [
        (0, False),
        (1, True),
        ("0", False),
        ("1", True),
        (True, True),
        (False, False),
        ("true", True),
        ("False", False),
        ("", False),
        (None, False),
    ],
)
def test_pauses(value: object, paused: bool) -> None:
    assert parse_member(item(paused=value)).paused is paused


@pytest.mark.parametrize("value", [2, -1, "2", "yes", 1.0, [], {}])
def test_pauses_that_are_none(value: object) -> None:
    with pytest.raises(errors.NotAFlag) as refusal:
        parse_member(item(paused=value))
    assert refusal.value.key == "paused"


@pytest.mark.parametrize(
    "interface",
    [
        "SIP/1001",
        "PJSIP/juan_perez-2",
        "pjsip/1001",
        "IAX2/1001",
        "Agent/12",
        "DAHDI/3-1",
        "Local/1001@agents/n",
        "Local/1001@from-queue/n",
        "Local/12@agents",
        "Local/A12345@AGENTS/nj",
        "SCCP/1001",
    ],
)
def test_the_default_interfaces(interface: str) -> None:
    assert Interfaces().check([parse_member(item(phone=interface))]) == []


@pytest.mark.parametrize(
    "interface",
    [
        "SIP/34900123456@trunk",
        "PJSIP/x/sip:900@elsewhere",
        "Local/900@from-internal/n",
        "DAHDI/g0/900",
        "Local/0088199912345678@from-queue/n",
        "Local/0034600111222@from-queue/n",
        "Local/1234567@agents/n",
        "Local/9@from-queue/n",
        "SIP/127.0.0.77",
        "SIP/host.example",
        "PJSIP/juan.perez",
        "IAX2/host.example",
        "IAX2/user:word@host/600@context",
        "SIP/[::1]",
        "DAHDI/1/600111222",
        "1001",
        "SIP/",
        "SIP/10 01",
        "SIP/a&SIP/b",
        "SIP/${EXTEN}",
        "Console/dsp",
        "SIP/1001\n",
    ],
)
def test_interfaces_that_could_dial_out_are_refused(interface: str) -> None:
    with pytest.raises(errors.InvalidItem) as refusal:
        raise Interfaces().check([Member("c", "m", interface)])[0]
    assert refusal.value.key == "interface1"


def test_only_members_are_held_against_the_allow_list_and_they_keep_their_number() -> None:
    items: list[Member | errors.InvalidItem] = [
        errors.EmptyValue(key="membername"),
        Member("c", "m", "SIP/1"),
        Member("c", "n", "Local/900@elsewhere"),
    ]
    assert [one.item for one in Interfaces().check(items)] == [3]


def test_a_site_may_allow_more() -> None:
    local = Member("c", "m", "Local/1@mine")
    assert Interfaces().check([local])
    assert Interfaces((*Interfaces.DEFAULT, r"Local/[0-9]+@mine")).check([local]) == []


@given(st.from_regex(re.compile("|".join(f"(?:{one})" for one in Interfaces.DEFAULT), re.ASCII), fullmatch=True))
def test_nothing_that_the_default_admits_is_a_dial_string(interface: str) -> None:
    technology, _, rest = interface.partition("/")
    if technology == "Local":
        extension, _, context = rest.partition("@")
        assert extension.isalnum()
        assert 2 <= len(extension) <= 6
        assert context.split("/")[0] in ("agents", "from-queue")
    else:
        assert not set("/@:") & set(rest)
        assert technology == "Agent" or "." not in rest


dial_strings = st.from_regex(r"[A-Za-z0-9]{1,6}/[A-Za-z0-9_.@/:+*#~-]{1,20}", fullmatch=True)


@given(dial_strings)
def test_whatever_is_sent_the_default_admits_no_dots_no_host_and_no_way_to_dial(interface: str) -> None:
    technology, _, rest = interface.partition("/")
    dials = set("/@:.") & set(rest) if technology.upper() not in ("LOCAL", "AGENT") else set()
    assert not dials or Interfaces().check([Member("c", "m", interface)])


@pytest.mark.parametrize("patterns", [Interfaces.DEFAULT, (*Interfaces.DEFAULT, ".+")])
@pytest.mark.parametrize(
    "interface",
    [
        "SIP/mytrunk",
        "PJSIP/MyTrunk",
        "iax2/MYTRUNK",
        "PJSIP/600@mytrunk",
        "PJSIP/mytrunk/sip:600@192.0.2.1",
        "PJSIP/phone/sip:600@mytrunk",
        "SIP/mytrunk/600",
        "SIP/mytrunk:5061",
        "SIP/600:word::auth@mytrunk:5061",
        "IAX2/user:word@mytrunk:4569/600@context",
        "DAHDI/g0",
        "DAHDI/g0/600",
        "DAHDI/3",
        "DAHDI/3-1",
        "DAHDI/3r2/600",
        "SIP/sip.example.com/600",
    ],
)
def test_trunks_are_refused_whatever_else_admits_them(interface: str, patterns: tuple[str, ...]) -> None:
    site = Interfaces(patterns, trunks=("mytrunk", "DAHDI/g0", "DAHDI/3", "sip.example.com"))
    assert [one.code for one in site.check([Member("c", "m", interface)])] == ["interface_not_allowed"]


@given(dial_strings, st.from_regex(r"[A-Za-z0-9_.+*#~-]{1,4}", fullmatch=True))
def test_no_part_of_what_is_accepted_is_a_trunk(interface: str, trunk: str) -> None:
    site = Interfaces((".+",), trunks=(trunk,))
    parts = re.split("[/@:]", interface.lower())[1:]
    accepted = not site.check([Member("c", "m", interface)])
    assert accepted or trunk.lower() in interface.lower()
    assert not accepted or trunk.lower() not in parts


def test_names_like_that_of_a_trunk_are_none() -> None:
    site = Interfaces(trunks=("mytrunk", "DAHDI/3", "1001"))
    phones = ["SIP/mytrunk2", "SIP/my", "SIP/amytrunk", "SIP/3", "DAHDI/33", "DAHDI/1-1", "SIP/10011"]
    assert site.check([Member("c", str(number), phone) for number, phone in enumerate(phones)]) == []


MAPS = (
    {"SIP/": "PJSIP/my"},
    {"SIP/": "PJSIP/600@"},
    {"SIP/": "PJSIP/mytrunk/sip:"},
    {"sip/TR": "Local/0034600111222@from-queue/n"},
    {"SIP/": "Console/"},
)


@pytest.mark.parametrize("mapping", MAPS)
def test_what_a_server_would_be_told_has_to_be_accepted_too(mapping: dict[str, str]) -> None:
    site = Interfaces(trunks=("mytrunk",), called=[PhoneRules({"SIP/": "PJSIP/"}).called, PhoneRules(mapping).called])
    assert [one.item for one in site.check([Member("c", "a", "PJSIP/1"), Member("c", "b", "SIP/trunk")])] == [2]


def test_members_that_the_rules_of_today_refuse_are_named() -> None:
    members = [Member("c", name, name) for name in ("SIP/1", "PJSIP/ana.diaz", "SIP/mytrunk", "Local/12@agents")]
    assert Interfaces(trunks=("mytrunk",)).refused(members) == members[1:3]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(["membername", "queueName", "interface1", "penalty", "paused"], json_values)
    )
    | json_values
)
def test_whatever_an_item_is_it_is_a_member_or_a_refusal(value: Any) -> None:
    try:
        member = parse_member(value)
    except errors.InvalidItem as refusal:
        refusal.say("es")
        refusal.say("en")
    else:
        for text in (member.membername, member.campaign, member.interface):
            assert 0 < len(text.encode()) <= NAME_BYTES
            assert text.isprintable() or not any(ord(character) < 32 for character in text)
            assert not set(text) & set(",;|\r\n\0")


@given(st.text())
def test_folding_lowers_ascii_and_nothing_else(text: str) -> None:
    assert fold(text) == "".join(one.lower() if one.isascii() else one for one in text)


item_values = st.fixed_dictionaries(
    {},
    optional={
        "membername": st.sampled_from(["ana", " ana ", "José Ñandú", "", 1, None, "a,b"]) | st.text(),
        "queueName": st.sampled_from(["Ventas->", "POWER<-", "", None]),
        "interface1": st.sampled_from(["SIP/1001", " PJSIP/2", "x", "", 3]),
        "penalty": st.sampled_from([0, 7, "7", " 7 ", "", "-1", -1, "x", 1.5, True, None, 2**31, "2147483647", "²"]),
        "paused": st.sampled_from([0, 1, 2, "0", "1", "", "true", True, False, None, "x"]),
        "other": st.integers(),
    },
)


@given(st.lists(item_values, max_size=4))
def test_the_fast_way_and_the_thorough_way_agree(items: list[dict[str, object]]) -> None:
    try:
        thorough = [parse_member(one) for one in items]
    except errors.InvalidItem:
        thorough = None
    fast = parse_members(json.dumps(items), MOST)
    assert fast is None or fast == thorough
    if thorough is not None and not any(one.get(key) is None for one in items for key in ("penalty", "paused")):
        assert fast == thorough, "the fast way has to take what is right"


traps = st.lists(st.sampled_from(["}", ",", "},", '"},{"', "]", "[", "},{}", '\\"},', " ", "ñ", "x"]), max_size=4).map(
    "".join
)


@given(
    st.lists(st.builds(lambda number, trap: item(f"ana {number}", note=trap), st.integers(0, 99), traps), max_size=6),
    st.sampled_from([(",", ":"), (", ", ": "), (",\n", ":")]),
    st.none() | st.tuples(st.integers(0), st.sampled_from(["", ",", "},", "},{", "]", '"', "[]"])),
    st.integers(0, 400),
)
def test_an_array_read_in_parts_is_read_as_a_whole(
    items: list[dict[str, object]], separators: tuple[str, str], spoilt: tuple[int, str] | None, part: int
) -> None:
    text = json.dumps(items, separators=separators, ensure_ascii=False)
    if spoilt is not None:
        place = spoilt[0] % (len(text) + 1)
        text = text[:place] + spoilt[1] + text[place:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roster, "_PART", 10**6)
        whole = parse_members(text, MOST)
        patch.setattr(roster, "_PART", part)
        parts = parse_members(text, MOST)
    assert parts is None or parts == whole
    if spoilt is None and not any("}" in str(one["note"]) for one in items):
        assert parts is not None, "only a text that looks like the end of an item may be in the way"


@pytest.mark.parametrize("end", [",]", "},]", ",{}]", "", "]]"])
def test_what_follows_the_last_item_of_a_large_array_is_no_less_wrong(end: str) -> None:
    array = json.dumps([item(f"ana {number}") for number in range(2_000)], separators=(",", ":"))
    found = parse_members(array, MOST)
    assert found is not None
    assert len(found) == 2_000
    assert parse_members(array.removesuffix("]") + end, MOST) is None


def test_a_name_that_is_too_long_is_neither_folded_nor_kept() -> None:
    kept = roster._Folds()
    for size in (NAME_BYTES - 1, NAME_BYTES):
        assert kept["A" * size] == "a" * size
    assert kept["A" * (NAME_BYTES + 1)] == "A" * (NAME_BYTES + 1)
    assert max(map(len, kept)) == NAME_BYTES
    for number in range(2 * kept.MOST):
        kept[f"SIP/{number}"]
        assert len(kept) <= kept.MOST


def test_a_penalty_with_any_number_of_zeros_is_read() -> None:
    long = "0" * 100_000 + "7"
    array = json.dumps([item(penalty=long)])
    assert parse_members(array, 1) == [Member("Ventas->", "ana", "SIP/1001", 7)]
    assert parse_member(item(penalty=long)).penalty == 7


def test_an_array_has_so_many_members_and_no_more() -> None:
    array = json.dumps([item(f"ana {number}") for number in range(3)])
    assert len(parse_members(array, 3) or []) == 3
    with pytest.raises(errors.TooManyItems):
        parse_members(array, 2)
