"""Reads the message templates of all accounts from the Graph API, and stores what changed since the last reading."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from webhook_app.graph.client import GraphClient
from webhook_app.rules.accounts.doctor_check import TemplateGroup
from webhook_app.rules.accounts.template_changes import Key, changes_of, reports_of, with_deleted
from webhook_app.store.accounts import templates
from webhook_app.store.accounts.templates import TemplateReading
from webhook_app.store.postgres.engine import Engine
from webhook_app.whatsapp.accounts import template_answers
from webhook_app.whatsapp.accounts.graph_answers import GraphReadError

_LARGE = 1_000
_LARGE_EVERY = timedelta(hours=6)
"""Between readings of an account with more than _LARGE templates: each takes dozens of calls."""
_STOP_AT_PERCENT = 75
"""Of the calls that Meta allows: the rest is for tokens, accounts and numbers."""


def read_templates(
    engine: Engine, client: GraphClient, waba_ids: Iterable[str], now: datetime
) -> dict[str, list[TemplateGroup] | GraphReadError]:
    """Read the accounts that are due, those read longest ago first; returns every account's templates by status."""
    with engine.connect() as connection:
        readings = templates.readings(connection)
    found: dict[str, list[TemplateGroup] | GraphReadError] = {}
    for waba_id in sorted(waba_ids, key=lambda each: _read_at(readings.get(each))):
        before = readings.get(waba_id)
        fault = None
        if _is_due(before, now) and client.used_percent < _STOP_AT_PERCENT:
            fault = _read_account(engine, client, waba_id, now, is_first=before is None)
        with engine.connect() as connection:
            found[waba_id] = fault or templates.groups(connection, waba_id)
    return found


def _read_account(
    engine: Engine, client: GraphClient, waba_id: str, now: datetime, *, is_first: bool
) -> GraphReadError | None:
    try:
        rows = client.read_edge(
            f"{waba_id}/message_templates",
            lambda row: template_answers.read_template(row if isinstance(row, dict) else {}, waba_id),
            template_answers.FIELDS,
            template_answers.OPTIONAL_FIELDS,
        )
    except GraphReadError as fault:
        return fault
    listed = {(each.name, each.language): each for each in rows if each.name}
    with engine.begin() as connection:
        known = templates.known(connection, waba_id)
        reported = templates.reported(connection, waba_id)
        present = with_deleted(known, listed)
        changed = {key: each for key, each in present.items() if known.get(key) != each}
        changes = [change for key, each in changed.items() for change in changes_of(known.get(key), each)]
        reports = [
            report
            for key, each in present.items()
            for report in reports_of(
                known.get(key),
                each,
                reported.get(each.template_id) or reported.get(_named(key)) or {},
                now,
                is_first=is_first,
            )
        ]
        templates.save(connection, waba_id, changed.values(), [] if is_first else changes, reports, now)
        templates.save_reading(connection, waba_id, len(listed), now)
    return None


def _named(key: Key) -> str:
    """The id of a template of which a webhook gave none."""
    return "/".join(key)


def _read_at(reading: TemplateReading | None) -> float:
    return reading.read_at.timestamp() if reading else 0.0


def _is_due(reading: TemplateReading | None, now: datetime) -> bool:
    return reading is None or reading.templates <= _LARGE or now - reading.read_at >= _LARGE_EVERY
