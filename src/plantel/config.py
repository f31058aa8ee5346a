"""The settings: TOML file and environment, read once, every mistake named.

No message repeats a value: it may be a secret in the wrong place.
"""

import difflib
import ipaddress
import os
import re
import ssl
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from plantel import errors
from plantel.descriptors import LEAST
from plantel.language import Text
from plantel.phones import AS_SENT, PhoneRules, UnfitRule
from plantel.roster import Interfaces, is_trunk
from plantel.secret import Secret

DEFAULT_PATHS = (Path("plantel.toml"), Path("/etc/plantel/plantel.toml"))

PORT_MOST = 65535

DEFAULT_STORE = "sqlite:///plantel.db"

LONGEST = 100 * 365 * 86400.0
"""Seconds: the longest duration, a hundred years."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "y": 365 * 86400.0}
_SIZES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Unfit(ValueError):
    """A value that a setting cannot take. `text` says what it has to be."""

    def __init__(self, text: Text) -> None:
        super().__init__(text.en)
        self.text = text


class Duration(float):
    """Seconds, more than 0 and at most LONGEST: `"2s"`, `"500ms"`, `"5m"`, `"12h"`, `"30d"`, `"5y"` or a bare number.

    A year has 365 days.
    """

    @classmethod
    def read(cls, value: object) -> "Duration":
        """Raises Unfit."""
        seconds = 0.0
        if isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value
        elif isinstance(value, str) and (
            match := re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(ms|[smhdy])?", value)
        ):
            seconds = float(match[1]) * _UNITS[match[2] or "s"]
        if not 0 < seconds <= LONGEST:
            raise Unfit(
                Text(
                    'must be a duration such as "2s", "500ms", "5m", "12h", "30d" or "5y", more than 0',
                    'debe ser una duración como "2s", "500ms", "5m", "12h", "30d" o "5y", mayor que 0',
                )
            )
        return cls(seconds)


class Size(int):
    """Bytes, at least 1 and at most 1 TiB, written `"16MiB"`, `"64KiB"` or as a bare number."""

    @classmethod
    def read(cls, value: object) -> "Size":
        """Raises Unfit."""
        size = 0
        if isinstance(value, int) and not isinstance(value, bool):
            size = value
        elif isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,15})\s*(B|KiB|MiB|GiB)?", value)):
            size = int(match[1]) * _SIZES[match[2] or ""]
        if not 0 < size <= 2**40:
            raise Unfit(Text('must be a size such as "64KiB" or "16MiB"', 'debe ser un tamaño como "64KiB" o "16MiB"'))
        return cls(size)


Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
"""What an instance or a server is called: it stands in URLs, metrics and names of environment variables."""

ViewName = Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
"""What a view is called: Asterisk writes the name into its statements as it is, without quotes."""


class HttpSettings(msgspec.Struct, frozen=True):
    """`[http]`."""

    bind: str = "127.0.0.1:8080"
    tls_cert: str = ""
    tls_key: str = ""
    body_limit: Size = Size(16 * 2**20)
    batch_items: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    body_timeout: Duration = Duration(30)
    header_timeout: Duration = Duration(15)
    idle_timeout: Duration = Duration(75)
    write_timeout: Duration = Duration(30)
    connections: Annotated[int, Meta(ge=LEAST, le=1_000_000)] = 4096
    drain_timeout: Duration = Duration(20)
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.bind.rpartition(":")[2])


class StoreSettings(msgspec.Struct, frozen=True):
    """`[store]`. `url_file`: a file that holds the URL in place of `url`."""

    url: str = DEFAULT_STORE
    url_file: str = ""

    def __rich_repr__(self) -> list[tuple[str, str]]:
        return [("url_file", self.url_file)]  # there may be a password in the URL

    def __repr__(self) -> str:
        return f"StoreSettings(url_file={self.url_file!r})"


class RosterSettings(msgspec.Struct, frozen=True):
    """`[roster]`. `interfaces` adds patterns to `roster.Interfaces.DEFAULT`; `trunks` are refused all the same.

    `password_min`: characters of a new password; those of before stay good. The brake lets strangers try some 3,000
    passwords of a user a day, from however many addresses: eight characters that are no common word are out of reach.
    """

    interfaces: tuple[str, ...] = ()
    trunks: tuple[str, ...] = ()
    session: Duration = Duration(12 * 3600)
    password_min: Annotated[int, Meta(ge=1, le=64)] = 8


class AsteriskSettings(msgspec.Struct, frozen=True):
    """One `[[asterisk]]`. Exactly one of secret, secret_env and secret_file is needed.

    `drift`: what to do about members that somebody changes on the server. `campaigns`: patterns of the campaigns that
    this server has to carry; empty means those whose queues it has. `tls_ca`: a file with the authority that signed the
    server's certificate, for `tls = true`. `map`, `state`: the tables of `phones.PhoneRules`. `view`: with
    `delivery = "realtime"`, the view of the store's database that this server reads its members from.
    """

    name: Name
    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=PORT_MOST)] = 5038
    username: Annotated[str, Meta(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,80}$")] = "plantel"
    secret: Secret = Secret("")
    secret_env: str = ""
    secret_file: str = ""
    delivery: Literal["dynamic", "realtime"] = "dynamic"
    view: ViewName = "queue_members"
    drift: Literal["repair", "observe"] = "repair"
    tls: bool = False
    tls_ca: str = ""
    campaigns: tuple[str, ...] = ()
    instance: str = "default"
    map: dict[str, str] = {}
    state: dict[str, str] = {}

    @property
    def phones(self) -> PhoneRules:
        """`map` and `state`, as they are used. Raises UnfitRule, which `load` has found before."""
        return PhoneRules(self.map, self.state) if self.map or self.state else AS_SENT

    def __repr__(self) -> str:
        return f"AsteriskSettings({self.name!r}, {self.host}:{self.port})"


class DeliverySettings(msgspec.Struct, frozen=True):
    """`[delivery]`. `interval`: how often every server is looked at even if nothing seems to have changed.

    `verify_interface`: what becomes of an add for a phone that no server of its campaign knows.
    """

    confirm: Literal["stored", "live"] = "stored"
    deadline: Duration = Duration(2)
    interval: Duration = Duration(30)
    verify_interface: Literal["off", "warn", "require"] = "off"


class InstanceSettings(msgspec.Struct, frozen=True):
    """One `[[instance]]`: a customer, told apart by the Host header. One without `hosts` answers for any other host."""

    name: Name
    hosts: tuple[str, ...] = ()


class JournalSettings(msgspec.Struct, frozen=True):
    """`[journal]`. `keep`: how far back everything is known; None for ever."""

    keep: Duration | None = None


class LogSettings(msgspec.Struct, frozen=True):
    """`[log]`. `format = "json"` for machines, `"text"` for people."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class Settings(msgspec.Struct, frozen=True):
    """The whole configuration."""

    http: HttpSettings = HttpSettings()
    store: StoreSettings = StoreSettings()
    roster: RosterSettings = RosterSettings()
    asterisk: tuple[AsteriskSettings, ...] = ()
    delivery: DeliverySettings = DeliverySettings()
    instance: tuple[InstanceSettings, ...] = (InstanceSettings("default"),)
    journal: JournalSettings = JournalSettings()
    log: LogSettings = LogSettings()


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from `path` (else `PLANTEL_CONFIG`, else the first of DEFAULT_PATHS that exists) and `environ`.

    `PLANTEL_SECTION_KEY` overrides `[section] key`; for a server or an instance of the file,
    `PLANTEL_ASTERISK_NAME_KEY`, `PLANTEL_INSTANCE_NAME_KEY`. A list is written with commas, a table as `old=new` with
    commas. Raises ConfigUnreadable, or Mistakes with every unknown key and wrong value.
    """
    path = source(path, environ)
    raw = {} if path is None else _parse(path)
    mistakes: list[errors.ConfigError] = []
    _overlay(raw, environ, mistakes)
    settings: Settings | None = _read(Settings, raw, "", mistakes)
    if settings is not None and not mistakes:
        settings = _resolve(settings, environ, mistakes)
    if mistakes or settings is None:
        raise errors.Mistakes(mistakes)
    return settings


def source(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file that `load` reads; None: there is none. Raises ConfigUnreadable."""
    if path is None and environ.get("PLANTEL_CONFIG"):
        path = Path(environ["PLANTEL_CONFIG"])
    if path is not None:
        return path
    for one in DEFAULT_PATHS:
        try:
            one.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise errors.ConfigUnreadable(path=str(one), detail=error.strerror) from error
        return one
    return None


