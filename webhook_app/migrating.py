"""Bringing a database to the newest schema, with the coming partitions. The steps are in migrations/."""

from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from webhook_app.store.engine import make_engine
from webhook_app.store.partitions import ensure

_INI = Path(__file__).parent.parent / "alembic.ini"


def migrate_database(url: str) -> None:
    """Upgrade to the newest revision and create missing partitions. Safe to run twice, and at once."""
    config = Config(str(_INI))
    config.attributes["url"] = url
    command.upgrade(config, "head")
    engine = make_engine(url, application="webhook_app migrate", pool_size=0)
    with engine.begin() as connection:
        ensure(connection, datetime.now(UTC))
    engine.dispose()


def pending_revision(connection: Connection) -> str | None:
    """The newest revision, if the database is not at it; None when it is."""
    newest = ScriptDirectory.from_config(Config(str(_INI))).get_current_head()
    return None if MigrationContext.configure(connection).get_current_revision() == newest else newest
