"""What is unsafe in an installation though it works: each finding with what to do about it. Nothing is changed."""

import ipaddress
import os
import pwd
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from plantel.access import Token
from plantel.config import AsteriskSettings, RosterSettings, Settings
from plantel.descriptors import descriptors, share
from plantel.language import Text
from plantel.roster import Interfaces, Member

SECRET_LEAST = 12
"""Characters of a secret for AMI."""

PASSWORD_LEAST = RosterSettings().password_min
"""Characters of a password."""

OLD = timedelta(days=365)
"""How long a token without an end may be good before somebody is asked about it."""

WIDE = {4: 8, 6: 16}
"""Bits of a network's prefix, by version of IP: a proxy's network that is wider trusts everybody."""

DIALS_OUT = (
    "Local/0034600123456@from-internal",
    "Local/0088199912345678@from-queue/n",
    "SIP/34900@trunk",
    "SIP/trunk/0034900123456",
    "PJSIP/0034900123456@trunk",
    "PJSIP/trunk/sip:0034900@host.example",
    "SIP/host.example",
    "IAX2/user@host.example/0034900123456",
    "DAHDI/g1/0034900123456",
)
"""Interfaces that reach beyond the site's own phones, one of each kind."""


class Unsafe(NamedTuple):
    """One thing that is unsafe. `code` is for machines; the texts have `params` in them."""

    code: str
    what: Text
    remedy: Text
    params: dict[str, object]


def local(settings: Settings, config: Path | None) -> list[Unsafe]:
    """All that can be told from the settings, from `config`, which they were read from, and from this machine."""
    return [
        *_root(settings),
        *_secrets(settings, config),
        *_store(settings),
        *_listening(settings),
        *_asterisks(settings.asterisk),
        *dialling_out(settings.roster.interfaces),
        *_passwords(settings.roster.password_min),
    ]


# --- users and files --------------------------------------------------------------------------------------------------


def _root(settings: Settings) -> Iterator[Unsafe]:
    owner = _owner(_store_file(settings))
    here = os.geteuid()
    if owner is not None and owner != here:
        yield Unsafe(
            "foreign_owner",
            Text(
                "the store {path} belongs to {owner}, and this runs as {user}",
                "el almacén {path} es de {owner}, y esto se ejecuta como {user}",
            ),
            Text(
                "run the service and its commands as one user: sudo -u {owner} plantel ...",
                "ejecute el servicio y sus órdenes como un mismo usuario: sudo -u {owner} plantel ...",
            ),
            {"path": _store_file(settings), "owner": _name(owner), "user": _name(here)},
        )
    elif here == 0:
        yield Unsafe(
            "root",
            Text(
                "this runs as root, and nothing here needs that", "esto se ejecuta como root, y nada aquí lo necesita"
            ),
            Text(
                "run it as a user of its own, to whom the store belongs (systemd: User=plantel)",
                "ejecútelo como un usuario propio, dueño del almacén (systemd: User=plantel)",
            ),
            {},
        )


def _secrets(settings: Settings, config: Path | None) -> Iterator[Unsafe]:
    """Files with a secret that others may read, or that others may change."""
    files = [Path(one) for one in (settings.store.url_file, settings.http.tls_key) if one]
    files += [Path(server.secret_file) for server in settings.asterisk if server.secret_file]
    if config is not None:
        if _holds_secret(config):
            files.append(config)
        elif _others_may(config, stat.S_IWOTH):
            yield _writable(config)
    for path in files:
        if _others_may(path, stat.S_IROTH):
            yield Unsafe(
                "secret_readable",
                Text(
                    "{path} holds a secret, and everybody on this machine may read it",
                    "{path} contiene un secreto, y cualquiera en esta máquina puede leerlo",
                ),
                Text("chmod o-rwx {path}; then change the secret", "chmod o-rwx {path}; después cambie el secreto"),
                {"path": path},
            )
        elif _others_may(path, stat.S_IWOTH):
            yield _writable(path)
    for folder in {path.absolute().parent for path in files}:
        yield from _folder(folder)


def _store(settings: Settings) -> Iterator[Unsafe]:
    path = _store_file(settings)
    if path is None:
        return
    for name in (path, *(path.with_name(path.name + more) for more in ("-wal", "-shm", "-lease"))):
        if _others_may(name, stat.S_IROTH):
            yield Unsafe(
                "store_readable",
                Text(
                    "{path} holds the roster and hashes of passwords, and everybody on this machine may read it",
                    "{path} contiene el plantel y resúmenes de claves, y cualquiera en esta máquina puede leerlo",
                ),
                Text("chmod o-rwx {path}", "chmod o-rwx {path}"),
                {"path": name},
            )
        elif _others_may(name, stat.S_IWOTH):
            yield _writable(name)
    yield from _folder(path.absolute().parent)