def referred(text: str, name: str, environ: Mapping[str, str] = os.environ) -> str:
    """The secret that `text` leads to, `file:PATH` or `env:NAME`; else `text` itself.

    For arguments of a command line, which everybody on the machine can read in the list of processes. `name`: what the
    argument is called. Raises Mistakes.
    """
    mistakes: list[errors.ConfigError] = []

    def wrong(setting: str, en: str, es: str) -> None:
        mistakes.append(errors.InvalidSetting(setting=setting, detail=Text(en, es)))

    scheme, _, place = text.partition(":")
    if scheme not in ("file", "env"):
        return text
    found = environ.get(place, "") if scheme == "env" else _kept(place, name, wrong)
    if found == "":
        wrong(name, "leads to nothing: it is empty", "no lleva a nada: está vacío")
    if mistakes or found is None:
        raise errors.Mistakes(mistakes)
    return found


def check_certificate(http: HttpSettings) -> None:
    """Raise InvalidSetting unless `tls_cert` and `tls_key` are readable PEM files that belong together.

    Not part of `load`: only who serves needs to be able to read the key.
    """
    if not http.tls_cert:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(http.tls_cert, http.tls_key, password=_no_password)
    except (OSError, ValueError) as error:
        raise errors.InvalidSetting(
            setting="http.tls_cert, http.tls_key",
            detail=Text(
                f"both must be readable PEM files, the key without a password and that of the certificate: {error}",
                f"deben ser archivos PEM legibles, la clave sin contraseña y la del certificado: {error}",
            ),
        ) from error


