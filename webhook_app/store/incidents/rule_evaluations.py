"""The last evaluation of every rule: one row each, for those who want to see that it runs and how near it is."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.schema import rule_evaluations


class RuleLook(Struct, frozen=True, kw_only=True):
    """`closeness`: how near the nearest group is to firing, 1 when it is above the threshold."""

    rule: str
    kind: str
    evaluated_at: datetime
    groups: int
    closeness: float
    nearest: dict[str, str | int]
    seen: str


_COLUMNS = [rule_evaluations.c[name] for name in RuleLook.__struct_fields__]


def save(connection: Connection, looks: Sequence[RuleLook], now: datetime) -> None:
    """Replace those from before `now`; rules that are no longer looked at are forgotten."""
    if looks:
        rows = [asdict(look) for look in sorted(looks, key=lambda look: look.rule)]
        wanted = insert(rule_evaluations)
        values = {name: wanted.excluded[name] for name in RuleLook.__struct_fields__ if name != "rule"}
        connection.execute(
            wanted.on_conflict_do_update(
                index_elements=["rule"],
                set_=values,
                where=rule_evaluations.c.evaluated_at < wanted.excluded.evaluated_at,
            ),
            rows,
        )
    names = [look.rule for look in looks]
    connection.execute(
        delete(rule_evaluations).where(
            rule_evaluations.c.rule.not_in(names), rule_evaluations.c.evaluated_at < now
        )
    )


def all_looks(connection: Connection) -> dict[str, RuleLook]:
    """By rule."""
    rows = connection.execute(select(*_COLUMNS)).mappings()
    return {row["rule"]: RuleLook(**row) for row in rows}
