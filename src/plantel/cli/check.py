"""`plantel check`: what works, what does not, and what to do about it."""

import asyncio
import contextlib
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from plantel import errors, safety
from plantel.access import Token
from plantel.ami.diagnosis import Diagnosis
from plantel.cli.context import settings, settings_file
from plantel.cli.options import AsJson
from plantel.cli.output import json, say, tell
from plantel.config import AsteriskSettings, HttpSettings, Settings, check_certificate
from plantel.http.instance import Instance
from plantel.language import Text, current
from plantel.phones import PhoneRules
from plantel.ports import Transaction
from plantel.reconcile import lease_name
from plantel.retention import LEASE
from plantel.roster import Campaign, Interfaces, Member, fold
from plantel.safety import Unsafe
from plantel.store import check_rights, check_sessions, missing_views, nodes, shown
from plantel.wiring import Plantel, SystemClock, assembled, make_switch, operator, realtime_views


class Finding(NamedTuple):
    """One thing looked at: good, or bad with what to do about it. With a `code` it is good, and unsafe."""

    subject: str
    good: bool
    what: str
    remedy: str = ""
    code: str = ""

    @property
    def verdict(self) -> str:
        if not self.good:
            return tell("BAD", "MAL")
        return tell("WARN", "OJO") if self.code else tell("ok", "bien")


_REMEDIES: dict[type[errors.PlantelError], Text] = {
    errors.SwitchUnreachable: Text(
        "is Asterisk running there, with enabled = yes and this port in manager.conf, and no firewall between?",
        "¿está Asterisk en marcha allí, con enabled = yes y este port en manager.conf, y sin cortafuegos en medio?",
    ),
    errors.SwitchLoginRefused: Text(
        "compare username and secret with the section [{username}] of manager.conf, and its permit and deny lines; then"
        " run: asterisk -rx 'manager reload'",
        "compare username y secret con la sección [{username}] de manager.conf, y sus líneas permit y deny; después"
        " ejecute: asterisk -rx 'manager reload'",
    ),
    errors.SwitchTimeout: Text(
        "something listens there but does not answer: is it overloaded, or is the port another service's?",
        "algo escucha allí pero no responde: ¿está sobrecargado, o el puerto es de otro servicio?",
    ),
    errors.SwitchNotReady: Text(
        "wait until it has started; if it lasts, look at Asterisk's own log",
        "espere a que arranque; si dura, mire el registro del propio Asterisk",
    ),
    errors.SwitchProtocol: Text(
        "is this the AMI port (5038), and does tls match manager.conf's tlsenable?",
        "¿es este el puerto de AMI (5038), y tls coincide con tlsenable de manager.conf?",
    ),
    errors.RereadRefused: Text(
        "in manager.conf, section [{username}]: write = agent,reporting; then run: asterisk -rx 'manager reload'",
        "en manager.conf, sección [{username}]: write = agent,reporting; después ejecute: asterisk -rx"
        " 'manager reload'",
    ),
    errors.MemberUnread: Text(
        "compare extconfig.conf and the settings of its driver with docs/realtime.md, and look at Asterisk's own log",
        "compare extconfig.conf y los ajustes de su controlador con docs/realtime.es.md; mire el registro de Asterisk",
    ),
    errors.StoreUnavailable: Text(
        "check that the folder exists and that this user may write there; of a database server, that it runs, and that"
        " store.url names it, a database, and a user with the rights to it that docs/configuration.md and"
        " docs/mariadb.md tell",
        "compruebe que la carpeta existe y que este usuario puede escribir en ella; de un servidor de bases de datos,"
        " que está en marcha, y que store.url lo nombra, con una base y un usuario que tiene en ella los derechos que"
        " dicen docs/configuracion.md y docs/mariadb.es.md",
    ),
    errors.StoreFull: Text("make room on that disk", "libere espacio en ese disco"),
}


async def check(*, as_json: AsJson = False) -> None:
    loaded = settings()
    findings = [Finding("config", good=True, what=tell("is valid", "es válida"))]
    findings += _check_tls(loaded.http)
    findings += await _check_store_and_servers(loaded)
    findings += _unsafe([*safety.local(loaded, settings_file()), *safety.few_descriptors(loaded.http.connections)])
    if as_json:
        json([one._asdict() for one in findings])
    else:
        for one in findings:
            say(f"{one.verdict:4} {one.subject}: {one.what}")
            if one.remedy:
                say(f"       -> {one.remedy}")
    if not all(one.good for one in findings):
        sys.exit(1)