def _no_password() -> str:
    # without this OpenSSL would ask at the terminal
    return ""


def _parse(path: Path) -> dict[str, Any]:
    try:
        # Windows' editors put a byte order mark before UTF-8
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise errors.ConfigUnreadable(path=str(path), detail=error.strerror) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise errors.ConfigUnreadable(path=str(path), detail=str(error)) from error


_NOT_SETTINGS = {"PLANTEL_CONFIG", "PLANTEL_LANG", "PLANTEL_TOKEN", "PLANTEL_PASSWORD"}


def _overlay(raw: dict[str, Any], environ: Mapping[str, str], mistakes: list[errors.ConfigError]) -> None:
    """Put what the environment says into `raw`, over what the file says."""
    names = _names(raw)
    secrets = {entry.get("secret_env") for entry in _tables(raw, "asterisk")}
    for variable, value in environ.items():
        if not variable.startswith("PLANTEL_") or variable in _NOT_SETTINGS or variable in secrets:
            continue
        if variable not in names:
            mistakes.append(_unknown(variable, list(names)))
            continue
        table, key, kind = names[variable]
        table[key] = _from_text(kind, value)


def _names(raw: dict[str, Any]) -> dict[str, tuple[dict[str, Any], str, Any]]:
    """Every environment name that means something beside this file: its table, its key and the kind of its value.

    What is in the file but has the wrong shape is passed over: reading it names the mistake.
    """
    names: dict[str, tuple[dict[str, Any], str, Any]] = {}
    for section in msgspec.structs.fields(Settings):
        if isinstance(section.type, type):
            table = raw.setdefault(section.name, {})
            tables = [(section.name, table)] if isinstance(table, dict) else []
            kind = section.type
        else:
            tables = [(f"{section.name}_{one.get('name', '')}", one) for one in _tables(raw, section.name)]
            kind = typing.get_args(section.type)[0]
        for prefix, table in tables:
            for field in msgspec.structs.fields(kind):
                name = re.sub(r"\W", "_", f"PLANTEL_{prefix}_{field.name}", flags=re.ASCII).upper()
                names[name] = (table, field.name, field.type)
    return names


