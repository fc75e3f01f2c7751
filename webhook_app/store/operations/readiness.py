"""Readiness of the database for traffic. Each check returns what is wrong, or an empty text."""

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from sqlalchemy import text

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.partitions import partitions
from webhook_app.store.schema import PARTITIONED

_PACKAGE = Path(__file__).parents[2]
MIGRATIONS = next(path for path in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations") if path.is_dir())
"""Inside the package when it is installed; beside it in the repository."""
_VERSION_TABLE = text("SELECT to_regclass('alembic_version')")
_VERSION = text("SELECT version_num FROM alembic_version")
_CAN_WRITE = text(
    "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'"
    " AND has_table_privilege('status_events', 'INSERT')"
)


def migrations_fault(connection: Connection) -> str:
    """Check that the schema is not older than this code. A newer one is fine: old code runs on a new schema."""
    found, revisions = schema_revision(connection), known_revisions()
    if found is None:
        return "the database has not been migrated"
    return f"the schema is at {found}, this code needs {revisions[0]}" if found in revisions[1:] else ""


def schema_revision(connection: Connection) -> str | None:
    """The newest migration the database has; None before the first."""
    if connection.execute(_VERSION_TABLE).scalar_one() is None:
        return None
    found: str | None = connection.execute(_VERSION).scalar_one_or_none()
    return found


@cache
def known_revisions() -> tuple[str, ...]:
    """The migrations that this code contains, newest first."""
    from alembic.script import ScriptDirectory  # noqa: PLC0415  slow to import, needed once

    return tuple(script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions())


def partitions_fault(connection: Connection, now: datetime) -> str:
    """Check that there are partitions for tomorrow's rows."""
    tomorrow = (now + timedelta(days=1)).date()
    missing = []
    for table, step in PARTITIONED.items():
        wanted = tomorrow if step == "day" else tomorrow.replace(day=1)
        if wanted not in {start for _, start in partitions(connection, table)}:
            missing.append(table)
    return f"no partition for {tomorrow} of {', '.join(missing)}" if missing else ""


def ingest_fault(connection: Connection) -> str:
    """Check that webhooks can be stored, which a standby and a role without the right to write cannot do."""
    writable = connection.execute(_CAN_WRITE).scalar_one()
    return "" if writable else "the database does not take writes"
