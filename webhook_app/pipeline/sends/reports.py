"""What senders report, stored, counted with the webhooks, and looked after until webhooks tell of it.

register: the reports are committed first; then what webhooks have told of the same messages is completed by them.
look_after: what was stored at the same moment as a webhook, so that neither saw the other, is completed a minute
later; and sends of which nothing is heard stay in view for as long as Meta may still tell of them.
"""

import os
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.pipeline.sends import merge
from webhook_app.pipeline.sends.merge import FailedCall
from webhook_app.store.postgres.engine import Connection, Engine, driver
from webhook_app.store.sends import reports as sends
from webhook_app.store.sends.reports import Key, KnownSend
from webhook_app.whatsapp.sends.send_reports import SendReport

CHECK_DELAYS = (
    timedelta(minutes=1),  # longer than any ingest transaction that did not see the report can last
    timedelta(minutes=5),
    sends.UNREPORTED_AFTER,
    timedelta(hours=2),
    timedelta(hours=12),
    timedelta(days=1),
    timedelta(days=3),
    timedelta(days=8),  # Meta gives up after seven
)
_BATCH = 1_000
_BATCHES = 50

# Count rows of our own: an ingest writer never waits for a report.
_FIRST_SLOT, _SLOTS = 64, 64


class FollowedUp(Struct):
    """How many reports one run looked after, and of how many webhooks had told."""

    looked: int = 0
    heard: int = 0


def register(connection: Connection, reports: Sequence[SendReport], now: datetime) -> list[bool]:
    """Store and count them; for each whether it is new. What is known already only fills in what was left out.

    The connection must be in autocommit mode: the transactions are begun and ended here.
    """
    first: dict[Key, SendReport] = {}
    again = [report for report in reports if first.setdefault(_key(report), report) is not report]
    raw = driver(connection)
    with raw.transaction():
        stored = sends.insert(connection, list(first.values()), now + CHECK_DELAYS[0], now)
        for report in again:  # it may say more, or name an earlier time
            at, _ = sends.insert(connection, [report], now + CHECK_DELAYS[0], now)[_key(report)]
            stored[_key(report)] = at, stored[_key(report)][1]
        made_up = [
            FailedCall(r.message_id, r.phone_number_id, stored[key][0], r.error, _told(r))
            for key, r in first.items()
            if r.has_generated_id and r.error is not None
        ]
        merge.store_failed_calls(raw, made_up, now=now, slot=_slot())
    by_meta = {report.message_id for report in reports if not report.has_generated_id}
    merge.merge_reports(raw, by_meta, now=now, slot=_slot())
    return [first[key := _key(report)] is report and stored[key][1] for report in reports]


def follow_up(engine: Engine, now: datetime) -> FollowedUp:
    """Complete what the reports that are due belong to; see the module."""
    done = FollowedUp()
    alone = engine.execution_options(isolation_level="AUTOCOMMIT")
    for _ in range(_BATCHES):
        with alone.connect() as connection:
            due = sends.due_checks(connection, now, _BATCH)
            heard = sends.with_webhooks(connection, {key[0] for key, _ in due})
            merge.merge_reports(driver(connection), heard, now=now, slot=_slot())
            when = {key: None if key[0] in heard else _next_look(at, now) for key, at in due}
            sends.schedule_checks(connection, when)
        done.looked += len(due)
        done.heard += sum(key[0] in heard for key, _ in due)
        if len(due) < _BATCH:
            break
    return done


def _next_look(registered_at: datetime, now: datetime) -> datetime | None:
    return next((at for look in CHECK_DELAYS if (at := registered_at + look) > now), None)


def _key(report: SendReport) -> Key:
    return report.message_id, report.phone_number_id, report.error is not None, report.error_code


def _told(report: SendReport) -> KnownSend:
    return KnownSend(report.contact, report.template, report.campaign, report.category, failed=True)


def _slot() -> int:
    return _FIRST_SLOT + os.getpid() % _SLOTS
