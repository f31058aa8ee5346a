"""Form decoding: equal to the standard library's on every input, and lenient only where CONTRACT says so."""

import json
from urllib.parse import parse_qsl, quote_plus, unquote_to_bytes, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plantel import errors
from plantel.http import form
from plantel.http.form import decode_field, decode_json_field, to_text, unquote
from plantel.http.limits import BAD_ESCAPES, FIELDS

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


@given(quoted_bytes, st.integers(3, 9))
def test_a_value_decoded_in_pieces_is_decoded_as_one(quoted: bytes, piece: int) -> None:
    value = quoted.replace(b"&", b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(form, "_PIECE", piece)
        found = decode_field(b"queue=" + value, "queue")
    assert found == to_text(unquote_to_bytes(value.replace(b"+", b" ")))


@given(st.lists(st.tuples(st.sampled_from(["queue", "%71ueue", "queu", "a", ""]), st.sampled_from("xyz")), max_size=5))
def test_the_field_is_the_one_that_the_standard_library_finds(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(f"{name}={value}" for name, value in pairs)
    expected = next((value for name, value in parse_qsl(query, keep_blank_values=True) if name == "queue"), None)
    assert decode_field(query.encode(), "queue") == expected


@pytest.mark.parametrize("place", [0, 50, -1])
def test_so_many_fields_may_be_in_a_form_wherever_the_wanted_one_is(place: int) -> None:
    def of(count: int) -> bytes:
        fields = [b"a=1"] * (count - 1)
        fields.insert(place % count, b"queue=A")
        return b"&".join(fields)

    assert {decode_field(of(count), "queue") for count in (FIELDS - 1, FIELDS)} == {"A"}
    with pytest.raises(errors.TooManyFields):
        decode_field(of(FIELDS + 1), "queue")
    with pytest.raises(errors.TooManyFields):
        decode_json_field(of(FIELDS + 1), "queue")


def test_raw_json_is_one_field_however_many_ampersands_it_has() -> None:
    text = json.dumps([{"membername": "Ventas & Cobros"}] * 2 * FIELDS)
    assert decode_json_field(b"queuemember=" + text.encode(), "queuemember") == text


@pytest.mark.parametrize("bad", [b"%", b"%z", b"%4 "])
def test_so_many_bad_escapes_may_be_in_a_field(bad: bytes) -> None:
    assert decode_field(b"queue=" + bad * BAD_ESCAPES, "queue") == (bad * BAD_ESCAPES).decode()
    with pytest.raises(errors.BadlyEncoded):
        decode_field(b"queue=" + bad * (BAD_ESCAPES + 1), "queue")
    assert decode_field(b"queue=" + bad * 9, "queue", 9) == (bad * 9).decode()
    with pytest.raises(errors.BadlyEncoded):
        decode_field(b"queue=" + bad * 10, "queue", 9)


@pytest.mark.parametrize(
    "piece", [b"&", b"%", b"%71&", b"%25%", b"+", b"%%%", b" ", b"=", b"%z", b"&queuemember", b"%F1"]
)
@pytest.mark.parametrize("start", [b"", b"queuemember="])
@pytest.mark.timeout(10)
def test_the_largest_body_of_anything_is_done_with_soon(start: bytes, piece: bytes) -> None:
    try:
        found = decode_json_field(start + piece * (16 * 2**20 // len(piece)), "queuemember")
    except (errors.TooManyFields, errors.BadlyEncoded):
        return
    assert (found is None) == (start == b"")
