"""What is said to a server and in which order, without I/O: generators that a driver carries out.

A `Talk` yields a `Call` and is sent the `Answer` (or `Lost`, `Untrusted`) that came of it, or yields a `Pause` and is
sent None. `Integra` and `AsyncIntegra` are such drivers; every decision is here, once.
"""

import time
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from plantel import errors
from plantel.client.retry import Retry, read_retry_after
from plantel.client.wire import (
    ADD,
    ANSWER_BYTES,
    LOG_IN,
    LOG_OUT,
    MEMBERS_BYTES,
    Answer,
    Stored,
    check_token,
    fields,
    forms,
    members_path,
    read_members,
    read_stored,
    read_token,
)
from plantel.roster import Member, check_name

T = TypeVar("T")

_AGAIN = frozenset({408, 429, 502, 503, 504})
_ONCE = Retry(tries=1, timeout=5, deadline=5)


class Call:
    """One POST to make. `timeout`: the seconds that may pass until its answer is there; of that, at most `most` bytes
    are read, and some more that came with the last of them. Has no telling repr: it holds the credentials."""

    def __init__(self, path: str, body: bytes, headers: dict[str, str], timeout: float, most: int) -> None:
        self.path = path
        self.body = body
        self.headers = headers
        self.timeout = timeout
        self.most = most


class Pause(NamedTuple):
    """Wait before going on."""

    seconds: float


class Lost(NamedTuple):
    """No answer: what became of the call is unknown."""

    detail: str


class Untrusted(NamedTuple):
    """The server could not show a certificate that we trust; nothing was sent."""

    detail: str


Step: TypeAlias = Call | Pause
Reply: TypeAlias = Answer | Lost | Untrusted | None
Talk: TypeAlias = Generator[Step, Reply, T]


class Dialogue:
    """The conversation with one server: holds the token, and with it the right to speak.

    Give `token`, or `user` and `password`; raises TypeError for anything else, TokenNotUsable for an impossible token.
    """

    def __init__(
        self,
        *,
        token: str | None,
        user: str | None,
        password: str | None,
        batch_items: int,
        batch_bytes: int,
        retry: Retry,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if (token is None) == (user is None) or (user is None) != (password is None):
            raise TypeError("give token, or user and password")
        if batch_items < 1 or batch_bytes < 1:
            raise ValueError("batch_items and batch_bytes must be 1 or more")
        self._token = None if token is None else check_token(token)
        self._user = user
        self._password = password
        self._batch_items = batch_items
        self._batch_bytes = batch_bytes
        self._retry = retry
        self._clock = clock

    def log_in(self) -> Talk[None]:
        """Get a token, unless there is one."""
        if self._token is None:
            assert self._user is not None
            assert self._password is not None
            answer = yield from self._exchange(LOG_IN, fields(user=self._user, password=self._password))
            self._token = read_token(answer)

    def log_out(self) -> Talk[None]:
        """End the session that `log_in` began, if any. If the server does not answer, the session ends by itself."""
        if self._user is not None and self._token is not None:
            body = fields(user=self._user, token=self._token)
            self._token = None
            try:
                yield from self._exchange(LOG_OUT, body, retry=_ONCE)
            except errors.ClientError:
                return

    def add(self, members: Sequence[Member], stored: Callable[[Stored], object] | None) -> Talk[list[Stored]]:
        """Send the members (checked ones) batch by batch; `stored` is called after each.

        Raises ClientError, with `stored` and `tried` set, at the first batch that is not stored.
        """
        batches: list[Stored] = []
        for form in forms(members, self._batch_items, self._batch_bytes):
            try:
                answer = yield from self._ask(ADD, form.body)
                batch = read_stored(answer, form)
            except errors.ClientError as error:
                error.stored = form.first
                # Without trust there was no connection to send anything over.
                error.tried = form.first if isinstance(error, errors.ServerUntrusted) else form.last
                if isinstance(error, errors.ServerRefused) and error.item is not None:
                    error.params["item"] = form.first + error.item
                raise
            batches.append(batch)
            if stored is not None:
                stored(batch)
        return batches

    def members_of(self, campaign: str) -> Talk[list[Member]]:
        """The members of a campaign. Raises InvalidItem for an impossible name, and ClientError."""
        check_name(campaign, "queueName")
        answer = yield from self._ask(members_path(campaign), b"", MEMBERS_BYTES)
        return read_members(answer)

    def _ask(self, path: str, body: bytes, most: int = ANSWER_BYTES) -> Talk[Answer]:
        """A call that needs the token. After a 401 the token of a login is forgotten, so that the next call logs in."""
        answer = yield from self._exchange(path, body, {"Authorization": f"Basic {self._token}"}, most=most)
        if answer.status == 401 and self._user is not None:  # noqa: PLR2004  # HTTP's own numbers read best as they are
            self._token = None
        return answer

    def _exchange(
        self,
        path: str,
        body: bytes,
        headers: dict[str, str] | None = None,
        retry: Retry | None = None,
        most: int = ANSWER_BYTES,
    ) -> Talk[Answer]:
        """Make the call until there is an answer that says something. Raises ServerUnavailable, ServerUntrusted."""
        retry = retry or self._retry
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
        end = self._clock() + retry.deadline
        tried = 0
        while True:
            tried += 1
            reply = yield Call(path, body, headers, max(0.001, min(retry.timeout, end - self._clock())), most)
            retry_after = None
            match reply:
                case Untrusted(detail):
                    raise errors.ServerUntrusted(detail=detail)
                case Lost(detail):
                    pass
                case Answer(status, answer_headers, answer_body):
                    if len(answer_body) > most:
                        raise errors.AnswerUnexpected(status=status, detail=f"more than {most} bytes")
                    if status not in _AGAIN:
                        return reply
                    detail = f"status {status}"
                    retry_after = read_retry_after(answer_headers.get("retry-after"))
            wait = retry.wait(tried, retry_after)
            if tried >= retry.tries or self._clock() + wait >= end:
                raise errors.ServerUnavailable(detail=detail, tries=tried, retry_after=retry_after)
            yield Pause(wait)
