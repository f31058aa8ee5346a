"""What each client sent, byte for byte, read by the decoder: see `recorded/README.md`."""

from pathlib import Path

import pytest

from plantel.http.form import decode_json_field
from plantel.http.queuemember import read_items
from plantel.roster import Member
from tests.clients.seven import CLIENTS, HARD_NAMES

RECORDED = Path(__file__).with_name("recorded")


def body_of(client: str) -> bytes:
    head, _, body = (RECORDED / f"{client}.http").read_bytes().partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.splitlines() if line.lower().startswith(b"content-length:")]
    assert [int(length) for length in lengths] == [len(body)], "the recording is not whole"
    return body


def test_every_client_is_recorded() -> None:
    assert {path.stem for path in RECORDED.glob("*.http")} == set(CLIENTS)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_field_is_the_json_that_the_client_was_given(client: str) -> None:
    assert decode_json_field(body_of(client), "queuemember") == (RECORDED / "members.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("client", CLIENTS)
def test_the_items_are_the_members_with_the_hard_names(client: str) -> None:
    assert read_items(body_of(client), len(HARD_NAMES)) == [
        Member(name, name, f"SIP/{1001 + at}") for at, name in enumerate(HARD_NAMES)
    ]


def test_the_recordings_cover_the_three_ways_of_encoding() -> None:
    ways = {
        "encoded": {client for client in CLIENTS if body_of(client).startswith(b"queuemember=%5B%7B%22")},
        "raw UTF-8": {client for client in CLIENTS if "José Ñandú".encode() in body_of(client)},
        "raw ISO-8859-1": {client for client in CLIENTS if "José Ñandú".encode("iso-8859-1") in body_of(client)},
    }
    assert ways == {
        "encoded": {"curl", "fetch-node", "fetch-chromium", "jquery", "csharp"},
        "raw UTF-8": {"raw", "okhttp"},
        "raw ISO-8859-1": {"httpclient"},
    }