def _folder(path: Path) -> Iterator[Unsafe]:
    """Whoever may write in a folder may put other files in the place of those in it, unless it is sticky."""
    if _others_may(path, stat.S_IWOTH) and not path.stat().st_mode & stat.S_ISVTX:
        yield _writable(path)


def _writable(path: Path) -> Unsafe:
    return Unsafe(
        "writable",
        Text(
            "everybody on this machine may change {path}, or what is in it",
            "cualquiera en esta máquina puede cambiar {path}, o lo que contiene",
        ),
        Text("chmod o-w {path}", "chmod o-w {path}"),
        {"path": path},
    )


def written_to(descriptor: int) -> Iterator[Unsafe]:
    """If an open file, such as the log, may be changed by everybody."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return
    if stat.S_ISREG(mode) and mode & stat.S_IWOTH:
        yield _writable(Path(f"/proc/self/fd/{descriptor}").resolve())


def _others_may(path: Path, bit: int) -> bool:
    """Whether users who are neither the owner nor of the group may do so, as far as modes tell."""
    try:
        if not path.stat().st_mode & bit:
            return False
        return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
    except OSError:  # it is not there
        return False


def _store_file(settings: Settings) -> Path | None:
    prefix, _, name = settings.store.url.partition(":///")
    return Path(name) if prefix == "sqlite" else None


def _owner(path: Path | None) -> int | None:
    try:
        return None if path is None else path.stat().st_uid
    except OSError:
        return None


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def _holds_secret(config: Path) -> bool:
    """Whether a secret stands in the file itself. What is no file, such as a pipe, can be read only once."""
    if not config.is_file():
        return False
    try:
        raw: dict[str, Any] = tomllib.loads(config.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):  # it was another one when it was read
        return False
    servers = raw.get("asterisk", [])
    url = raw.get("store", {}).get("url", "")
    return any(server.get("secret") for server in servers) or bool(urlsplit(url).password) or "password=" in url


# --- the network ------------------------------------------------------------------------------------------------------


def _listening(settings: Settings) -> Iterator[Unsafe]:
    http = settings.http
    if not _is_loopback(http.host) and not http.tls_cert and not http.trusted_proxies:
        yield Unsafe(
            "plain_http",
            Text(
                "{bind} takes tokens and passwords without TLS, for everybody on the way to read",
                "{bind} recibe tokens y claves sin TLS, a la vista de cualquiera en el camino",
            ),
            Text(
                "set http.tls_cert and http.tls_key; or bind to 127.0.0.1, behind a proxy with TLS that is in"
                " http.trusted_proxies",
                "ponga http.tls_cert y http.tls_key; o escuche en 127.0.0.1, tras un proxy con TLS que esté en"
                " http.trusted_proxies",
            ),
            {"bind": http.bind},
        )
    for network in map(_network, http.trusted_proxies):
        if network.prefixlen < WIDE[network.version]:
            yield Unsafe(
                "any_proxy",
                Text(
                    "http.trusted_proxies has {network}: whoever calls from there names any address as his own, and no"
                    " brake on wrong passwords holds him",
                    "http.trusted_proxies tiene {network}: quien llame desde allí se pone la dirección que quiera, y"
                    " ningún freno a las claves erróneas lo detiene",
                ),
                Text("name the proxies' own addresses there", "ponga allí las direcciones de los propios proxies"),
                {"network": network},
            )
    if "*" in http.cors_origins:
        yield Unsafe(
            "any_origin",
            Text(
                'http.cors_origins has "*": any web page that a user opens may call from his browser',
                'http.cors_origins tiene "*": cualquier página que abra un usuario puede llamar desde su navegador',
            ),
            Text(
                "name the pages that need it: https://crm.example.com",
                "ponga las páginas que lo necesitan: https://crm.example.com",
            ),
            {},
        )


def _asterisks(servers: Iterable[AsteriskSettings]) -> Iterator[Unsafe]:
    for server in servers:
        named: dict[str, object] = {"server": server.name, "host": server.host, "username": server.username}
        if not server.tls and not _is_loopback(server.host):
            yield Unsafe(
                "plain_ami",
                Text(
                    "{server}: AMI goes to {host} without TLS: whoever is in between reads it all, and can change it",
                    "{server}: AMI va a {host} sin TLS: quien esté por medio lee todo y puede cambiarlo",
                ),
                Text(
                    "tlsenable = yes in manager.conf, and tls = true here; or a network that nobody else is in, and"
                    " permit for this machine only",
                    "tlsenable = yes en manager.conf, y tls = true aquí; o una red en la que no haya nadie más, y"
                    " permit solo para esta máquina",
                ),
                named,
            )
        secret = server.secret.reveal()
        if len(secret) < SECRET_LEAST or secret.lower() == server.username.lower():
            yield Unsafe(
                "weak_secret",
                Text(
                    "{server}: the secret of {username} is short, or his name: whoever guesses it has Asterisk",
                    "{server}: el secreto de {username} es corto, o su nombre: quien lo adivine tiene Asterisk",
                ),
                Text(
                    "put one from `openssl rand -hex 16` into manager.conf and here",
                    "ponga uno de `openssl rand -hex 16` en manager.conf y aquí",
                ),
                named,
            )


def _passwords(least: int) -> Iterator[Unsafe]:
    """How long those are that are there, nobody can see: there are hashes only."""
    if least < PASSWORD_LEAST:
        yield Unsafe(
            "short_passwords",
            Text(
                "roster.password_min is {least}: passwords that can be guessed may be set",
                "roster.password_min es {least}: se pueden poner claves que se adivinan",
            ),
            Text(
                "set it to {usual} or more; then have those who log in set new ones: plantel user add",
                "póngalo en {usual} o más; después, que quienes entran pongan otras: plantel user add",
            ),
            {"least": least, "usual": PASSWORD_LEAST},
        )


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- what may be dialled ----------------------------------------------------------------------------------------------


def dialling_out(patterns: Iterable[str]) -> Iterator[Unsafe]:
    """Each of the site's own patterns that admits an interface which reaches out."""
    for pattern in patterns:
        allowed = re.compile(pattern, re.ASCII | re.IGNORECASE)
        found = [one for one in DIALS_OUT if allowed.fullmatch(one)]
        if found:
            yield Unsafe(
                "dials_out",
                Text(
                    "roster.interfaces has {pattern}, which admits {sample}: whoever may add an agent calls out at your"
                    " cost",
                    "roster.interfaces tiene {pattern}, que admite {sample}: quien puede agregar un agente llama fuera"
                    " a su costa",
                ),
                Text(
                    "narrow it to the names of your phones, with as many digits as they have",
                    "redúzcalo a los nombres de sus teléfonos, con tantas cifras como tengan",
                ),
                {"pattern": pattern, "sample": found[0]},
            )