def _tables(raw: dict[str, Any], section: str) -> list[dict[str, Any]]:
    found = raw.get(section)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _from_text(kind: Any, value: str) -> object:
    """`value` as TOML would have it; itself where it is not of that kind, for `_value` to refuse."""
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is tuple:
        return [part.strip() for part in value.split(",") if part.strip()]
    if typing.get_origin(kind) is dict:
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {old.strip(): new.strip() for old, _, new in pairs}
    if kind is bool:
        return {"1": True, "true": True, "0": False, "false": False}.get(value.strip().lower(), value)
    if kind is int and re.fullmatch(r"[0-9]{1,15}", value.strip()):
        return int(value)
    return value


def _read(kind: type[Any], raw: object, path: str, mistakes: list[errors.ConfigError]) -> Any:
    """A `kind` made from the table `raw`, or None after adding to `mistakes`."""
    if not isinstance(raw, dict):
        wanted = Text(f"is a table: write [{path}]", f"es una tabla: escriba [{path}]")
        mistakes.append(errors.InvalidSetting(setting=path, detail=wanted))
        return None
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    before = len(mistakes)
    for key, value in raw.items():
        where = f"{path}.{key}" if path else key
        if key not in fields:
            known = [f"{path}.{name}" if path else name for name in fields]
            mistakes.append(_unknown(where, known))
            continue
        values[key] = _value(fields[key].type, value, where, mistakes)
    for name, field in fields.items():
        if field.required and name not in raw:
            mistakes.append(errors.InvalidSetting(setting=f"{path}.{name}", detail=Text("is missing", "falta")))
    return kind(**values) if len(mistakes) == before else None


def _value(kind: Any, value: object, where: str, mistakes: list[errors.ConfigError]) -> Any:
    """A `kind` made from `value`, or None after adding to `mistakes`."""
    if isinstance(kind, types.UnionType):
        kind = typing.get_args(kind)[0]  # `... | None`: None is what is not in the file
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _read(kind, value, where, mistakes)
    inner = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        if isinstance(value, list):
            return tuple(_read(inner, one, f"{where}[{place}]", mistakes) for place, one in enumerate(value, 1))
        wanted = Text(f"is a list of tables: write [[{where}]]", f"es una lista de tablas: escriba [[{where}]]")
    else:
        try:
            if kind is Secret:
                return Secret(msgspec.convert(value, str))
            return kind.read(value) if kind in (Duration, Size) else msgspec.convert(value, kind)
        except Unfit as unfit:
            wanted = unfit.text
        except msgspec.ValidationError:
            wanted = _wanted(kind)
    mistakes.append(errors.InvalidSetting(setting=where, detail=wanted))
    return None


def _wanted(kind: Any) -> Text:
    """What a value of this kind has to be."""
    origin = typing.get_origin(kind)
    if origin is Literal:
        choices = ", ".join(f'"{choice}"' for choice in typing.get_args(kind))
        return Text(f"must be one of {choices}", f"debe ser uno de {choices}")
    if origin is tuple:
        return Text('must be a list of texts: ["...", "..."]', 'debe ser una lista de textos: ["...", "..."]')
    if origin is dict:
        return Text('must be a table of texts: { "..." = "..." }', 'debe ser una tabla de textos: { "..." = "..." }')
    if kind is bool:
        return Text("must be true or false", "debe ser true o false")
    if origin is Annotated:
        return _wanted_within(kind)
    return Text('must be text in quotes: "..."', 'debe ser texto entre comillas: "..."')


