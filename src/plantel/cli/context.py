"""What every command needs: the settings, and a roster opened on them."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from plantel import config, errors, logs

if TYPE_CHECKING:
    from plantel.http.instance import Instance
    from plantel.wiring import Plantel

config_path: Path | None = None
"""The file named by --config, set once before the command runs."""


def settings() -> config.Settings:
    """The settings. Raises ConfigError."""
    return config.load(config_path)


def settings_file() -> Path | None:
    """Where they come from; None: no file. Raises ConfigError."""
    return config.source(config_path)


@contextlib.asynccontextmanager
async def roster(instance: str) -> "AsyncIterator[tuple[Plantel, Instance]]":
    """The store opened, and one of its instances ("": the first configured). Raises NoSuchThing, StoreError."""
    from plantel.wiring import assembled  # noqa: PLC0415  # 0.3 s that --help and wrong usage need not wait

    loaded = settings()
    logs.configure("critical", "text")  # whatever is found is shown, so it need not be logged too
    async with assembled(loaded) as plantel:
        name = instance or loaded.instance[0].name
        if name not in plantel.instances:
            raise errors.NoSuchThing(name=name)
        yield plantel, plantel.instances[name]
