"""Form decoding: equal to the standard library's on every input, and lenient only where CONTRACT says so."""

import json
from urllib.parse import quote_plus, unquote_to_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantel.http.form import decode_field, decode_json_field, to_text, unquote

quoted_bytes = st.binary(max_size=60) | st.lists(
    st.sampled_from(
        [b"%", b"\\", b"x", b"4", b"1", b"e", b"F", b"N", b"{", b"u", b"0", b"+", b"&", b"=", b"\n", b"\xff"]
    ),
    max_size=40,
).map(b"".join)


@given(quoted_bytes)
def test_unquote_is_unquote_to_bytes(quoted: bytes) -> None:
    assert unquote(quoted) == unquote(bytearray(quoted)) == unquote_to_bytes(quoted)


@pytest.mark.parametrize("before", range(4))
def test_a_long_value_is_decoded_as_one(before: int) -> None:
    value = "a" * before + "é+ %&" * 30_000
    assert decode_field(urlencode({"a": "1", "queuemember": value}).encode(), "queuemember") == value


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_a_form_encoder_writes_is_read_back(value: str, other: str) -> None:
    form = urlencode({"a": other, "queuemember": value, "z": other}).encode()
    assert decode_field(form, "queuemember") == value


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_well_encoded_json_is_read_by_the_form_rules(name: str) -> None:
    text = json.dumps([{"membername": name}], ensure_ascii=False)
    assert decode_json_field(b"queuemember=" + quote_plus(text).encode(), "queuemember") == text


@pytest.mark.parametrize("name", ["José Ñandú", "Ventas & Cobros", "Línea 100%", "A+B", "POWER<-", "100%25", "a=b&c=d"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1"])
@pytest.mark.parametrize("before", ["", "a=1&"])
def test_raw_json_is_taken_as_it_stands(name: str, charset: str, before: str) -> None:
    text = json.dumps([{"membername": name}], ensure_ascii=False)
    assert decode_json_field(f"{before}queuemember={text}".encode(charset), "queuemember") == text


def test_a_bracket_alone_does_not_make_a_body_raw() -> None:
    form = b"queuemember=[%7B%22membername%22%3A%22A%2BB+%26%22%7D]&x=1"
    assert decode_json_field(form, "queuemember") == '[{"membername":"A+B &"}]'


def test_an_absent_field_is_none_and_an_empty_one_is_empty() -> None:
    assert decode_field(b"a=1&b", "queuemember") is None
    assert decode_field(b"queuemember=", "queuemember") == ""
    assert decode_field(b"queuemember", "queuemember") == ""


def test_the_first_of_two_fields_counts_and_an_encoded_name_is_a_name() -> None:
    assert decode_field(b"%71ueue=A&queue=B", "queue") == "A"


@given(st.binary())
def test_no_byte_string_is_unreadable(raw: bytes) -> None:
    assert to_text(raw) in {raw.decode("utf-8", "replace"), raw.decode("iso-8859-1")}
