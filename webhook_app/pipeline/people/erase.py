"""Erases a person from the tables (see erase_rows), then from the quarantine and the archive (see erase_archive).

The first transaction records whom to erase. At the end the record loses the person. The next run continues an
interrupted one; nothing is replayed before, as that could restore them.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from msgspec import Struct

from webhook_app.pipeline.people.erase_archive import Connect, erase_from_archive
from webhook_app.pipeline.people.erase_rows import erase_rows
from webhook_app.store.people import erased_messages, erasure_requests, former_numbers
from webhook_app.store.people.free_text import NOT_SEARCHED
from webhook_app.store.postgres.engine import Engine
from webhook_app.whatsapp.people.traces import Traces

log = structlog.get_logger()

ROWS_BEFORE_ANSWER = 100
"""Rows that are searched before the caller gets an answer, see erase_from_archive."""

_INTERRUPTED_AFTER = timedelta(minutes=15)
"""Erasures of the tables that take longer are done twice, which harms nothing."""


class Erased(Struct, frozen=True, kw_only=True):
    """The result. `opted_out`: the person had opted out, and checks still refuse messages to them.

    `archive_done`: the person is in the quarantine and in the archive no more. `earlier_holder_stays`: somebody else
    had the number before, and is not erased.
    """

    id: int
    rows: dict[str, int]
    opted_out: bool
    archive_done: bool
    earlier_holder_stays: bool
    not_searched: tuple[str, ...] = NOT_SEARCHED
    """Where the person may still be named."""


def erase(
    engine: Engine,
    connect: Connect,
    contact: str,
    *,
    actor: str,
    now: datetime,
    at_once: int = ROWS_BEFORE_ANSWER,
) -> Erased:
    """Erase the person with this key, under all keys linked to it.

    Of a number that somebody else uses now, what the person wrote and got there before goes, and the rest stays.
    """
    with engine.begin() as connection:
        erasure_requests.lock(connection)
        keys, shared = former_numbers.keys_to_erase(connection, contact)
        stays = former_numbers.earlier_holder_stays(connection, contact, keys)
        ids = erased_messages.message_ids(connection, Traces(keys))
        traces = Traces(keys, [*ids, *former_numbers.message_ids(connection, shared)])
        taken = former_numbers.take_out(connection, shared)
        erasure = erasure_requests.add(connection, traces, actor, now)
    rows, opted_out = erase_rows(engine, erasure, now)
    rows.update(taken)
    rows["quarantine"] = erase_from_archive(engine, connect, now, rows=at_once).quarantined[erasure.id]
    with engine.connect() as connection:
        done = erasure.id not in {each.id for each in erasure_requests.unfinished(connection)}
    log.info("a contact was erased", erasure=erasure.id, rows=sum(rows.values()), archive_done=done)
    return Erased(
        id=erasure.id,
        rows=dict(rows),
        opted_out=opted_out,
        archive_done=done,
        earlier_holder_stays=stays,
    )


def continue_erasures(
    engine: Engine, connect: Connect, now: datetime, *, go_on: Callable[[], bool] = lambda: True
) -> bool:
    """Continue interrupted and unfinished erasures; False when something is left for the next run.

    One that fails stops no other: the first fault is raised at the end.
    """
    fault: Exception | None = None
    with engine.connect() as connection:
        waiting = erasure_requests.unfinished(connection)
    for each in waiting:
        if not each.taken_out and each.requested_at <= now - _INTERRUPTED_AFTER:
            if not go_on():
                return False
            try:
                erase_rows(engine, each, now)
            except Exception as failed:
                log.exception("an interrupted erasure failed again", erasure=each.id)
                fault = fault or failed
            else:
                log.info("an interrupted erasure was continued", erasure=each.id)
    searched = erase_from_archive(engine, connect, now, go_on=go_on)
    if fault := fault or searched.fault:
        raise fault
    return searched.is_done
