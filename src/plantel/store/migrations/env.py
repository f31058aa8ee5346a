"""Run by Alembic for each command; `upgrade` has put the connection into the configuration."""

from alembic import context

from plantel.store import schema

context.configure(connection=context.config.attributes["connection"], target_metadata=schema.metadata)
context.run_migrations()
