"""Findings as rows: states that last, one open row for each kind and key. Decides nothing."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.rules.incidents.findings.finding import FoundState
from webhook_app.rules.incidents.findings.recurring import Occasion
from webhook_app.store.postgres.engine import Connection


class Finding(Struct, frozen=True, kw_only=True):
    """One finding. `impact` and `evidence` depend on its kind; `seen_at`: when the state was observed last."""

    id: int
    kind: str
    key: str
    state: str
    title: str
    severity: str
    waba_id: str
    codes: list[int]
    slice: dict[str, list[str]] | None
    impact: dict[str, Any]
    evidence: dict[str, Any]
    advice: str
    since: datetime
    found_at: datetime
    seen_at: datetime
    notified_at: datetime | None
    fixed_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.state == "open"

    @property
    def is_reported(self) -> bool:
        """Whether only reports of senders show it."""
        return bool(self.evidence.get("is_reported"))


_JSON = [bindparam(name, type_=JSONB(none_as_null=True)) for name in ("slice", "impact", "evidence")]
_COLUMNS = ", ".join(Finding.__struct_fields__)
_FOUND = FoundState.__struct_fields__

# A finding keeps its title, but a template's says its quality. The time of an observation never goes back.
_ADD = text(f"""
INSERT INTO findings (state, found_at, seen_at, {", ".join(_FOUND)})
VALUES ('open', :now, :seen_at, {", ".join(f":{name}" for name in _FOUND)})
ON CONFLICT (kind, key) WHERE state = 'open' DO UPDATE SET
  title = CASE findings.kind WHEN 'template_quality' THEN excluded.title ELSE findings.title END,
  severity = excluded.severity, codes = excluded.codes, slice = excluded.slice,
  impact = findings.impact || excluded.impact, evidence = excluded.evidence, advice = excluded.advice,
  seen_at = greatest(findings.seen_at, excluded.seen_at)
RETURNING id, xmax = 0 AS is_new
""").bindparams(*_JSON)
_UPDATE = text("""
UPDATE findings SET seen_at = greatest(seen_at, :seen_at), impact = impact || :impact WHERE id = :id AND state = 'open'
""").bindparams(bindparam("impact", type_=JSONB))
_FIX = text("UPDATE findings SET state = 'fixed', fixed_at = :now WHERE id = ANY(:ids) AND state = 'open'")
_MARK_NOTIFIED = text("UPDATE findings SET notified_at = :now WHERE id = ANY(:ids)")
_OPEN = text(f"SELECT {_COLUMNS} FROM findings WHERE state = 'open' ORDER BY id")
_FIXED = text(f"SELECT {_COLUMNS} FROM findings WHERE fixed_at >= :since ORDER BY fixed_at, id")
_GET = text(f"SELECT {_COLUMNS} FROM findings WHERE id = :id")
_LIST = f"SELECT {_COLUMNS} FROM findings WHERE true {{chosen}} ORDER BY id DESC LIMIT :limit"
_COUNT = text("SELECT kind, count(*) AS found FROM findings WHERE state = 'open' GROUP BY kind")
_OCCASIONS = text("""
SELECT i.id AS incident_id, a.fired_at AS at, i.codes, i.names,
       i.total_failures / (i.again + 1) AS failures,
       coalesce(a.webhook_codes = '{}', false) AS is_reported
FROM alerts a JOIN incidents i ON i.id = a.incident_id
WHERE a.started_at >= :since AND a.fired_at IS NOT NULL AND i.codes <> '{}' AND NOT i.account_wide
ORDER BY a.fired_at
""")


def add(connection: Connection, found: FoundState, seen_at: datetime, now: datetime) -> tuple[int, bool]:
    """Store a state observed at `seen_at`, or update its open finding; returns the id and whether it is new."""
    values = asdict(found) | {"codes": list(found.codes), "seen_at": seen_at, "now": now}
    row = connection.execute(_ADD, values).one()
    return row.id, row.is_new


def update(connection: Connection, finding_id: int, seen_at: datetime, impact: dict[str, Any]) -> None:
    """Record that the state was observed again, with its current figures."""
    connection.execute(_UPDATE, {"id": finding_id, "seen_at": seen_at, "impact": impact})


def fix(connection: Connection, ids: Collection[int], now: datetime) -> None:
    """Mark findings as fixed."""
    connection.execute(_FIX, {"ids": list(ids), "now": now})


def mark_notified(connection: Connection, ids: Collection[int], now: datetime) -> None:
    """Record that the findings were announced."""
    connection.execute(_MARK_NOTIFIED, {"ids": list(ids), "now": now})


def open_findings(connection: Connection) -> list[Finding]:
    """Every open finding, oldest first."""
    return _read(connection, _OPEN, {})


def fixed_since(connection: Connection, since: datetime) -> list[Finding]:
    """The findings that were fixed at `since` or later."""
    return _read(connection, _FIXED, {"since": since})


def get(connection: Connection, finding_id: int) -> Finding | None:
    """The finding with this id."""
    return next(iter(_read(connection, _GET, {"id": finding_id})), None)


def list_findings(
    connection: Connection,
    limit: int,
    *,
    state: str | None = None,
    kind: str | None = None,
    before_id: int | None = None,
) -> list[Finding]:
    """The newest findings first, those with an id below `before_id`."""
    given = {"state": state, "kind": kind, "before_id": before_id}
    conditions = {"state": "state = :state", "kind": "kind = :kind", "before_id": "id < :before_id"}
    values = {name: value for name, value in given.items() if value is not None}
    chosen = "".join(f" AND {conditions[name]}" for name in values)
    return _read(connection, text(_LIST.format(chosen=chosen)), values | {"limit": limit})


def count_open(connection: Connection) -> dict[str, int]:
    """Open findings by kind."""
    return {row.kind: row.found for row in connection.execute(_COUNT)}


def occasions(connection: Connection, since: datetime) -> list[Occasion]:
    """When incidents with error codes opened, or opened again, since then; once for each alert."""
    return [Occasion(**row) for row in connection.execute(_OCCASIONS, {"since": since}).mappings()]


def _read(connection: Connection, statement: Any, values: dict[str, Any]) -> list[Finding]:
    return [Finding(**row) for row in connection.execute(statement, values).mappings()]
