"""The client itself, blocking and asynchronous: carries out the steps of `dialogue` with httpx.

Both make their calls on an event loop, the blocking one on a loop of its own: so a deadline holds for a whole try,
whatever a server does with the bytes of its answer, or with an answer that never begins.
"""

import asyncio
import functools
import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import httpx

from plantel import __version__, errors
from plantel.client.address import parse_address
from plantel.client.dialogue import Call, Dialogue, Lost, Pause, Reply, T, Talk, Untrusted
from plantel.client.retry import Retry
from plantel.client.wire import Answer, Stored, check, printable
from plantel.roster import Member

BATCH_ITEMS = 1000
BATCH_BYTES = 1_000_000
"""Below the 1 MiB that nginx, which often stands in front, takes by default (`client_max_body_size`)."""

COOKIES_MOST = 20
"""So many are kept, for what stands in front of several servers and sends a client to the same one again; with more,
none is."""

_RETRY = Retry()

Lock = TypeVar("Lock")
Result = TypeVar("Result")

# At DEBUG it prints each encoded header block, from which the token can be decoded.
logging.getLogger("hpack").setLevel(logging.INFO)


class _Connection(Generic[Lock]):
    """What both clients are made of."""

    _new_lock: Callable[[], Lock]

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        user: str | None = None,
        password: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        insecure_http: bool = False,
        batch_items: int = BATCH_ITEMS,
        batch_bytes: int = BATCH_BYTES,
        retry: Retry = _RETRY,
    ) -> None:
        """
        url              the server (https://host[:port]), or any of its calls
        token            base64 of user:secret; or
        user, password   to log in with at the first call; the session is ended on close
        ca_file          PEM file of the only authorities to trust; without it the system's and Mozilla's
        insecure_http    allow http:// to other machines, which shows the credentials to everybody on the way
        batch_items, batch_bytes   how much goes into one batch at most
        retry            tries and deadlines

        Redirects are never followed. Proxies are taken from the environment, except to loopback. Raises UrlNotUsable,
        UrlNotSafe, TokenNotUsable, FileUnreadable (the CA file); TypeError and ValueError for arguments that do not go
        together.
        """
        address = parse_address(url, insecure_http=insecure_http)
        self._base = address.base
        self._who = "token" if user is None else f"user={user!r}"
        self._dialogue = Dialogue(
            token=token, user=user, password=password, batch_items=batch_items, batch_bytes=batch_bytes, retry=retry
        )
        self._login = self._new_lock()
        self._http = httpx.AsyncClient(
            base_url=address.base,
            verify=_trust(ca_file),
            http2=True,
            # A proxy for loopback would carry the credentials off this machine after all.
            trust_env=not address.loopback,
            headers={"User-Agent": f"plantel/{__version__}", "Accept-Encoding": "identity"},
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._base!r}, {self._who})"

    async def _post(self, call: Call) -> Reply:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(call.timeout),
                self._http.stream(
                    "POST", call.path, content=call.body, headers=call.headers, timeout=call.timeout
                ) as response,
            ):
                # raw: nothing that is compressed was asked for, and a few bytes of it could fill the memory
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > call.most:
                        break
                return _answer(response, body)
        except TimeoutError:
            return _too_late(call)
        except httpx.RequestError as error:
            return _failed(call, error)
        finally:
            if len(self._http.cookies.jar) > COOKIES_MOST:
                self._http.cookies.clear()


class _Loop:
    """An event loop in a thread of its own, from when it is first needed until it is closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="plantel-client", daemon=True)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """What `work` returns, or raises. If the wait is interrupted, `work` is cancelled."""
        with self._lock:
            if not self._thread.is_alive():
                self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()


class Integra(_Connection[threading.Lock]):
    """A server, from a program that blocks. May be shared by threads. Close it, best by `with`."""

    _new_lock = staticmethod(threading.Lock)

    @functools.cached_property
    def _loop(self) -> _Loop:
        return _Loop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session, if a login began one, and the connections."""
        try:
            self._run(self._dialogue.log_out())
        finally:
            self._loop.run(self._http.aclose())
            self._loop.close()

    def add(
        self, members: Iterable[Member | Mapping[str, Any]], stored: Callable[[Stored], object] | None = None
    ) -> list[Stored]:
        """Put every member into its campaign; returns what the server said of each batch.

        Each batch is atomic, the whole is not: give `batch_items` and `batch_bytes` that hold everything which must be
        stored together. All members are checked before the first is sent. `stored` is called after each batch.

        Raises EmptyBatch and MembersInvalid before anything is sent; ClientError, whose `stored` and `tried` tell how
        far it came, at the first batch that fails. Adding everything again is then safe.
        """
        checked = check(members)
        self._log_in()
        return self._run(self._dialogue.add(checked, stored))

    def members_of(self, campaign: str) -> list[Member]:
        """The members of a campaign. Raises InvalidItem for an impossible name, and ClientError."""
        self._log_in()
        return self._run(self._dialogue.members_of(campaign))

    def _log_in(self) -> None:
        with self._login:
            self._run(self._dialogue.log_in())

    def _run(self, talk: Talk[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = talk.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                reply = None
            else:
                reply = self._loop.run(self._post(step))


class AsyncIntegra(_Connection[asyncio.Lock]):
    """A server, from an asyncio program.

    May be shared by the tasks of one event loop. Close it: best by `async with`.
    """

    _new_lock = asyncio.Lock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """As `Integra.close`."""
        try:
            await self._run(self._dialogue.log_out())
        finally:
            await self._http.aclose()

    async def add(
        self, members: Iterable[Member | Mapping[str, Any]], stored: Callable[[Stored], object] | None = None
    ) -> list[Stored]:
        """As `Integra.add`. If cancelled, what became of the batch in flight is unknown."""
        checked = check(members)
        await self._log_in()
        return await self._run(self._dialogue.add(checked, stored))

    async def members_of(self, campaign: str) -> list[Member]:
        """As `Integra.members_of`."""
        await self._log_in()
        return await self._run(self._dialogue.members_of(campaign))

    async def _log_in(self) -> None:
        async with self._login:
            await self._run(self._dialogue.log_in())

    async def _run(self, talk: Talk[T]) -> T:
        reply: Reply = None
        while True:
            try:
                step = talk.send(reply)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                reply = None
            else:
                reply = await self._post(step)


def _trust(ca_file: str | os.PathLike[str] | None) -> ssl.SSLContext:
    try:
        if ca_file is not None:
            return ssl.create_default_context(cafile=ca_file)
        context = httpx.create_ssl_context()
    except OSError as error:
        raise errors.FileUnreadable(
            file=str(ca_file or os.environ.get("SSL_CERT_FILE")), detail=error.strerror or str(error)
        ) from None
    # Mozilla's list lacks the authority that a company has installed on its machines.
    context.load_default_certs()
    return context


def _answer(response: httpx.Response, body: bytearray) -> Answer:
    return Answer(response.status_code, {name.lower(): value for name, value in response.headers.items()}, bytes(body))


def _too_late(call: Call) -> Lost:
    return Lost(f"no answer within {call.timeout:g} s")


def _failed(call: Call, error: httpx.RequestError) -> Reply:
    """What an exception of httpx means; the reason for a refused certificate lies below several wrappings."""
    if isinstance(error, httpx.TimeoutException):
        return _too_late(call)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Untrusted(printable(cause.verify_message))
        cause = cause.__cause__ or cause.__context__
    return Lost(printable(str(error)) or type(error).__name__)