def _unsafe(found: Iterable[Unsafe]) -> Iterator[Finding]:
    for one in found:
        what, remedy = (text.say(current(), **one.params) for text in (one.what, one.remedy))
        yield Finding("safety", good=True, what=what, remedy=remedy, code=one.code)


async def _check_store_and_servers(loaded: Settings) -> list[Finding]:
    """The servers also where there is no store, or none that works; nothing is made, and nothing migrated."""
    findings: list[Finding] = []
    async with contextlib.AsyncExitStack() as opened:
        instances: dict[str, Instance] = {}
        try:
            # before we are connected ourselves
            connected = await asyncio.to_thread(_connected, loaded)
            await asyncio.to_thread(check_sessions, loaded.store.url)
            findings += connected
            plantel = await opened.enter_async_context(assembled(loaded, make=False))
            await asyncio.to_thread(check_rights, loaded.store.url)
            findings.append(Finding("store", good=True, what=shown(loaded.store.url)))
            findings.append(await _check_journal(plantel))
            findings += await _check_tokens(plantel)
            instances = plantel.instances
        except errors.StoreMissing as error:
            what = f"{shown(loaded.store.url)}: {error.say(current())}"
            findings.append(Finding("store", good=True, what=what))
        except (errors.StoreError, errors.InvalidSetting) as error:
            findings.append(_bad("store", error))
        for one in loaded.instance:
            try:
                findings += await _check_instance(loaded, one.name, instances.get(one.name))
            except errors.StoreError as error:
                findings.append(_bad("store", error))
    return findings


def _connected(loaded: Settings) -> list[Finding]:
    """Which nodes there are, and what each does now that only one may do; nothing of a file, which does not know."""
    if loaded.store.url.startswith("sqlite"):
        return []
    work = {lease_name(server.instance, server.name): server.name for server in loaded.asterisk} | {LEASE: "journal"}
    shown_nodes = []
    for node in nodes(loaded.store.url, list(work)):
        at = f" ({node.address})" if node.name and node.address else node.address
        who = f"{node.name}{at}" or tell("the database's machine", "la máquina de la base de datos")
        if node.leases:
            who += tell(
                ", at work on {what} just now",
                ", que trabaja ahora en {what}",
                what=", ".join(work[lease] for lease in node.leases),
            )
        shown_nodes.append(who)
    what = tell(
        "connected to the database: {nodes}", "conectados a la base de datos: {nodes}", nodes="; ".join(shown_nodes)
    )
    if not shown_nodes:
        what = tell("none is connected to the database", "ninguno está conectado a la base de datos")
    return [Finding("nodes", good=True, what=what)]


def _bad(subject: str, error: errors.PlantelError) -> Finding:
    remedy = _REMEDIES.get(type(error))
    shown = error.say(current()).removeprefix(f"{error.params.get('server')}: ")
    return Finding(
        subject, good=False, what=shown, remedy=remedy.say(current(), **error.params) if remedy is not None else ""
    )


def _check_tls(http: HttpSettings) -> Iterator[Finding]:
    if not http.tls_cert:
        return
    try:
        check_certificate(http)
    except errors.InvalidSetting as error:
        yield _bad("tls", error)
    else:
        yield Finding("tls", good=True, what=http.tls_cert)


async def _check_journal(plantel: Plantel) -> Finding:
    since = await plantel.store.read(lambda transaction: transaction.known_since())
    if since is None:
        what = tell("everything is known since the beginning", "se conoce todo desde el principio")
    else:
        what = tell("everything is known since {since}", "se conoce todo desde {since}", since=since.isoformat())
    return Finding("journal", good=True, what=what)


async def _check_tokens(plantel: Plantel) -> list[Finding]:
    found: list[Unsafe] = []
    for name in plantel.instances:
        tokens = await plantel.store.read(partial(_tokens, name))
        found += safety.old_tokens(name, tokens, SystemClock().now())
    return list(_unsafe(found))