def refused_members(interfaces: Interfaces, members: Sequence[Member]) -> Iterator[Unsafe]:
    """If there are members whom these rules would refuse today."""
    refused = interfaces.check(members)
    if refused:
        yield Unsafe(
            "refused_members",
            Text(
                "{count} members have an interface that the rules of today refuse, such as {sample}",
                "{count} miembros tienen una interfaz que las reglas de hoy rechazan, como {sample}",
            ),
            Text(
                "look whether it dials out; then remove them, or allow it in roster.interfaces",
                "mire si llama fuera; después quítelos, o admítala en roster.interfaces",
            ),
            {"count": len(refused), "sample": refused[0].params["interface"]},
        )


def old_tokens(instance: str, tokens: Iterable[Token], now: datetime) -> Iterator[Unsafe]:
    """If there are tokens without an end that were made long ago."""
    old = [one.name for one in tokens if one.expires is None and now - one.created > OLD]
    if old:
        yield Unsafe(
            "old_tokens",
            Text(
                "{instance}: tokens without an end are more than a year old: {names}",
                "{instance}: hay tokens sin fin con más de un año: {names}",
            ),
            Text(
                "make new ones, with an end, and remove those: plantel token create --help",
                "haga otros, con fin, y quite esos: plantel token create --help",
            ),
            {"instance": instance, "names": ", ".join(old[:10])},
        )


# --- descriptors ------------------------------------------------------------------------------------------------------


def few_descriptors(connections: int) -> Iterator[Unsafe]:
    """If the limit of open files does not allow as many connections as were asked for. That of a command is its own."""
    _, limit, needed = descriptors(connections)
    if limit < needed:
        yield Unsafe(
            "few_descriptors",
            Text(
                "the limit of open files is {limit}: there is room for {admitted} connections, not for {connections}",
                "el límite de archivos abiertos es {limit}: caben {admitted} conexiones, no {connections}",
            ),
            Text(
                "raise it to {needed} (systemd: LimitNOFILE={needed}), or set http.connections lower",
                "súbalo a {needed} (systemd: LimitNOFILE={needed}), o baje http.connections",
            ),
            {
                "limit": limit,
                "needed": needed,
                "connections": connections,
                "admitted": share(limit, connections).connections,
            },
        )
