"""How a private Asterisk reads queue members from a database: the modules, files and environment of each driver."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

_EXTCONFIG = "[settings]\nqueue_members => {driver},{name},{view}\n"


class DriverMissing(Exception):
    """The driver is not on this machine."""


class Realtime(msgspec.Struct, frozen=True):
    """What `PrivateAsterisk` needs for it.

    modules        to load before all others, in this order
    files          of its configuration directory, by name
    environment    of its process, with `{etc}` for that directory
    """

    modules: tuple[str, ...]
    files: Mapping[str, str]
    environment: Mapping[str, str] = {}


def pgsql(host: str, port: int, database: str, user: str, password: str, view: str = "queue_members") -> Realtime:
    """Over `res_config_pgsql`."""
    settings = {"dbhost": host, "dbport": port, "dbname": database, "dbuser": user, "dbpass": password}
    lines = [f"{key} = {value}\n" for key, value in settings.items()]
    return Realtime(
        ("res_config_pgsql",),
        {
            "extconfig.conf": _EXTCONFIG.format(driver="pgsql", name="general", view=view),
            "res_pgsql.conf": f"[general]\n{''.join(lines)}requirements = warn\n",
        },
    )


def odbc(host: str, port: int, database: str, user: str, password: str, view: str = "queue_members") -> Realtime:
    """Over `res_config_odbc`, with Debian's driver for MariaDB (`odbc-mariadb`). Raises DriverMissing."""
    driver = next(Path("/usr/lib").glob("*/odbc/libmaodbc.so"), None)
    if driver is None:
        raise DriverMissing("there is no libmaodbc.so on this machine: scripts/debian-packages test installs it")
    settings = {
        "Driver": driver,
        "SERVER": host,
        "PORT": port,
        "DATABASE": database,
        "USER": user,
        "PASSWORD": password,
        "CHARSET": "utf8mb4",
        "INITSTMT": "SET innodb_lock_wait_timeout = 2",
    }
    lines = [f"{key} = {value}\n" for key, value in settings.items()]
    return Realtime(
        ("res_odbc_transaction", "res_odbc", "res_config_odbc"),
        {
            "extconfig.conf": _EXTCONFIG.format(driver="odbc", name="plantel", view=view),
            "res_odbc.conf": "[plantel]\nenabled = yes\ndsn = plantel\npre-connect = yes\n",
            "odbc.ini": f"[plantel]\n{''.join(lines)}",
            "odbcinst.ini": "",
        },
        {"ODBCINI": "{etc}/odbc.ini", "ODBCSYSINI": "{etc}"},
    )
