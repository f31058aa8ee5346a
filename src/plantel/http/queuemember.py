"""The wire call's one field: a JSON array of items, read in bounds whatever was sent.

1. The usual batch is right: `parse_members` reads it fast, part by part.
2. Of any other, the items are cut out one by one, without a look inside: `[1,1,1,...` of 16 MiB has eight million.
3. Only the five keys of an item are looked at. What else an item holds is skipped, so that it takes no memory.
4. The first `PROBLEMS` wrong items get an error of their own, the others share one. Past `most` items reading ends.
"""

from collections.abc import Iterator, Sequence

import msgspec

from plantel import errors
from plantel.http.form import decode_json_field
from plantel.http.limits import BAD_ESCAPES
from plantel.http.request import Body
from plantel.roster import WIRE_KEYS, Member, parse_member, parse_members
from plantel.tally import PROBLEMS, UNTOLD

_PART = 64 * 1024
"""Characters of an array, at least, that are cut up at a time."""

_ABSENT = msgspec.Raw()

_whole = msgspec.json.Decoder(msgspec.Raw)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_item = msgspec.json.Decoder(
    msgspec.defstruct("_Item", [(key, msgspec.Raw, _ABSENT) for key in sorted(WIRE_KEYS)], gc=False)
)


def read_items(body: Body, most: int) -> Sequence[Member | errors.InvalidItem]:
    """The items of the form's `queuemember`, in order; each a Member, or the error that says why it is none.

    Raises InvalidBatch if there is no array of at least one item and at most `most`.
    """
    array = array_of(body)
    return right_items(array, most) or all_items(array, len(body), most)


def array_of(body: Body, bad_escapes: int = BAD_ESCAPES) -> str:
    """The text of the field. Raises InvalidBatch."""
    text = decode_json_field(body, "queuemember", bad_escapes)
    if not text:
        raise errors.FieldMissing(field="queuemember")
    return text


def right_items(array: str, most: int) -> list[Member] | None:
    """The items, if there are any and nothing is wrong with them. Raises TooManyItems."""
    return parse_members(array, most) or None


def all_items(array: str, size: int, most: int) -> Sequence[Member | errors.InvalidItem]:
    """As `read_items` gives them. `size`: that of the body."""
    items: list[Member | errors.InvalidItem] = []
    wrong = 0
    for raw in _cut(array, size):
        if len(items) == most:
            raise errors.TooManyItems(most=most)
        try:
            items.append(parse_member(_looked_at(raw)))
        except errors.InvalidItem as error:
            items.append(error.at(len(items) + 1) if wrong < PROBLEMS else UNTOLD)
            wrong += 1
        except (msgspec.DecodeError, UnicodeError) as error:
            raise errors.NotJson(detail=f"item {len(items) + 1}: {error}") from None
    if not items:
        raise errors.EmptyBatch
    return items


def _looked_at(raw: msgspec.Raw) -> object:
    """What `parse_member` has to see of an item: None for one that is no object, and of an object the five keys."""
    if _first(raw) != "{":
        return None
    item = _item.decode(raw)
    return {key: _value(value) for key in WIRE_KEYS if (value := getattr(item, key)) is not _ABSENT}


def _value(raw: msgspec.Raw) -> object:
    # no key may have a list or an object: which one it has makes no difference
    return [] if _first(raw) in "[{" else msgspec.json.decode(raw)


def _first(raw: msgspec.Raw) -> str:
    return chr(memoryview(raw)[0])


def _cut(array: str, size: int) -> Iterator[msgspec.Raw]:
    """The items of the array, each as its own JSON. Raises InvalidBatch."""
    try:
        yield from _pieces(array)
    except msgspec.ValidationError:
        raise errors.NotAnArray from None
    except msgspec.DecodeError as error:
        detail = _placed(error, array)
        if "truncated" in detail and not array.rstrip().endswith("]"):
            raise errors.BodyCutShort(size=size) from None
        raise errors.NotJson(detail=detail) from None
    except (RecursionError, UnicodeError) as error:
        raise errors.NotJson(detail=type(error).__name__) from None


def _pieces(array: str) -> Iterator[msgspec.Raw]:
    """A part is cut at a comma. If that stands within an item, the part is no array, and a longer one is tried."""
    opening, start, length = "", 0, _PART
    while (comma := array.find(",", start + length)) >= 0:
        part = f"{opening}{array[start:comma]}"
        try:
            raws = _raws.decode(f"{part}]")
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if not _goes_on(part):
                raise
            length *= 2
            continue
        yield from _some(raws)
        opening, start, length = "[", comma + 1, _PART
    raws = _raws.decode(f"{opening}{array[start:]}")
    yield from _some(raws) if start else raws


def _goes_on(part: str) -> bool:
    """Whether something that follows can make an array of `part`."""
    try:
        _raws.decode(part)
    except msgspec.DecodeError as error:
        return "truncated" in str(error)
    return False


def _some(raws: list[msgspec.Raw]) -> list[msgspec.Raw]:
    """Raise DecodeError if there are none: beside a comma there has to be an item."""
    if not raws:
        raise msgspec.DecodeError
    return raws


def _placed(error: msgspec.DecodeError, array: str) -> str:
    """What is wrong, with its place in the whole array and not in a part."""
    try:
        _whole.decode(array)
    except msgspec.DecodeError as whole:
        return str(whole)
    return str(error)
