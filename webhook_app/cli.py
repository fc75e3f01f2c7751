"""`webhook-app`: starts the parts and runs the tools. Reads settings, prints; rules and SQL live below."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from webhook_app.settings import SettingsError, read_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Receives WhatsApp webhooks, alerts on failures, keeps the list of contacts not to write to."""


@main.command()
def migrate() -> None:
    """Bring the database's schema up to date and create the coming partitions."""
    url = os.environ.get("DATABASE_URL", "")
    if not url:
        sys.exit("DATABASE_URL: is required")
    migrate_database(url)


def migrate_database(url: str) -> None:
    from alembic import command  # noqa: PLC0415  slow to import, needed by few commands
    from alembic.config import Config  # noqa: PLC0415

    from webhook_app.store.engine import make_engine  # noqa: PLC0415
    from webhook_app.store.partitions import ensure  # noqa: PLC0415

    config = Config(str(Path(__file__).parent.parent / "alembic.ini"))
    config.attributes["url"] = url
    command.upgrade(config, "head")
    engine = make_engine(url, application="webhook_app migrate", pool_size=0)
    with engine.begin() as connection:
        ensure(connection, datetime.now(UTC))


if __name__ == "__main__":
    main()
