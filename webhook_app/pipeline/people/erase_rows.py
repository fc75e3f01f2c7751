"""Erases a person from all tables but quarantine and archive, in steps that have a transaction and can be repeated.

1. Messages, a few hundred at a time, which webhooks wait for at most, and what senders reported.
2. Everything under the person's keys, when no transaction is left that may have read the messages. Suppressions last
   and under the lock of changes. Of an opt-out a mark stays, which only a check for that contact matches.
3. Texts that people wrote. Then the record says that only quarantine and archive are left.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from time import monotonic, sleep
from typing import TypeVar

import structlog

from webhook_app.pipeline.people.giving_way import GivingWay
from webhook_app.rules.suppressions.consent import opt_outs
from webhook_app.store.people import erased_messages, erased_opt_outs, erasure, erasure_requests
from webhook_app.store.people.erasure import TakenStatement
from webhook_app.store.people.erasure_requests import Erasure
from webhook_app.store.people.free_text import erase_free_text
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.store.postgres.errors import RETRYABLE, EngineError, driver_fault
from webhook_app.store.suppressions import changes, suppressions
from webhook_app.store.suppressions.changes import SuppressionChange
from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.people.traces import Traces

log = structlog.get_logger()

Rows = TypeVar("Rows")

_ATTEMPTS = 3
_WAIT_S, _ASK_AGAIN_S = 30.0, 0.02  # claims, evaluations and the job `suppress` take seconds


def erase_rows(engine: Engine, each: Erasure, now: datetime) -> tuple[Counter[str], bool]:
    """Erase the person; returns the number of changed rows by table, and whether the person had opted out."""
    traces = Traces(each.keys, each.message_ids, GivingWay())
    rows = Counter(status_events=0, failures=0)
    for ids in erased_messages.parts(each.message_ids):
        rows.update(_repeated(engine, partial(erased_messages.take_out, ids=ids, traces=traces, now=now)))
    with engine.connect() as connection:
        of_others = erased_messages.ids_of_others(connection, traces)
    for ids in erased_messages.parts(of_others):
        rows.update(
            _repeated(engine, partial(erased_messages.take_out_others, ids=ids, traces=traces, now=now))
        )
    until = None
    while reports := _reports(engine, traces, until):
        for places in erased_messages.parts(reports):
            take = partial(erased_messages.take_out_reports, places=places, traces=traces, now=now)
            rows["sends"] += _repeated(engine, take)
        until = each.requested_at  # again those changed meanwhile, but none that is new: it would never end
    _wait_for_transactions(engine)
    taken, opted_out = _repeated(engine, partial(_take_out_by_key, each=each, traces=traces, now=now))
    rows.update(taken)
    rows.update(_repeated(engine, partial(_take_out_of_texts, each=each, traces=traces)))
    return rows, opted_out


def _take_out_by_key(
    connection: Connection, each: Erasure, traces: Traces, now: datetime
) -> tuple[Counter[str], bool]:
    rows = erasure.take_out(connection, traces)
    taken, stated = erasure.take_out_statements(connection, traces)
    rows.update(taken)
    suppressions.lock_changes(connection)
    suppressed = suppressions.of_contacts(connection, traces.keys)
    marked = [(row.phone_number_id, row.scope) for row in suppressed if row.reason == "opted_out"]
    marked += _not_applied(stated)
    erased_opt_outs.keep(connection, traces.keys, marked)
    _record(connection, each.actor, now)
    rows.update(erasure.take_out_suppressions(connection, traces))
    erasure_requests.notify_erased(connection)
    return rows, bool(marked)


def _take_out_of_texts(connection: Connection, each: Erasure, traces: Traces) -> dict[str, int]:
    rows = erase_free_text(connection, traces)
    erasure_requests.set_taken_out(connection, each.id)
    return rows


def _repeated(engine: Engine, work: Callable[[Connection], Rows]) -> Rows:
    """Do this work in a transaction of its own; again after a deadlock with webhooks or reports."""
    for attempts_left in reversed(range(_ATTEMPTS)):
        try:
            with engine.begin() as connection:
                return work(connection)
        except EngineError as fault:
            if not attempts_left or not isinstance(driver_fault(fault), RETRYABLE):
                raise
    raise AssertionError


def _wait_for_transactions(engine: Engine) -> None:
    """Wait until no transaction is left that may have read what is erased by now, and stores it later."""
    with engine.connect() as connection:
        before = locks.new_transaction(connection)
    last = monotonic() + _WAIT_S
    while monotonic() < last:
        with engine.connect() as connection:
            if locks.are_over(connection, before):
                return
        sleep(_ASK_AGAIN_S)
    log.warning("an erasure did not wait for a long transaction, which may store the person")


def _reports(engine: Engine, traces: Traces, until: datetime | None) -> list[str]:
    with engine.connect() as connection:
        return erased_messages.reports(connection, traces, until)


def _not_applied(stated: Sequence[TakenStatement]) -> Iterator[tuple[str, str]]:
    """Yield the business number and scope of each opt-out that was left to the job `suppress`, unless lifted since."""
    for number in {each.phone_number_id for each in stated}:
        of_number = [each for each in stated if each.phone_number_id == number]
        new = [each.statement for each in of_number if each.is_new]
        for made in opt_outs([each.statement for each in of_number]):
            if made in new:
                yield number, "all" if (made.source, made.kind) == ("chat", "stop") else "marketing"


def _record(connection: Connection, actor: str, now: datetime) -> None:
    """Add a line without a contact to the feed, after which copies are loaded anew."""
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
