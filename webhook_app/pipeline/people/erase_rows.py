"""Erases a person from every table but the archive, in steps that each have a transaction and can be repeated.

1. Messages, a few hundred at a time, and what senders reported. Webhooks about them wait for one such step at most.
2. Everything under the person's keys. Of an opt-out a mark stays, which only a check for that contact matches.
3. Texts that people wrote. Then the record says that only the archive is left.
"""

from collections import Counter
from datetime import datetime

from webhook_app.store.people import erased_messages, erased_opt_outs, erasure, erasure_requests
from webhook_app.store.people.erasure_requests import Erasure
from webhook_app.store.people.free_text import erase_free_text
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.store.suppressions import changes, suppressions
from webhook_app.store.suppressions.changes import SuppressionChange
from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.people.traces import Traces


def erase_rows(engine: Engine, each: Erasure, now: datetime) -> tuple[Counter[str], bool]:
    """Erase the person; returns the number of changed rows by table, and whether the person had opted out."""
    traces = Traces(each.keys, each.message_ids)
    rows: Counter[str] = Counter()
    for ids in erased_messages.parts(each.message_ids):
        with engine.begin() as connection:
            rows.update(erased_messages.take_out(connection, ids, traces, now))
    while reports := _reports(engine, traces):  # again, as somebody may have changed some meanwhile
        for places in erased_messages.parts(reports):
            with engine.begin() as connection:
                rows["sends"] += erased_messages.take_out_reports(connection, places, traces, now)
    with engine.begin() as connection:
        suppressed = suppressions.of_contacts(connection, traces.keys)
        opt_outs = [(row.phone_number_id, row.scope) for row in suppressed if row.reason == "opted_out"]
        erased_opt_outs.keep(connection, traces.keys, opt_outs)
        rows.update(erasure.take_out(connection, traces, now))
        rows["suppression_changes"] += _erase_changes(connection, traces, each.actor, now)
        erasure_requests.notify_erased(connection)
    with engine.begin() as connection:
        rows.update(erase_free_text(connection, traces))
        erasure_requests.set_taken_out(connection, each.id)
    return rows, bool(opt_outs)


def _reports(engine: Engine, traces: Traces) -> list[str]:
    with engine.connect() as connection:
        return erased_messages.reports(connection, traces)


def _erase_changes(connection: Connection, traces: Traces, actor: str, now: datetime) -> int:
    """Replace the person's changes in the feed by one line without a contact, after which copies are loaded anew."""
    suppressions.lock_changes(connection)
    line = SuppressionChange(
        seq=0,
        at=now,
        action="erase",
        contact="",
        phone_number_id="",
        scope="",
        reason="",
        code=NO_CODE,
        until=None,
        times=1,
        actor=actor,
        note="",
        evidence=(),
    )
    changes.record(connection, [line])
    return erasure.take_out_changes(connection, traces)
