"""Roles, campaign patterns, and the text of a token."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantel import errors
from plantel.access import (
    Actor,
    Role,
    check_account_name,
    covers,
    digest,
    new_secret,
    read_token_text,
    token_text,
)
from plantel.roster import NAME_BYTES


@pytest.mark.parametrize(
    ("role", "writes", "rules"),
    [(Role.READER, False, False), (Role.INTEGRATOR, True, False), (Role.ADMIN, True, True)],
)
def test_what_a_role_may_do(role: Role, writes: bool, rules: bool) -> None:
    for check, allowed in ((Actor("a", role).check_write, writes), (Actor("a", role).check_admin, rules)):
        if allowed:
            check()
        else:
            with pytest.raises(errors.ActionForbidden, match=f"the role {role} may not"):
                check()


@pytest.mark.parametrize(
    ("patterns", "campaign", "reaches"),
    [
        ((), "anything", True),
        (("Ventas->",), "ventas->", True),
        (("Ventas->",), "Ventas->2", False),
        (("Ventas*",), "VENTAS->", True),
        (("*<-",), "POWER<-", True),
        (("Turno ?",), "Turno 1", True),
        (("Turno ?",), "Turno 10", False),
        (("a", "b*"), "bc", True),
        (("[ab]",), "a", False),
        (("[ab]",), "[AB]", True),
        (("a.c",), "abc", False),
        (("Ñandú*",), "Ñandú 1", True),
        (("Ñandú*",), "ñandú 1", False),
        (("",), "a", False),
    ],
)
def test_the_campaigns_that_a_token_reaches(patterns: tuple[str, ...], campaign: str, reaches: bool) -> None:
    assert Actor("a", Role.READER, patterns).reaches(campaign) is reaches
    if patterns:
        assert covers(patterns, campaign) is reaches


@given(
    st.text(st.characters(exclude_characters="*?"), min_size=1, max_size=NAME_BYTES // 2),
    st.text(max_size=NAME_BYTES // 2),
)
def test_a_pattern_without_wildcards_is_a_name_and_a_star_is_anything(name: str, more: str) -> None:
    assert covers([name], name)
    assert covers([name + "*"], name + more)
    assert not covers([name], name + "x")


names = st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), min_size=1)
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(names, st.uuids())
def test_a_token_is_read_as_it_was_made(name: str, secret: object) -> None:
    text = token_text(name, str(secret))
    assert read_token_text(text) == (name, str(secret))
    assert read_token_text(text.encode()) == (name, str(secret))
    # a client that logs in and wraps the token it received once more
    assert read_token_text(token_text(name, text)) == (name, str(secret))


@given(st.binary() | st.text())
def test_whatever_is_no_token_reads_as_none_or_a_pair(text: bytes | str) -> None:
    pair = read_token_text(text)
    assert pair is None or (pair[0] and pair[1])


def test_a_token_in_iso_8859_1_is_understood() -> None:
    assert read_token_text(base64.b64encode("José:x".encode("iso-8859-1"))) == ("José", "x")


@pytest.mark.parametrize("text", ["", "x", "dXNlcg==", base64.b64encode(b":secret"), base64.b64encode(b"user:"), "ñ"])
def test_what_is_no_token(text: str | bytes) -> None:
    assert read_token_text(text) is None


@given(secrets, secrets, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_digest_depends_on_key_and_secret(one: str, other: str, key: bytes, other_key: bytes) -> None:
    assert len(digest(key, one)) == 32
    assert (digest(key, one) == digest(key, other)) is (one == other)
    assert (digest(key, one) == digest(other_key, one)) is (key == other_key)


def test_secrets_differ() -> None:
    assert len({new_secret() for _ in range(100)}) == 100


@pytest.mark.parametrize("name", ["integrator", "José Ñandú", "a@b.example", "-x"])
def test_account_names(name: str) -> None:
    check_account_name(name)


@pytest.mark.parametrize("name", ["", " ", "a:b", "a\nb", "a,b", "ñ" * 40])
def test_what_is_no_account_name(name: str) -> None:
    with pytest.raises(errors.InvalidItem) as refusal:
        check_account_name(name)
    assert refusal.value.key == "name"


def test_a_pattern_reaches_no_name_that_is_too_long_for_a_campaign() -> None:
    narrow = Actor("narrow", Role.INTEGRATOR, ("V*",))
    assert narrow.reaches("v" * NAME_BYTES)
    assert not narrow.reaches("v" * (NAME_BYTES + 1))