def _tokens(instance: str, transaction: Transaction) -> list[Token]:
    return transaction.tokens(instance)


async def _check_instance(loaded: Settings, name: str, instance: Instance | None) -> list[Finding]:
    """Its servers; `instance` None: without a roster."""
    campaigns, members = await _roster(instance) if instance is not None else ([], [])
    findings: list[Finding] = []
    if instance is not None:
        interfaces = Interfaces((*Interfaces.DEFAULT, *loaded.roster.interfaces))
        findings += _unsafe(safety.refused_members(interfaces, members))
    queues: set[str] = set()
    servers = [server for server in loaded.asterisk if server.instance == name]
    reached = True
    for server in servers:
        switch = make_switch(server)
        try:
            diagnosis = await switch.diagnose()
        except errors.SwitchError as error:
            findings.append(_bad(f"asterisk {server.name}", error))
            reached = False
        else:
            findings += _judge(server, diagnosis, members)
            findings += _judge_verification(loaded, server, diagnosis)
            if server.delivery == "realtime" and instance is not None:
                findings += await _judge_realtime(loaded, server, diagnosis, instance)
            queues |= {fold(queue) for queue in diagnosis.queues}
        finally:
            await switch.close()
    if not servers:
        findings.append(
            Finding(
                "asterisk",
                good=True,
                what=tell(
                    "no server is configured: the roster is kept and delivered to nobody",
                    "no hay ningún servidor configurado: el plantel se guarda y no se entrega a nadie",
                ),
            )
        )
    elif reached:
        findings += _missing(campaigns, queues)
    return findings


async def _roster(instance: Instance) -> tuple[list[Campaign], list[Member]]:
    campaigns = await instance.service.campaigns(operator())
    members = [one for campaign in campaigns for one in await instance.service.members(operator(), campaign.name)]
    return campaigns, members


def _judge(server: AsteriskSettings, diagnosis: Diagnosis, members: Iterable[Member]) -> Iterator[Finding]:
    subject = f"asterisk {server.name}"
    yield Finding(
        subject,
        good=True,
        what=tell(
            "{version} at {host}:{port}, {queues} queues, {members} members",
            "{version} en {host}:{port}, {queues} colas, {members} miembros",
            version=f"Asterisk {diagnosis.asterisk}" if diagnosis.asterisk else f"AMI {diagnosis.protocol}",
            host=server.host,
            port=server.port,
            queues=len(diagnosis.queues),
            members=sum(diagnosis.queues.values()),
        ),
    )
    if not diagnosis.writes_agent or not diagnosis.reads_system:
        missing = [
            line
            for line, there in (
                ("write = agent", diagnosis.writes_agent),
                ("read = system,agent", diagnosis.reads_system),
            )
            if not there
        ]
        yield Finding(
            subject,
            good=False,
            what=tell(
                "the AMI user lacks {missing}", "al usuario de AMI le falta {missing}", missing=", ".join(missing)
            ),
            remedy=tell(
                "in manager.conf, section [{user}]: read = system,agent and write = agent; then run: asterisk -rx"
                " 'manager reload'",
                "en manager.conf, sección [{user}]: read = system,agent y write = agent; después ejecute: asterisk -rx"
                " 'manager reload'",
                user=server.username,
            ),
        )
    queues = {fold(queue) for queue in diagnosis.queues}
    carried = [one.interface for one in members if fold(one.campaign) in queues]
    yield from _rules(subject, server.phones, carried)
    for technology, loaded in (("SIP", diagnosis.chan_sip), ("PJSIP", diagnosis.chan_pjsip)):
        count = sum(server.phones.called(one).upper().startswith(technology + "/") for one in carried)
        if count and loaded is False:
            yield Finding(
                subject,
                good=False,
                what=tell(
                    "{count} members have a {technology}/ interface, and chan_{module} is not loaded there",
                    "{count} miembros tienen una interfaz {technology}/, y allí no está cargado chan_{module}",
                    count=count,
                    technology=technology,
                    module=technology.lower(),
                ),
                remedy=tell(
                    'chan_sip is gone since Asterisk 21: add map = { "SIP/" = "PJSIP/" } to this [[asterisk]]; on an'
                    " older one, load the module",
                    'chan_sip desapareció con Asterisk 21: agregue map = { "SIP/" = "PJSIP/" } a este [[asterisk]]; en'
                    " uno anterior, cargue el módulo",
                )
                if technology == "SIP"
                else tell("load chan_pjsip, or send SIP/ interfaces", "cargue chan_pjsip, o envíe interfaces SIP/"),
            )


