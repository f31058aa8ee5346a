"""Whole nodes on one database and one Asterisk, under constant adds, while one thing after another goes wrong.

Each test states its time. Afterwards nothing answered with `1` is lost, the server shows the roster, no node ever acted
on a look older than what another had done since, and no older intent followed a newer one.
"""

from pathlib import Path

import pytest

from tests.support.nodes.ward import ward

pytestmark = pytest.mark.anyio

LIVE = '[delivery]\nconfirm = "live"\ndeadline = "5s"\n'


async def test_two_nodes_at_rest_and_at_work(store_url: str, tmp_path: Path) -> None:
    async with ward(tmp_path, [store_url, store_url], clients=4) as site:
        await site.clients.more(200)
        took = await site.agreement(store_url)
        print(f"agreement {took:.3f} s after the last of {len(site.record)} actions")  # noqa: T201 - the figure
        await site.check(store_url)
