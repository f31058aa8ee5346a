"""The running service: HTTP in front, a reconciler for every Asterisk behind, until it is told to stop."""

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import structlog
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server

from plantel import errors, logs
from plantel.config import HttpSettings, Settings
from plantel.descriptors import Share, descriptors, share
from plantel.http import ops
from plantel.http.app import FrontDoor
from plantel.http.attendance import Attendance
from plantel.http.connections import Deadlines
from plantel.http.integra import Integra
from plantel.http.limits import HEADER_BYTES
from plantel.http.reaper import Reaper
from plantel.late_loop import LateLoop
from plantel.wiring import Plantel, assembled

FIRST_LOOK = 3.0
"""Seconds to wait, before serving, for the first look at every Asterisk: its queues are campaigns from the start."""

STREAMS = 32
"""Requests of one HTTP/2 connection at a time. As many answers may wait for a client that does not read; batches are
written together, so more of them at a time are hardly faster. Clients that want more open a second connection."""

SEND_BUFFER = 64 * 1024
"""Bytes of one HTTP/2 stream that are taken from the answer before the client has room for them."""

_M_ARENA_MAX = -8
"""From glibc's malloc.h."""

log = structlog.get_logger()


def front_door(plantel: Plantel) -> FrontDoor:
    """The RSGI application of these instances."""
    settings = plantel.settings
    hosts = {host.lower(): plantel.instances[one.name] for one in settings.instance for host in one.hosts}
    default = next((plantel.instances[one.name] for one in settings.instance if not one.hosts), None)
    integra = Integra(
        body_limit=settings.http.body_limit,
        body_timeout=settings.http.body_timeout,
        confirm=settings.delivery.confirm,
        deadline=settings.delivery.deadline,
    )
    return FrontDoor(
        hosts,
        default,
        integra,
        body_limit=settings.http.body_limit,
        body_timeout=settings.http.body_timeout,
        trouble=lambda: plantel.neighbours.trouble,
        trusted=settings.http.trusted_proxies,
        origins=settings.http.cors_origins,
    )


async def serve(settings: Settings, ready: Callable[[Plantel], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain: accepted requests are answered before anything closes.

    `ready` is called once connections are accepted. Raises AddressInUse, StoreError.
    """
    logs.configure(settings.log.level, settings.log.format)
    logs.take_over()
    share_memory()
    stop = asyncio.Event()
    _listen(asyncio.get_running_loop(), stop)
    _check_address(settings.http.host, settings.http.port)
    async with assembled(settings, serving=True) as plantel, asyncio.TaskGroup() as background:
        looks = [background.create_task(reconciler.settled()) for _, reconciler in plantel.reconcilers]
        running = [background.create_task(reconciler.run()) for _, reconciler in plantel.reconcilers]
        running.append(background.create_task(plantel.neighbours.watch()))
        if plantel.retention is not None:
            running.append(background.create_task(plantel.retention.run()))
        if looks:
            await asyncio.wait(looks, timeout=FIRST_LOOK)
        running += looks
        door = front_door(plantel)
        attendance = Attendance(door) if settings.http.tls_cert else None
        server = http_server(settings.http, attendance or door)
        logs.adopt("_granian", logging.ERROR)
        reaper = _reaper(settings.http, attendance)
        serving = background.create_task(server.serve())
        await _accepting(settings, serving, reaper)
        spare_collector()
        running.append(background.create_task(LateLoop(ops.LATE_LOOP.observe).run()))
        ready(plantel)
        await _first(asyncio.create_task(stop.wait()), serving)
        log.info("draining")
        # the server stops accepting at once and ends when the last request has been answered
        server.interrupt_signal = True
        server.main_loop_interrupt.set()
        _, late = await asyncio.wait([serving], timeout=settings.http.drain_timeout)
        await asyncio.to_thread(reaper.stop)
        for task in (*late, *running):
            task.cancel()
    log.info("stopped")


def _listen(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Heed signals, and what goes wrong where nobody waits for it.

    SIGTERM or SIGINT stops, and draining is neither cut short nor made longer by another. SIGHUP changes nothing.
    """
    loop.set_exception_handler(logs.of_loop)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _say_of_hangup)


def _say_of_hangup() -> None:
    log.warning("hangup", effect="none: settings and certificates are read at the start only")


def share_memory() -> None:
    """Have all threads to come allocate from one heap, where the C library is glibc.

    It would give each thread one of its own. A large batch passes through four threads, and would leave what it took in
    each of them.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def spare_collector() -> None:
    """What has been made by now stays: the garbage collector need not look at it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 10, 10)


async def _first(stop: asyncio.Task[bool], serving: asyncio.Task[None]) -> None:
    await asyncio.wait([stop, serving], return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()


def http_server(http: HttpSettings, app: object, interface: Interfaces = Interfaces.RSGI) -> Server:
    """The HTTP server for `app`, which speaks `interface`; `serve` runs it."""
    part = _share(http)
    return Server(
        app,
        address=http.host,
        port=http.port,
        interface=interface,
        # telling HTTP/2 from HTTP/1.1 by its first bytes waits for them without end: only TLS needs both
        http=HTTPModes.auto if http.tls_cert else HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(http.header_timeout * 1000),
            max_buffer_size=HEADER_BYTES,
        ),
        http2_settings=HTTP2Settings(
            max_concurrent_streams=STREAMS,
            max_headers_size=HEADER_BYTES,
            max_send_buffer_size=SEND_BUFFER,
        ),
        websockets=False,
        backlog=part.backlog,
        # a bound on connections whose TLS handshake is done; `Reaper` bounds the others
        backpressure=part.connections + part.slack,
        log_enabled=False,
        ssl_cert=Path(http.tls_cert) if http.tls_cert else None,
        ssl_key=Path(http.tls_key) if http.tls_key else None,
        ssl_protocol_min=SSLProtocols.tls12,
    )


def _share(http: HttpSettings) -> Share:
    return share(descriptors(http.connections).hard, http.connections)


def _reaper(http: HttpSettings, attendance: Attendance | None) -> Reaper:
    """It is not started yet; it has raised the limit of descriptors."""
    part = _share(http)
    if part.connections < http.connections:
        _, limit, needed = descriptors(http.connections)
        log.warning("connections_lowered", to=part.connections, limit=limit, needed=needed)
    deadlines = Deadlines(http.header_timeout, http.idle_timeout, http.write_timeout)
    return Reaper(http.port, part, deadlines, attendance)


def _check_address(host: str, port: int) -> None:
    """Raise AddressInUse where somebody listens there: the server shares ports (SO_REUSEPORT) and would not notice."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise errors.AddressInUse(address=f"{host}:{port}", detail=error.strerror or str(error)) from error


async def _accepting(settings: Settings, serving: asyncio.Task[None], reaper: Reaper) -> None:
    """Return once a connection is accepted. Raises AddressInUse where the server ended instead.

    The reaper is started before many can come.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)  # noqa: S104  # to connect
    async with asyncio.timeout(10):
        while not serving.done() and not reaper.started:
            reaper.start()
            await asyncio.sleep(0)
        while not serving.done():
            try:
                _, writer = await asyncio.open_connection(host, settings.http.port)
            except OSError:
                await asyncio.sleep(0.01)  # nothing announces that the socket listens
                continue
            writer.close()
            return
    raise errors.AddressInUse(address=settings.http.bind, detail=str(serving.exception()))