def _rules(subject: str, phones: PhoneRules, interfaces: Iterable[str]) -> Iterator[Finding]:
    """Each rule of this server that some member needs, with the first such phone."""
    found: dict[str, list[str]] = {}
    for interface in interfaces:
        for rule in phones.applied(interface):
            found.setdefault(rule, []).append(interface)
    for rule, those in found.items():
        yield Finding(
            subject,
            good=True,
            what=tell(
                "{rule} holds for {count} members, such as {phone}",
                "{rule} vale para {count} miembros, como {phone}",
                rule=rule,
                count=len(those),
                phone=phones.shown(those[0]),
            ),
        )


def _judge_verification(loaded: Settings, server: AsteriskSettings, diagnosis: Diagnosis) -> Iterator[Finding]:
    verify = loaded.delivery.verify_interface
    if verify == "off" or diagnosis.reads_devices:
        return
    yield Finding(
        f"asterisk {server.name}",
        good=False,
        what=tell(
            'the AMI user may not ask for the state of phones, so verify_interface = "{verify}" verifies nothing here',
            'el usuario de AMI no puede preguntar el estado de los teléfonos: verify_interface = "{verify}" no verifica'
            " nada aquí",
            verify=verify,
        ),
        remedy=tell(
            "in manager.conf, section [{user}]: write = agent,reporting; then run: asterisk -rx 'manager reload'",
            "en manager.conf, sección [{user}]: write = agent,reporting; después ejecute: asterisk -rx"
            " 'manager reload'",
            user=server.username,
        ),
    )


async def _judge_realtime(
    loaded: Settings, server: AsteriskSettings, diagnosis: Diagnosis, instance: Instance
) -> list[Finding]:
    """Whether the view is there, and whether Asterisk reads it."""
    subject = f"asterisk {server.name}"
    views = [view for view in realtime_views(loaded) if view.name == server.view]
    if await asyncio.to_thread(missing_views, loaded.store.url, views):
        return [
            Finding(
                subject,
                good=False,
                what=tell(
                    "the view {view} is not there as this configuration has it",
                    "la vista {view} no está como dice esta configuración",
                    view=server.view,
                ),
                remedy=tell(
                    "start plantel serve, which makes it; then let Asterisk's user of the database read and update it:"
                    " docs/realtime.md",
                    "inicie plantel serve, que la crea; después permita leerla y actualizarla al usuario de Asterisk en"
                    " la base de datos: docs/realtime.es.md",
                ),
            )
        ]
    if not diagnosis.reads_devices:
        return [_bad(subject, errors.RereadRefused(server=server.name, username=server.username))]
    (reconciler,) = (one for one in instance.delivery.reconcilers if one.name == server.name)
    try:
        _, found = await reconciler.look()
    except errors.SwitchError as error:
        return [_bad(subject, error)]
    unread = [
        one.reason(server.name) for one in found.blocked if one.error in (errors.MemberUnread, errors.QueueSpelled)
    ]
    if unread:
        return [_bad(subject, unread[0])]
    return [
        Finding(
            subject,
            good=True,
            what=tell(
                "Asterisk reads its members from the view {view}",
                "Asterisk lee sus miembros de la vista {view}",
                view=server.view,
            ),
        )
    ]


def _missing(campaigns: Iterable[Campaign], queues: set[str]) -> Iterator[Finding]:
    for campaign in campaigns:
        if fold(campaign.name) not in queues:
            yield Finding(
                f"campaign {campaign.name}",
                good=False,
                what=tell("no server has a queue of this name", "ningún servidor tiene una cola con este nombre"),
                remedy=tell(
                    "add a section [{name}] to queues.conf and run: asterisk -rx 'queue reload all'; or:"
                    " plantel campaign remove '{name}'",
                    "agregue una sección [{name}] a queues.conf y ejecute: asterisk -rx 'queue reload all'; o:"
                    " plantel campaign remove '{name}'",
                    name=campaign.name,
                ),
            )
