"""What must be true of the database before traffic is sent here. Each answer says what is wrong, '' if nothing is."""

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.partitions import partitions
from webhook_app.store.schema import PARTITIONED

_MIGRATIONS = Path(__file__).parents[3] / "migrations"
_CAN_WRITE = text(
    "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"
    " AND has_table_privilege('status_events', 'INSERT')"
)


def migrations_fault(connection: Connection) -> str:
    """A schema behind this code is a fault; one ahead is not: yesterday's code runs on today's schema."""
    if connection.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
        return "the database has not been migrated"
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    revisions = known_revisions()
    if found is None or found in revisions[1:]:
        return f"the schema is at {found}, this code needs {revisions[0]}"
    return ""


@cache
def known_revisions() -> tuple[str, ...]:
    """Every migration this code came with, the newest first."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415  slow to import, needed once

    return tuple(script.revision for script in ScriptDirectory(str(_MIGRATIONS)).walk_revisions())


def partitions_fault(connection: Connection, now: datetime) -> str:
    """Tomorrow's rows need a partition to go to."""
    tomorrow = (now + timedelta(days=1)).date()
    missing = []
    for table, step in PARTITIONED.items():
        wanted = tomorrow if step == "day" else tomorrow.replace(day=1)
        if wanted not in {start for _, start in partitions(connection, table)}:
            missing.append(table)
    return f"no partition for {tomorrow} of {', '.join(missing)}" if missing else ""


def ingest_fault(connection: Connection) -> str:
    """Whether webhooks can be stored: not on a standby, and not without the right to write."""
    writable = connection.execute(_CAN_WRITE).scalar_one()
    return "" if writable else "the database does not take writes"
