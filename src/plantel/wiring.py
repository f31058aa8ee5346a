"""The only place that knows every part: makes them from the settings, and takes them down in order."""

import asyncio
import contextlib
import getpass
import os
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple

from plantel.access import Actor, Role
from plantel.ami.switch import AmiSwitch
from plantel.config import AsteriskSettings, Settings
from plantel.delivery import Delivery
from plantel.http import ops
from plantel.http.auth import Authenticator
from plantel.http.instance import Instance
from plantel.http.passwords import Passwords
from plantel.neighbours import Neighbours
from plantel.ports import Store
from plantel.reconcile import Reconciler
from plantel.retention import Retention
from plantel.roster import Interfaces
from plantel.service import Service
from plantel.store import check_sessions, open_store
from plantel.store.realtime import RealtimeView
from plantel.verification import Phones


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Plantel(NamedTuple):
    """A running roster: the store and every instance with its servers' reconcilers."""

    settings: Settings
    store: Store
    instances: dict[str, Instance]
    neighbours: Neighbours
    retention: Retention | None
    """None where everything is kept."""

    @property
    def reconcilers(self) -> list[tuple[Instance, Reconciler]]:
        return [(instance, one) for instance in self.instances.values() for one in instance.delivery.reconcilers]


def make_switch(settings: AsteriskSettings) -> AmiSwitch:
    """The switch of one configured server; connects when first used."""
    tls = None
    if settings.tls:
        tls = ssl.create_default_context(cafile=settings.tls_ca or None)
    return AmiSwitch(
        settings.name,
        settings.host,
        settings.port,
        settings.username,
        settings.secret.reveal(),
        tls=tls,
        rereads=settings.delivery == "realtime",
    )


def realtime_views(settings: Settings) -> tuple[RealtimeView, ...]:
    """What the servers that read the roster themselves read."""
    return tuple(
        RealtimeView(one.view, one.instance, one.name, one.campaigns, one.map, one.state)
        for one in settings.asterisk
        if one.delivery == "realtime"
    )


@contextlib.asynccontextmanager
async def assembled(settings: Settings, *, serving: bool = False, make: bool = True) -> AsyncIterator[Plantel]:
    """Everything made and open, nothing running yet; closed on the way out. Raises InvalidSetting, StoreError.

    `serving`: with the realtime views, which who only asks leaves as they are; a pooler that lends sessions is refused.
    With `make` false the store is neither made (StoreMissing) nor migrated (SchemaTooOld).
    """
    views = realtime_views(settings) if serving else ()
    if serving:
        await asyncio.to_thread(check_sessions, settings.store.url)
    store = await asyncio.to_thread(partial(open_store, settings.store.url, migrate=make, make=make, views=views))
    clock = SystemClock()
    switches: list[AmiSwitch] = []
    instances: dict[str, Instance] = {}
    passwords = Passwords()
    try:
        for one in settings.instance:
            servers = [server for server in settings.asterisk if server.instance == one.name]
            delivery = Delivery([])
            verify = settings.delivery.verify_interface
            service = Service(
                store,
                one.name,
                clock,
                Interfaces(
                    (*Interfaces.DEFAULT, *settings.roster.interfaces),
                    trunks=settings.roster.trunks,
                    called=[server.phones.called for server in servers if server.map],
                ),
                delivery.wake,
                None
                if verify == "off"
                else Phones(delivery, settings.delivery.deadline, partial(ops.verifies, one.name)).verify,
                phones_required=verify == "require",
                names=delivery.names,
                most=settings.http.batch_items,
            )
            reconcilers = []
            for server in servers:
                switch = make_switch(server)
                switches.append(switch)
                reconcilers.append(
                    Reconciler(
                        store,
                        switch,
                        service,
                        clock,
                        campaigns=server.campaigns,
                        repair=server.drift == "repair",
                        sole=len(servers) == 1,
                        phones=server.phones,
                        realtime=server.delivery == "realtime",
                        interval=settings.delivery.interval,
                    )
                )
            delivery.reconcilers = tuple(reconcilers)
            authenticator = Authenticator(store, one.name, clock, settings.roster.session, passwords)
            instances[one.name] = Instance(one.name, service, authenticator, delivery)
        neighbours = Neighbours(
            store,
            {name: one.delivery for name, one in instances.items()},
            [one.authenticator.forget for one in instances.values()],
        )
        for served in instances.values():
            served.delivery.catch_up = neighbours.catch_up
        keep = settings.journal.keep
        retention = None
        if keep is not None:
            retention = Retention(store, clock, timedelta(seconds=keep), ops.known_since)
        yield Plantel(settings, store, instances, neighbours, retention)
    finally:
        for switch in switches:
            await switch.close()
        passwords.close()
        await store.close()


def operator() -> Actor:
    """Whoever runs the command line on this machine."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return Actor(f"cli:{name}", Role.ADMIN)
