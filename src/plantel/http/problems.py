"""One table: which HTTP status each error has, in the wire call's dialect and in the JSON API's."""

import json
from typing import NamedTuple

from plantel import errors


class Statuses(NamedTuple):
    """`integra`: mistakes in the data are 200 there, with the body `0`. `api`: what HTTP says."""

    integra: int
    api: int


_DATA = Statuses(200, 422)

_TABLE: dict[type[errors.PlantelError], Statuses] = {
    errors.InvalidItem: _DATA,
    errors.InvalidBatch: _DATA,
    errors.BatchRefused: _DATA,
    errors.UnknownCampaign: Statuses(200, 404),
    errors.UnknownMember: Statuses(200, 404),
    errors.NotAuthenticated: Statuses(401, 401),
    errors.AccessRefused: Statuses(403, 403),
    errors.TooManyAttempts: Statuses(429, 429),
    errors.RequestRefused: Statuses(400, 400),
    errors.NotFound: Statuses(404, 404),
    errors.UnknownInstance: Statuses(404, 404),
    errors.MethodNotAllowed: Statuses(405, 405),
    errors.BodyTooLate: Statuses(408, 408),
    errors.BodyTooLarge: Statuses(413, 413),
    errors.QueryTooLong: Statuses(413, 413),
    errors.NotAForm: Statuses(415, 415),
    errors.StoreError: Statuses(503, 503),
    errors.SwitchError: Statuses(503, 503),
    errors.NameTaken: Statuses(200, 409),
    errors.NoSuchThing: Statuses(200, 404),
    errors.PasswordUnfit: _DATA,
    errors.HistoryForgotten: Statuses(200, 410),
    errors.PlantelError: Statuses(500, 500),
}

UNREAD = frozenset({401, 403, 404, 405, 413, 415, 429})
"""Statuses that may be answered before the body was read."""

RETRY_AFTER = 1
"""Seconds that a client is told to wait when the store is unavailable."""


def statuses(error: errors.PlantelError) -> Statuses:
    """The row of the nearest class of `error`; a refused batch has that of its first problem."""
    if isinstance(error, errors.BatchRefused):
        return max(statuses(problem) for problem in error.problems)
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return _TABLE[kind]
    raise AssertionError(error)


def headers(error: errors.PlantelError) -> list[tuple[str, str]]:
    """What an answer with this error carries: its code, its reason in one line, the batch, when to come back."""
    first = error.problems[0] if isinstance(error, errors.BatchRefused) else error
    made = [("plantel-code", first.code), ("plantel-reason", to_header(str(first)))]
    if isinstance(error, errors.BatchRefused):
        made.append(("plantel-batch", error.batch))
    if isinstance(first, errors.NotAuthenticated):
        made.append(("www-authenticate", 'Basic realm="Plantel", charset="UTF-8"'))
    if isinstance(first, errors.TooManyAttempts):
        made.append(("retry-after", str(first.params["seconds"])))
    elif isinstance(first, errors.StoreError):
        made.append(("retry-after", str(RETRY_AFTER)))
    if isinstance(first, errors.MethodNotAllowed):
        made.append(("allow", str(first.params["allowed"])))
    if isinstance(first, errors.BodyTooLate | errors.BodyCutShort):
        # the rest of the body must not pass for the next request
        made.append(("connection", "close"))
    return made


def to_header(text: str) -> str:
    """`text` as one safe header value: printable ASCII, all else escaped as in JSON (`\\u00e9`), at most 500."""
    return json.dumps(text)[1:-1].replace('\\"', '"').replace("\x7f", "\\u007f")[:500]
