"""Runs migrations under an advisory lock, so that two releases cannot migrate at once, with short lock waits.

A migration that cannot get its lock within four seconds fails rather than queue writers behind it; run it again.
"""

import os

from alembic import context
from sqlalchemy import Connection, text

from webhook_app.store.engine import MIGRATION_LOCK, make_engine
from webhook_app.store.schema import metadata


def _migrate(connection: Connection) -> None:
    connection.execute(text("SET statement_timeout = '15min'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    connection.execute(text("SET lock_timeout = '4s'"))
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            transaction_per_migration=True,
            include_object=_ours,
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()


def _ours(thing: object, name: str | None, kind: str, reflected: bool, compare_to: object) -> bool:  # noqa: ARG001  Alembic's signature
    """Partitions come and go with time: only their parents are part of the model."""
    return not (kind == "table" and reflected and name not in metadata.tables)


given = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    url = context.config.attributes.get("url") or os.environ["DATABASE_URL"]
    engine = make_engine(url, application="webhook_app migrate", statement_seconds=900, pool_size=0)
    with engine.connect() as opened:
        _migrate(opened)
