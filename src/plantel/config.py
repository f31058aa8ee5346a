"""The settings: TOML file and environment, read once, every mistake named."""

import difflib
import ipaddress
import os
import re
import tomllib
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from plantel import errors
from plantel.language import Language
from plantel.roster import Interfaces

DEFAULT_PATHS = (Path("plantel.toml"), Path("/etc/plantel/plantel.toml"))

PORT_MOST = 65535

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Duration(float):
    """Seconds, written `"2s"`, `"500ms"`, `"5m"`, `"12h"` or as a bare number of seconds."""

    @classmethod
    def read(cls, value: object) -> "Duration":
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return cls(value)
        if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", value.strip())):
            return cls(float(match[1]) * _UNITS[match[2] or "s"])
        raise ValueError('must be a duration such as "2s", "500ms" or "5m"')


class Size(int):
    """Bytes, written `"16MiB"`, `"64KiB"` or as a bare number."""

    @classmethod
    def read(cls, value: object) -> "Size":
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return cls(value)
        if isinstance(value, str) and (match := re.fullmatch(r"(\d+)\s*(B|KiB|MiB|GiB)?", value.strip())):
            return cls(int(match[1]) * _SIZES[match[2] or ""])
        raise ValueError('must be a size such as "16MiB"')


class HttpSettings(msgspec.Struct, frozen=True):
    """`[http]`."""

    bind: Annotated[str, Meta(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[^:]+):[0-9]{1,5}$")] = "127.0.0.1:8080"
    tls_cert: str = ""
    tls_key: str = ""
    body_limit: Size = Size(16 * 2**20)
    body_timeout: Duration = Duration(30)
    header_timeout: Duration = Duration(15)
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
    """`[store]`."""

    url: str = "sqlite:///plantel.db"


class RosterSettings(msgspec.Struct, frozen=True):
    """`[roster]`. `interfaces` adds patterns to `roster.Interfaces.DEFAULT`."""

    interfaces: tuple[str, ...] = ()
    session: Duration = Duration(12 * 3600)


class AsteriskSettings(msgspec.Struct, frozen=True):
    """One `[[asterisk]]`. Exactly one of secret, secret_env and secret_file is needed.

    `campaigns`: patterns of the campaigns that this server has to carry; empty means those whose queues it has.
    `tls_ca`: a file with the authority that signed the server's certificate, for `tls = true`.
    """

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=PORT_MOST)] = 5038
    username: str = "plantel"
    secret: str = ""
    secret_env: str = ""
    secret_file: str = ""
    delivery: Literal["dynamic", "realtime"] = "dynamic"
    tls: bool = False
    tls_ca: str = ""
    campaigns: tuple[str, ...] = ()
    instance: str = "default"

    def __repr__(self) -> str:
        return f"AsteriskSettings({self.name!r}, {self.host}:{self.port})"


class DeliverySettings(msgspec.Struct, frozen=True):
    """`[delivery]`. `interval`: how often every server is looked at even if nothing seems to have changed."""

    confirm: Literal["stored", "live"] = "stored"
    deadline: Duration = Duration(2)
    interval: Duration = Duration(30)


class InstanceSettings(msgspec.Struct, frozen=True):
    """One `[[instance]]`: a customer, told apart by the Host header. One without `hosts` answers for any other host."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
    hosts: tuple[str, ...] = ()


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
    log: LogSettings = LogSettings()


class Mistakes(errors.ConfigError):
    """Everything that is wrong with the configuration, in one error."""

    def __init__(self, mistakes: list[errors.ConfigError]) -> None:
        super().__init__(detail="; ".join(str(mistake) for mistake in mistakes))
        self.mistakes = mistakes

    def say(self, language: Language = "en") -> str:
        return "\n".join(mistake.say(language) for mistake in self.mistakes)


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from `path` (else `PLANTEL_CONFIG`, else the first of DEFAULT_PATHS that exists) and `environ`.

    `PLANTEL_SECTION_KEY` overrides `[section] key`; for a server, `PLANTEL_ASTERISK_NAME_KEY`. A list is written with
    commas. Raises ConfigUnreadable, or Mistakes with every unknown key and wrong value.
    """
    if path is None and environ.get("PLANTEL_CONFIG"):
        path = Path(environ["PLANTEL_CONFIG"])
    if path is None:
        path = next((candidate for candidate in DEFAULT_PATHS if candidate.exists()), None)
    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise errors.ConfigUnreadable(path=str(path), detail=str(error)) from error
    mistakes: list[errors.ConfigError] = []
    _overlay(raw, environ, mistakes)
    settings: Settings | None = _read(Settings, raw, "", mistakes)
    if settings is not None and not mistakes:
        settings = _resolve(settings, environ, mistakes)
    if mistakes or settings is None:
        raise Mistakes(mistakes)
    return settings


_NOT_SETTINGS = {"PLANTEL_CONFIG", "PLANTEL_LANG", "PLANTEL_TOKEN", "PLANTEL_PASSWORD"}


def _overlay(raw: dict[str, Any], environ: Mapping[str, str], mistakes: list[errors.ConfigError]) -> None:
    sections = {field.name: field.type for field in msgspec.structs.fields(Settings)}
    for name, value in environ.items():
        if not name.startswith("PLANTEL_") or name in _NOT_SETTINGS:
            continue
        section, _, key = name.removeprefix("PLANTEL_").lower().partition("_")
        kind = sections.get(section)
        table: Any = None
        if isinstance(kind, type):
            table = raw.setdefault(section, {})
        elif kind is not None:
            for entry in raw.get(section, ()) if isinstance(raw.get(section), list) else ():
                slug = re.sub(r"\W", "_", str(entry.get("name", "")).lower()) + "_"
                if key.startswith(slug):
                    table, key = entry, key.removeprefix(slug)
                    kind = typing.get_args(kind)[0]
        fields = {field.name: field.type for field in msgspec.structs.fields(kind)} if isinstance(kind, type) else {}
        if not isinstance(table, dict) or key not in fields:
            if name not in {entry.get("secret_env") for entry in raw.get("asterisk", ()) if isinstance(entry, dict)}:
                mistakes.append(_unknown(name, [f"PLANTEL_{one}".upper() for one in _known_names()]))
            continue
        table[key] = _from_text(fields[key], value)