def _unknown(name: str, known: list[str]) -> errors.UnknownSetting:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0) or [""]
    return errors.UnknownSetting(setting=name, nearest=nearest[0])


def _wanted_within(kind: Any) -> Text:
    if kind is Name:
        return Text("must be 1 to 40 of A-Z a-z 0-9 _ . -", "debe tener de 1 a 40 de A-Z a-z 0-9 _ . -")
    if kind is ViewName:
        return Text(
            "must be a name of a-z 0-9 _, such as queue_members, not beginning with a digit",
            "debe ser un nombre de a-z 0-9 _, como queue_members, que no empiece por una cifra",
        )
    base, meta = typing.get_args(kind)
    if base is int:
        return Text(f"must be an integer from {meta.ge} to {meta.le}", f"debe ser un entero de {meta.ge} a {meta.le}")
    return Text("must be text, not empty, in one line", "debe ser texto, no vacío, en una línea")


Wrong = Callable[[str, str, str], None]
"""Notes a mistake: the setting, and what is wrong with it in English and Spanish."""

_BIND = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[^:\s\[\]]+):([0-9]{1,5})")


def _resolve(settings: Settings, environ: Mapping[str, str], mistakes: list[errors.ConfigError]) -> Settings:
    """What no single key can say: pairs that belong together, names that must differ, secrets kept elsewhere."""

    def wrong(setting: str, en: str, es: str) -> None:
        mistakes.append(errors.InvalidSetting(setting=setting, detail=Text(en, es)))

    _check_http(settings.http, wrong)
    try:
        for pattern in settings.roster.interfaces:
            re.compile(pattern)
        Interfaces((*Interfaces.DEFAULT, *settings.roster.interfaces))
    except re.error as error:
        wrong("roster.interfaces", f"is not a regular expression: {error}", f"no es una expresión regular: {error}")
    if not all(map(is_trunk, settings.roster.trunks)):
        wrong(
            "roster.trunks",
            'must be names of trunks, such as [ "mytrunk", "DAHDI/g0" ]',
            'deben ser nombres de troncales, como [ "mytrunk", "DAHDI/g0" ]',
        )
    _check_instances(settings.instance, wrong)
    names = {one.name for one in settings.instance}
    servers = []
    for place, server in enumerate(settings.asterisk, 1):
        where = f"asterisk[{place}]"
        if server.delivery == "realtime":
            _check_realtime(settings, server, where, wrong)
        if server.instance not in names:
            wrong(f"{where}.instance", "there is no [[instance]] of this name", "no hay ninguna [[instance]] así")
        _check_authority(server, where, wrong)
        try:
            PhoneRules(server.map, server.state)
        except UnfitRule as unfit:
            wrong(f"{where}.{unfit.table}", *unfit.text)
        servers.append(_with_secret(server, where, environ, wrong))
    if len({(one.instance, one.name) for one in servers}) != len(servers):
        wrong("asterisk", "two servers of one instance have the same name", "dos servidores tienen el mismo name")
    store = _with_url(settings.store, wrong)
    return msgspec.structs.replace(settings, asterisk=tuple(servers), store=store)


def _check_http(http: HttpSettings, wrong: Wrong) -> None:
    match = _BIND.fullmatch(http.bind)
    if match is None or not 1 <= int(match[1]) <= PORT_MOST:
        wrong(
            "http.bind",
            f'must be address:port, such as "127.0.0.1:8080" or "[::1]:8080", the port from 1 to {PORT_MOST}',
            f'debe ser dirección:puerto, como "127.0.0.1:8080" o "[::1]:8080", el puerto de 1 a {PORT_MOST}',
        )
    if bool(http.tls_cert) != bool(http.tls_key):
        wrong("http", "tls_cert and tls_key go together", "tls_cert y tls_key van juntas")
    for proxy in http.trusted_proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            wrong(
                "http.trusted_proxies",
                'must be addresses or networks, such as "127.0.0.1" or "10.0.0.0/8"',
                'deben ser direcciones o redes, como "127.0.0.1" o "10.0.0.0/8"',
            )


