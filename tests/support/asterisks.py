"""The versions of Asterisk that every proof is made on, and how a configuration names such a server."""

import json
from collections.abc import Callable, Mapping, Sequence

import pytest

from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.testing.installation import Installation, asterisk_22, own_installation

VERSIONS: Mapping[str, Callable[[], Installation]] = {"16": own_installation, "22": asterisk_22}

on_one_version = pytest.mark.parametrize("version", ["16"], indirect=True)
"""For what is about Plantel alone: one Asterisk is then as good as two."""


def server_table(
    asterisk: PrivateAsterisk,
    *,
    name: str = "pbx1",
    user: AmiUser | None = None,
    port: int = 0,
    campaigns: Sequence[str] = (),
) -> str:
    """The `[[asterisk]]` of this server. `user`: without it the documented one; `port`: of a proxy before it."""
    user = user or asterisk.user
    keys: dict[str, object] = {
        "name": name,
        "host": asterisk.host,
        "port": port or asterisk.ami_port,
        "username": user.name,
        "secret": user.secret,
    }
    if campaigns:
        keys["campaigns"] = campaigns
    return "\n".join(["[[asterisk]]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""])
