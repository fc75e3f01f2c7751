"""Bringing a database to the newest schema, with the coming partitions. The steps are in migrations/."""

from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config

from webhook_app.store.postgres.engine import make_engine
from webhook_app.store.postgres.partitions import ensure

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
