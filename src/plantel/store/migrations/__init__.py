"""From the schema of an earlier release to the present one. Imports Alembic, so import it only where that is needed."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

_HERE = Path(__file__).parent


def upgrade(connection: Connection) -> None:
    """Bring the store at `connection` to the newest version, within the transaction that the caller has begun there.

    It has to be one that SQLAlchemy knows of (`connection.begin()`): Alembic would end any other.
    """
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    command.upgrade(config, "head")
