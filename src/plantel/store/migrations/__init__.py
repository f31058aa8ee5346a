"""From the schema of an earlier release to the present one. Imports Alembic, so import it only where that is needed.

A migration is one transaction, and one that was cut off has not happened; but MariaDB commits each step of it. There
the next start does it again from the beginning: so each step has to be one that can be repeated (`if_not_exists=True`,
`if_exists=True`, an UPDATE that finds nothing more to do). Nobody writes meanwhile (`Database.announce_migration`);
steps are statements, as nodes that wait end who is silent in a transaction.
"""

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
