"""The last evaluation of each rule: one row per rule, with the group closest to its threshold."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from webhook_app.rules.wrong_clocks import TOLERATED
from webhook_app.store.postgres.engine import Connection


class RuleEvaluation(Struct, frozen=True, kw_only=True):
    """The last evaluation of a rule. `closeness`: that of its closest group; 1 means above the threshold."""

    rule: str
    kind: str
    evaluated_at: datetime
    groups: int
    closeness: float
    nearest: dict[str, str | int]
    seen: str


_NAMES = RuleEvaluation.__struct_fields__
_SAVE = text(
    f"INSERT INTO rule_evaluations AS r ({', '.join(_NAMES)}) VALUES ({', '.join(f':{name}' for name in _NAMES)})"
    f" ON CONFLICT (rule) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _NAMES if name != 'rule')}"
    " WHERE r.evaluated_at < excluded.evaluated_at"
    f" OR r.evaluated_at > excluded.evaluated_at + interval '{TOLERATED.total_seconds():.0f} seconds'"
).bindparams(bindparam("nearest", type_=JSONB))
_DELETE = text("DELETE FROM rule_evaluations WHERE rule <> ALL(:names) AND evaluated_at < :now")
_ALL = text(f"SELECT {', '.join(_NAMES)} FROM rule_evaluations")


def save(connection: Connection, evaluations: Sequence[RuleEvaluation], now: datetime) -> None:
    """Replace older evaluations of these rules; those of rules that are not among them are deleted."""
    if evaluations:
        connection.execute(_SAVE, [asdict(each) for each in sorted(evaluations, key=lambda each: each.rule)])
    connection.execute(_DELETE, {"names": [each.rule for each in evaluations], "now": now})


def all_evaluations(connection: Connection) -> dict[str, RuleEvaluation]:
    """The last evaluations by rule."""
    return {row["rule"]: RuleEvaluation(**row) for row in connection.execute(_ALL).mappings()}
