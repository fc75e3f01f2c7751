"""The checks of doctor: the result of the latest reading of the Graph API, and since when each has its status."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.accounts.doctor_check import ORDER, DoctorCheck, Status
from webhook_app.store.postgres.engine import Connection

_OF_A_CHECK = tuple(name for name in DoctorCheck.__struct_fields__ if name != "is_unread")
_COLUMNS = (*_OF_A_CHECK, "since", "checked_at")
_VALUES = ", ".join(f":{name}" for name in _COLUMNS)
_SAVE = text(f"""
INSERT INTO doctor_checks AS c ({", ".join(_COLUMNS)}) VALUES ({_VALUES})
ON CONFLICT (kind, subject, subject_id) DO UPDATE SET
  since = CASE WHEN c.status = excluded.status THEN c.since ELSE excluded.since END,
  {", ".join(f"{name} = excluded.{name}" for name in (*_OF_A_CHECK[3:], "checked_at"))}
""")
_FORGET = text("""
DELETE FROM doctor_checks
WHERE checked_at < :now AND account <> ALL(:unread) AND (subject <> 'app' OR NOT :app_is_unread)
   OR checked_at < :long_ago
""")
_KEPT_FOR = timedelta(days=2)
_LIST = text("SELECT * FROM doctor_checks")
_COUNT = text("SELECT status, count(*) FROM doctor_checks GROUP BY status")


class StoredCheck(Struct, frozen=True, kw_only=True):
    """A check of the latest reading. `since`: when it got its status."""

    kind: str
    subject: str
    subject_id: str
    name: str
    status: Status
    message: str
    fix: str
    code: int
    account: str
    since: datetime
    checked_at: datetime


def save(connection: Connection, checks: Sequence[DoctorCheck], now: datetime) -> None:
    """Replace the checks. Those that this reading could not repeat are kept as they were, for two days."""
    rows = [
        {name: getattr(check, name) for name in _OF_A_CHECK} | {"since": now, "checked_at": now}
        for check in checks
    ]
    if rows:
        connection.execute(_SAVE, rows)
    if any(check.kind == "token" and check.status in ("ok", "warning") for check in checks):
        unread = {check.account for check in checks if check.is_unread and check.account}
        app_is_unread = any(check.is_unread and check.subject == "app" for check in checks)
        values = {
            "now": now,
            "long_ago": now - _KEPT_FOR,
            "unread": [*unread],
            "app_is_unread": app_is_unread,
        }
        connection.execute(_FORGET, values)


def list_checks(connection: Connection) -> list[StoredCheck]:
    """The checks, the worst first."""
    found = [StoredCheck(**row) for row in connection.execute(_LIST).mappings()]
    return sorted(
        found,
        key=lambda each: (-ORDER.index(each.status), each.subject, each.name, each.subject_id, each.kind),
    )


def count_by_status(connection: Connection) -> dict[str, int]:
    """The number of checks with each status."""
    return {row[0]: row[1] for row in connection.execute(_COUNT)}
