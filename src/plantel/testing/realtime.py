"""How a private Asterisk reads queue members from a database: the modules, files and environment of each driver."""

from collections.abc import Mapping

import msgspec

_EXTCONFIG = "[settings]\nqueue_members => {driver},{name},{view}\n"


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
