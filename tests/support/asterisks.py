"""The versions of Asterisk that every proof is made on, and how a configuration names such a server."""

import json
import time
from collections.abc import Callable, Mapping, Sequence

import pytest

from plantel.testing.asterisk import AmiUser, PrivateAsterisk
from plantel.testing.installation import Installation, asterisk_22, own_installation

VERSIONS: Mapping[str, Callable[[], Installation]] = {"16": own_installation, "22": asterisk_22}

on_one_version = pytest.mark.parametrize("version", ["16"], indirect=True)
"""For what is about Plantel alone: one Asterisk is then as good as two."""

SHOWN = 20.0
"""Seconds after which what a queue does not show is taken for lost."""


def until_shown(asterisk: PrivateAsterisk, queue: str, said: str) -> None:
    """Return once Asterisk says so of the queue: asked again and again, since its command line announces nothing."""
    due = time.monotonic() + SHOWN
    while said not in (shown := asterisk.cli(f'queue show "{queue}"')):
        assert time.monotonic() < due, f"after {SHOWN} s not {said!r}:\n{shown}"


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