def _check_instances(instances: tuple[InstanceSettings, ...], wrong: Wrong) -> None:
    if not instances:
        wrong("instance", "must have at least one", "debe haber al menos una")
    names = [one.name for one in instances]
    if len(set(names)) != len(names):
        wrong("instance", "two instances have the same name", "dos instancias tienen el mismo name")
    hosts = [host.lower() for one in instances for host in one.hosts]
    if len(set(hosts)) != len(hosts):
        wrong("instance", "two instances have the same host", "dos instancias tienen el mismo host")
    if sum(not one.hosts for one in instances) > 1:
        wrong("instance", "only one instance may be without hosts", "solo una instancia puede estar sin hosts")


def _check_realtime(settings: Settings, server: AsteriskSettings, where: str, wrong: Wrong) -> None:
    if settings.store.url.startswith("sqlite:"):
        wrong(
            f"{where}.delivery",
            '"realtime" needs store.url = "postgresql://..." or "mariadb://...": a file of SQLite is no place where'
            " Asterisk, on its own or another machine, could read and write beside Plantel",
            '"realtime" necesita store.url = "postgresql://..." o "mariadb://...": en un archivo de SQLite no'
            " podría Asterisk, en la misma máquina o en otra, leer y escribir junto a Plantel",
        )
    if sum(one.delivery == "realtime" and one.view == server.view for one in settings.asterisk) > 1:
        wrong(
            f"{where}.view",
            "is another server's view too: each needs one of its own",
            "también es la vista de otro servidor: cada uno necesita la suya",
        )


def _check_authority(server: AsteriskSettings, where: str, wrong: Wrong) -> None:
    if not server.tls_ca:
        return
    try:
        ssl.create_default_context(cafile=server.tls_ca)
    except (OSError, ValueError) as error:
        wrong(f"{where}.tls_ca", f"is not a readable PEM file: {error}", f"no es un archivo PEM legible: {error}")


def _with_url(store: StoreSettings, wrong: Wrong) -> StoreSettings:
    """`store` with its URL, wherever that is kept."""
    if not store.url_file:
        return store
    if store.url != DEFAULT_STORE:
        wrong("store", "needs only one of url and url_file", "necesita solo una de url y url_file")
    url = _kept(store.url_file, "store.url_file", wrong)
    if url == "":
        wrong("store.url_file", "leads to no URL: it is empty", "no lleva a ninguna URL: está vacío")
    return store if url is None else msgspec.structs.replace(store, url=url)


def _kept(file: str, setting: str, wrong: Wrong) -> str | None:
    """What the file holds, without blanks around it; None after noting a mistake."""
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.reason
        wrong(setting, f"cannot be read: {reason}", f"no se puede leer: {reason}")
        return None


def _with_secret(server: AsteriskSettings, where: str, environ: Mapping[str, str], wrong: Wrong) -> AsteriskSettings:
    """`server` with its secret, wherever that is kept."""
    given = [key for key in ("secret", "secret_env", "secret_file") if getattr(server, key)]
    if len(given) != 1:
        wrong(
            where,
            "needs exactly one of secret, secret_env and secret_file",
            "necesita exactamente una de secret, secret_env y secret_file",
        )
        return server
    secret = server.secret
    if server.secret_env:
        secret = Secret(environ.get(server.secret_env, ""))
    elif server.secret_file:
        read = _kept(server.secret_file, f"{where}.secret_file", wrong)
        if read is None:
            return server
        secret = Secret(read)
    if not secret:
        wrong(f"{where}.{given[0]}", "leads to no secret: it is empty", "no lleva a ningún secreto: está vacío")
    return msgspec.structs.replace(server, secret=secret)
