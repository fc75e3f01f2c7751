"""Suppressions for tests, as a rule or a person would have stored them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from webhook_app.store.suppressions import suppressions
from webhook_app.store.suppressions.changes import ENDED, SuppressionChange
from webhook_app.store.suppressions.suppressions import Suppression


def store_suppression(engine: Engine, now: datetime, **row: Any) -> None:
    """Store one suppression with these fields."""
    with engine.begin() as connection:
        suppressions.apply(connection, [Suppression(**({"since": now, "actor": "test"} | row))], [], now)


def replayed(changes: Iterable[SuppressionChange]) -> dict[Any, SuppressionChange]:
    """What a reader of the feed has after these changes."""
    rows = {}
    for change in changes:
        if change.action in ENDED:
            del rows[change.key]
        else:
            rows[change.key] = change
    return rows
