"""A Plantel of the next release, whose schema is one step further: opens a store, and so migrates it.

    python newer_release.py URL

It says `migrating` when it begins, `half` in the midst of it, and goes on once it has read a line; at the end `open`,
or the code of the error.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from plantel import errors
from plantel.store import migrations, open_store, schema

VERSION = "0002"

_STEP = f"""
import sys

import sqlalchemy as sa
from alembic import op

revision = "{VERSION}"
down_revision = "{schema.VERSION}"


def upgrade():
    repeatable = op.get_bind().dialect.name == "mariadb"
    print("migrating", flush=True)
    op.add_column("campaigns", sa.Column("note", sa.String(20)), if_not_exists=repeatable or None)
    print("half", flush=True)
    sys.stdin.readline()
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True), if_not_exists=repeatable or None)
    op.execute("UPDATE campaigns SET note = name WHERE note IS NULL")
    op.create_index("campaigns_note", "campaigns", ["note"], unique=True, if_not_exists=repeatable or None)
"""


def main(url: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scripts = Path(folder) / "migrations"
        shutil.copytree(migrations._HERE, scripts)
        (scripts / "versions" / f"v{VERSION}.py").write_text(_STEP)
        migrations._HERE = scripts
        schema.VERSION = VERSION
        try:
            asyncio.run(open_store(url).close())
        except errors.StoreError as error:
            sys.exit(sys.stdout.write(f"{error.code}\n"))
    sys.stdout.write("open\n")


if __name__ == "__main__":
    main(sys.argv[1])