def _known_names() -> list[str]:
    return [
        f"{section.name}_{field.name}"
        for section in msgspec.structs.fields(Settings)
        if isinstance(section.type, type)
        for field in msgspec.structs.fields(section.type)
    ]


def _from_text(kind: Any, value: str) -> object:
    if typing.get_origin(kind) is Annotated:
        kind = typing.get_args(kind)[0]
    if typing.get_origin(kind) is tuple:
        return [part.strip() for part in value.split(",") if part.strip()]
    if kind is bool:
        return {"1": True, "true": True, "0": False, "false": False}.get(value.strip().lower(), value)
    if kind is int and value.strip().isdigit():
        return int(value)
    return value


def _read(kind: type[Any], raw: object, path: str, mistakes: list[errors.ConfigError]) -> Any:
    """A `kind` made from the table `raw`, or None after adding to `mistakes`."""
    if not isinstance(raw, dict):
        mistakes.append(errors.InvalidSetting(setting=path, detail="must be a table"))
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
            mistakes.append(errors.InvalidSetting(setting=f"{path}.{name}", detail="is missing"))
    return kind(**values) if len(mistakes) == before else None


def _value(kind: Any, value: object, where: str, mistakes: list[errors.ConfigError]) -> Any:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _read(kind, value, where, mistakes)
    if typing.get_origin(kind) is tuple and isinstance(typing.get_args(kind)[0], type):
        inner = typing.get_args(kind)[0]
        if issubclass(inner, msgspec.Struct):
            if not isinstance(value, list):
                mistakes.append(errors.InvalidSetting(setting=where, detail=f"is a list of tables: write [[{where}]]"))
                return None
            return tuple(_read(inner, one, f"{where}[{place}]", mistakes) for place, one in enumerate(value, 1))
    try:
        if kind in (Duration, Size):
            return kind.read(value)
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, ValueError) as error:
        mistakes.append(errors.InvalidSetting(setting=where, detail=str(error)))
        return None


def _unknown(name: str, known: list[str]) -> errors.UnknownSetting:
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0) or [""]
    return errors.UnknownSetting(setting=name, nearest=nearest[0])


def _resolve(settings: Settings, environ: Mapping[str, str], mistakes: list[errors.ConfigError]) -> Settings:
    """What no single key can say: pairs that belong together, names that must differ, secrets kept elsewhere."""

    def wrong(setting: str, detail: str) -> None:
        mistakes.append(errors.InvalidSetting(setting=setting, detail=detail))

    if bool(settings.http.tls_cert) != bool(settings.http.tls_key):
        wrong("http", "tls_cert and tls_key go together")
    if settings.http.port > PORT_MOST:
        wrong("http.bind", f"the port must be at most {PORT_MOST}")
    _check_parsable(settings, wrong)
    _check_instances(settings.instance, wrong)
    names = {one.name for one in settings.instance}
    servers = []
    for place, server in enumerate(settings.asterisk, 1):
        if server.delivery == "realtime":
            wrong(f"asterisk[{place}].delivery", 'this version delivers "dynamic" members only')
        if server.instance not in names:
            wrong(f"asterisk[{place}].instance", f"there is no instance {server.instance}")
        servers.append(_with_secret(server, f"asterisk[{place}]", environ, wrong))
    if len({(one.instance, one.name) for one in servers}) != len(servers):
        wrong("asterisk", "two servers of one instance have the same name")
    return msgspec.structs.replace(settings, asterisk=tuple(servers))


def _check_parsable(settings: Settings, wrong: Callable[[str, str], None]) -> None:
    for proxy in settings.http.trusted_proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError as error:
            wrong("http.trusted_proxies", str(error))
    try:
        Interfaces((*Interfaces.DEFAULT, *settings.roster.interfaces))
    except re.error as error:
        wrong("roster.interfaces", f"is not a regular expression: {error}")


def _check_instances(instances: tuple[InstanceSettings, ...], wrong: Callable[[str, str], None]) -> None:
    names = [one.name for one in instances]
    if len(set(names)) != len(names):
        wrong("instance", "two instances have the same name")
    hosts = [host.lower() for one in instances for host in one.hosts]
    if len(set(hosts)) != len(hosts):
        wrong("instance", "two instances have the same host")
    if sum(not one.hosts for one in instances) > 1:
        wrong("instance", "only one instance may be without hosts")


def _with_secret(
    server: AsteriskSettings, where: str, environ: Mapping[str, str], wrong: Callable[[str, str], None]
) -> AsteriskSettings:
    """`server` with its secret, wherever that is kept."""
    given = [key for key in ("secret", "secret_env", "secret_file") if getattr(server, key)]
    if len(given) != 1:
        wrong(where, "needs exactly one of secret, secret_env and secret_file")
    elif given == ["secret_env"]:
        if server.secret_env not in environ:
            wrong(f"{where}.secret_env", f"the environment has no {server.secret_env}")
        return msgspec.structs.replace(server, secret=environ.get(server.secret_env, ""))
    elif given == ["secret_file"]:
        try:
            secret = Path(server.secret_file).read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            wrong(f"{where}.secret_file", str(error))
        else:
            return msgspec.structs.replace(server, secret=secret)
    return server
