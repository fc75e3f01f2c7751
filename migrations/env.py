"""Runs migrations under an advisory lock, so that two releases cannot migrate at once, with short lock timeouts.

A migration that does not get a table's lock within four seconds fails instead of blocking writers; run it again.
"""

import time

from alembic import context
from sqlalchemy import Connection, text

from webhook_app.settings import read_database_url
from webhook_app.store.postgres.engine import make_engine
from webhook_app.store.postgres.locks import MIGRATION_LOCK
from webhook_app.store.schema import metadata

_POLL_SECONDS = 0.2


def _migrate(connection: Connection) -> None:
    _wait_for_lock(connection)
    connection.execute(text("SET statement_timeout = '15min'"))
    connection.execute(text("SET lock_timeout = '4s'"))
    connection.execute(
        text("SET idle_session_timeout = '5min'")
    )  # a frozen run must not keep the migration lock
    connection.execute(text("SET idle_in_transaction_session_timeout = '5min'"))
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


def _wait_for_lock(connection: Connection) -> None:
    """Take the migration lock, with no transaction open between attempts.

    A session that waits inside pg_advisory_lock keeps its transaction open. The holder's CREATE INDEX CONCURRENTLY
    waits for that transaction, and Postgres ends one of the two as a deadlock.
    """
    while True:
        taken = connection.execute(
            text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}
        ).scalar_one()
        connection.commit()
        if taken:
            return
        time.sleep(_POLL_SECONDS)


def _ours(thing: object, name: str | None, kind: str, reflected: bool, compare_to: object) -> bool:  # noqa: ARG001  Alembic's signature
    """Partitions come and go with time: only their parents are part of the model."""
    return not (kind == "table" and reflected and name not in metadata.tables)


given = context.config.attributes.get("connection")
if given is not None:
    _migrate(given)
else:
    url = context.config.attributes.get("url") or read_database_url()
    engine = make_engine(url, application="webhook_app migrate", statement_seconds=900, pool_size=0)
    with engine.connect() as opened:
        _migrate(opened)
