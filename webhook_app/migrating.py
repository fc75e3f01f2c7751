"""Upgrades a database to the newest schema and creates the coming partitions. The steps are in migrations/."""

from datetime import UTC, datetime

from alembic import command
from alembic.config import Config

from webhook_app.store.operations.readiness import MIGRATIONS, known_revisions, schema_revision
from webhook_app.store.postgres.engine import connect, make_engine
from webhook_app.store.postgres.partitions import ensure
from webhook_app.store.postgres.sessions import sessions_fault


class MigrationError(Exception):
    """The database cannot be migrated over this connection; the message says why."""


def migrate_database(url: str) -> None:
    """Upgrade to the newest revision and create missing partitions. Safe to run twice, and at the same time.

    Leaves a schema alone that is newer than this code, which can run on it. Raises MigrationError behind a pooler that
    shares sessions: two runs would hold the migration lock together.
    """
    name = "webhook_app migrate"
    with connect(url, application=name) as one, connect(url, application=name) as other:
        if fault := sessions_fault(one, other):
            raise MigrationError(f"Not migrated: {fault}.")
    engine = make_engine(url, application=name, pool_size=0)
    with engine.connect() as connection:
        revision = schema_revision(connection)
    if revision is None or revision in known_revisions():
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["url"] = url
        command.upgrade(config, "head")
    with engine.begin() as connection:
        ensure(connection, datetime.now(UTC))
    engine.dispose()
