"""Stores what senders report, counts it together with the webhooks, and follows up until webhooks confirm it.

register: commits the reports, merges them with what webhooks say of the same messages, and completes their retries. A
message takes a limited number of reports of each key; further ones are refused.
follow_up: does so again, a minute later, for what was stored at the same moment and so missed each other; keeps sends
without a webhook in view for as long as Meta may still deliver one.
"""

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal

import structlog
from msgspec import Struct

from webhook_app.pipeline.sends import merge
from webhook_app.pipeline.sends.merge import FailedCall
from webhook_app.store.counts.slots import report_slot
from webhook_app.store.postgres.engine import Connection, DriverConnection, Engine, driver
from webhook_app.store.postgres.errors import RETRYABLE, DriverError
from webhook_app.store.sends import reports as sends
from webhook_app.store.sends import retry_search
from webhook_app.store.sends.reports import Key, KnownSend
from webhook_app.whatsapp.sends.send_reports import SendReport

log = structlog.get_logger()

Outcome = Literal["stored", "duplicate", "late", "refused"]
"""late: a duplicate of another key's report. refused: the message has as many reports of this key as it takes."""

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
_MAX_FAULTS = 5


class FollowedUp(Struct):
    """How many reports one run checked, and how many of their messages have webhooks."""

    checked: int = 0
    confirmed: int = 0


def register(
    connection: Connection, reports: Sequence[SendReport], now: datetime, *, reported_by: str
) -> list[Outcome]:
    """Store and count the reports of one API key; return the outcome of each.

    A repeated report only fills in what the first one lacked, and only when the same key made both. The connection
    must be in autocommit mode: the transactions begin and end here.
    """
    raw = driver(connection)
    check_at = now + CHECK_DELAYS[0]
    with raw.transaction():
        known = sends.stored_keys(connection, {report.message_id for report in reports})
        first = _within_limit(reports, known, reported_by)
        repeated = [r for r in reports if (key := _key(r)) in first and first[key] is not r]
        stored = sends.insert(connection, list(first.values()), check_at, now, reported_by=reported_by)
        for report in repeated:  # it may hold more, or an earlier time
            again = sends.insert(connection, [report], check_at, now, reported_by=reported_by)
            stored[_key(report)] = again[_key(report)][0], stored[_key(report)][1]
        without_id = [
            FailedCall(r.message_id, r.phone_number_id, stored[key][0], r.error, _known(r), reported_by)
            for key, r in first.items()
            if r.has_generated_id and r.error is not None
        ]
        merge.store_failed_calls(raw, without_id, now=now, slot=_slot())
    named_by_meta = {report.message_id for report in first.values() if not report.has_generated_id}
    try:
        merge.merge_reports(raw, named_by_meta, now=now, slot=_slot())
    except RETRYABLE:  # webhooks, or other requests, are at work on these messages: the job goes on
        sends.check_at_once(raw, named_by_meta, now)
    retry_search.complete(connection, named_by_meta)
    new = {key for key, (_, is_new) in stored.items() if is_new}
    late = {key for key, by in known.items() if by != reported_by}
    retry_search.release_disputed(connection, {message_id for message_id, *_ in late})
    return [_outcome(report, first, new, late) for report in reports]


def follow_up(engine: Engine, now: datetime) -> FollowedUp:
    """Merge the reports whose check is due with their webhooks; see the module."""
    done = FollowedUp()
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    for _ in range(_BATCHES):
        with autocommit.connect() as connection:
            due = sends.due_checks(connection, now, _BATCH)
            confirmed = sends.with_webhooks(connection, {key[0] for key, _ in due})
            wanted = confirmed | {key[0] for key, _ in due if key[2]}
            merged = wanted - _merge(driver(connection), wanted, now)
            retry_search.complete(connection, merged)
            ended = {key for key, at in due if key[0] in merged and _ends(key, at, confirmed, now)}
            when = {key: None if key in ended else _next_check(at, now) for key, at in due}
            sends.schedule_checks(connection, when)
        done.checked += len(due)
        done.confirmed += sum(key[0] in confirmed for key, _ in due)
        if len(due) < _BATCH:
            break
    return done


def _merge(connection: DriverConnection, message_ids: Collection[str], now: datetime) -> set[str]:
    """Merge the reports of these messages; returns those that faults of the database leave for their next check.

    After a fault the messages are merged one by one, so that one of them affects no other.
    """
    try:
        merge.merge_reports(connection, message_ids, now=now, slot=_slot(), most=None)
    except DriverError as fault:
        if connection.closed:
            raise
        log.warning("reports are merged message by message after a fault", fault=type(fault).__name__)
    else:
        return set()
    left, faults = set(message_ids), 0
    for message_id in sorted(message_ids):
        try:
            merge.merge_reports(connection, [message_id], now=now, slot=_slot(), most=None)
        except DriverError as fault:
            if connection.closed:
                raise
            log.warning("reports of a message are merged later", fault=type(fault).__name__)
            faults += 1
            if faults == _MAX_FAULTS:  # the fault is not that of a message
                break
        else:
            left.remove(message_id)
    return left


def _ends(key: Key, registered_at: datetime, confirmed: Collection[str], now: datetime) -> bool:
    """Whether a report that is merged needs no further check: a webhook confirms it, or it is of a failed call.

    A younger one may have missed a webhook that was stored at the same moment.
    """
    return (key[2] or key[0] in confirmed) and now >= registered_at + CHECK_DELAYS[0]


def _within_limit(
    reports: Sequence[SendReport], known: Mapping[Key, str], reported_by: str
) -> dict[Key, SendReport]:
    """The first report of each key that its message takes of this API key, given those that are stored, by API key."""
    taken = Counter(key[0] for key, by in known.items() if by == reported_by)
    first: dict[Key, SendReport] = {}
    for report in reports:
        key = _key(report)
        if key in first or (key not in known and taken[report.message_id] >= sends.MAX_PER_MESSAGE):
            continue
        taken[report.message_id] += key not in known
        first[key] = report
    return first


def _outcome(
    report: SendReport, first: dict[Key, SendReport], new: Collection[Key], late: Collection[Key]
) -> Outcome:
    key = _key(report)
    if key not in first:
        return "refused"
    if key in late:
        return "late"
    return "stored" if first[key] is report and key in new else "duplicate"


def _next_check(registered_at: datetime, now: datetime) -> datetime | None:
    return next((at for delay in CHECK_DELAYS if (at := registered_at + delay) > now), None)


def _key(report: SendReport) -> Key:
    return report.message_id, report.phone_number_id, report.error is not None, report.error_code


def _known(report: SendReport) -> KnownSend:
    return KnownSend(report.contact, report.template, report.campaign, report.category, failed=True)


def _slot() -> int:
    return report_slot(os.getpid())
