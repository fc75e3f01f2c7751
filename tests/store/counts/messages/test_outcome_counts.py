"""However webhooks come and are counted, counts of outcomes say what looking at each message says."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER, body, status
from tests.support.reports import report_failed_calls
from webhook_app.pipeline.counts.count_funnels import count_stages
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.rules.counts.outcome_measures import MEASURES, OutcomeMeasure
from webhook_app.store.counts.messages import outcome_counts, stages
from webhook_app.store.counts.messages.outcome_counts import MinuteSpan
from webhook_app.store.postgres.engine import driver

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW.replace(minute=0, second=0) - 5 * HOUR
TABLES = (
    "status_events",
    "failures",
    "messages",
    "minute_counts",
    "failed_messages",
    "failure_counts",
    "deliveries",
)
TABLES += ("message_stages", "stage_counts", "stage_recounts", "stage_progress", "books", "sends")

Received = tuple[dict[str, Any], datetime]
"""A status and when it was received."""

CODE = 131026


@st.composite
def received_statuses(draw: st.DrawFn) -> Received:
    """Statuses of few messages, on both sides of every limit, received at once or later."""
    serial, kind = (
        draw(st.integers(0, 3)),
        draw(st.sampled_from(("sent", "sent", "delivered", "read", "failed"))),
    )
    after = draw(st.sampled_from((0, 60, 61, 299, 300, 301, 900, 901, 3600, 3601))) if kind != "sent" else 0
    at = START + draw(st.sampled_from((0, 59, 3599))) * SECOND + after * SECOND
    more = {"biz_opaque_callback_data": f"template=t{draw(st.integers(0, 1))}"}
    code = CODE if kind == "failed" else None
    lag = draw(st.sampled_from((1, 119, 120, 3000)))
    return status(f"wamid.{serial}", kind, at, code=code, **more), at + lag * SECOND


@st.composite
def failed_calls(draw: st.DrawFn) -> tuple[str, datetime, int]:
    """Failed calls of the same messages that senders report: message id, time and code."""
    at = START + draw(st.sampled_from((0, 60, 120, 360))) * SECOND
    return f"wamid.{draw(st.integers(0, 3))}", at, draw(st.sampled_from((CODE, 131049)))


def model(engine: Engine) -> dict[tuple[datetime, OutcomeMeasure], Counter[str]]:
    """Count message by message from all stored events."""
    with engine.connect() as connection:
        rows = connection.execute(
            text("""
                SELECT e.message_id, e.status, e.occurred_at, e.received_at FROM status_events e
                LEFT JOIN failures f USING (message_id, phone_number_id, participant, error_code, occurred_at)
                WHERE f.source IS DISTINCT FROM 'send'
            """)
        ).all()
    found: dict[tuple[datetime, OutcomeMeasure], Counter[str]] = {}
    for message in {row.message_id for row in rows}:
        own = [row for row in rows if row.message_id == message]
        sent = min((row.occurred_at for row in own if row.status == "sent"), default=None)
        reached = min((row.occurred_at for row in own if row.status in ("delivered", "read")), default=None)
        ended = min((row.occurred_at for row in own if row.status != "sent"), default=None)
        is_live = any(row.status == "sent" and row.received_at < row.occurred_at + 2 * MINUTE for row in own)
        for measure in MEASURES:
            if measure.kind == "undelivered" and sent and is_live:
                late = ended is None or ended - sent > measure.limit * MINUTE
                at = sent
            elif measure.kind == "slow" and sent and reached and reached - sent <= HOUR:
                late = reached - sent > measure.limit * SECOND
                at = reached
            else:
                continue
            counter = found.setdefault((at.replace(second=0), measure), Counter())
            counter["messages"] += 1
            counter["counted"] += late
    return found


def stored(engine: Engine) -> dict[tuple[datetime, OutcomeMeasure], Counter[str]]:
    found: dict[tuple[datetime, OutcomeMeasure], Counter[str]] = {}
    with engine.connect() as connection:
        for measure in MEASURES:
            minutes = outcome_counts.read_minutes(connection, measure, START - HOUR, NOW + HOUR)
            for at, counts in minutes.items():
                counter = found.setdefault((at, measure), Counter())
                for messages, counted in counts.values():
                    counter["messages"] += messages
                    counter["counted"] += counted
    return found


@settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    events=st.lists(received_statuses(), min_size=1, max_size=12),
    calls=st.lists(failed_calls(), max_size=3),
    data=st.data(),
)
def test_counts_of_deliveries_equal_the_messages_in_any_order_with_repeats_and_recounts(
    engine, writer, events, calls, data
):
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(f"DELETE FROM {table}"))
    for item in data.draw(st.permutations([*events, *events[:3], *calls])):
        if len(item) == 2:
            writer.store([Delivery(body(item[0]))], item[1])
        else:
            message_id, at, code = item
            report_failed_calls(engine, 1, at, code, message_id=message_id)
        if data.draw(st.booleans()):
            with engine.begin() as connection:
                ids = [(f"wamid.{serial}", NUMBER) for serial in (0, 1)]
                stages.request_recount(driver(connection), ids)
                connection.execute(text("UPDATE stage_progress SET counted_until = NULL"))
            count_stages(engine, NOW)
    with engine.begin() as connection:
        connection.execute(text("UPDATE stage_progress SET counted_until = NULL"))
    count_stages(engine, NOW)
    assert stored(engine) == model(engine)


def test_what_a_sender_says_of_a_message_is_no_delivery_report(engine, writer):
    item = status("wamid.1", "sent", START)
    writer.store([Delivery(body(item))], START + SECOND)
    report_failed_calls(engine, 1, START + SECOND, CODE, message_id="wamid.1", key="rival")
    count_stages(engine, START + HOUR)
    assert unreported(engine) == 1
    item = status("wamid.1", "failed", START + SECOND, code=CODE)
    writer.store([Delivery(body(item))], START + 2 * SECOND)
    count_stages(engine, START + HOUR + MINUTE)
    assert unreported(engine) == 0


def unreported(engine: Engine) -> int:
    """The messages of the first minute without a delivery report within 15 minutes."""
    counts = stored(engine)[START, OutcomeMeasure("undelivered", 15)]
    assert counts["messages"] == 1
    return counts["counted"]


@pytest.fixture
def busy_hours(engine: Engine, writer: BatchWriter) -> None:
    """Over four hours, a message a minute that is delivered after 90 seconds; those of the second hour never."""
    for minute in range(240):
        at = START + minute * MINUTE
        items = [(status(f"wamid.{minute}", "sent", at), at)]
        if not 60 <= minute < 120:
            items.append((status(f"wamid.{minute}", "delivered", at + 90 * SECOND), at + 90 * SECOND))
        for item, received_at in items:
            writer.store([Delivery(body(item))], received_at)
    count_stages(engine, NOW)


@pytest.mark.usefixtures("busy_hours")
def test_windows_and_hours_sum_the_minutes(engine):
    undelivered, slow = OutcomeMeasure("undelivered", 15), OutcomeMeasure("slow", 60)
    with engine.connect() as connection:
        window, late, none = outcome_counts.read_spans(
            connection,
            [
                MinuteSpan(undelivered, START + 50 * MINUTE, START + 80 * MINUTE),
                MinuteSpan(slow, START + 3 * HOUR, START + 3 * HOUR + 30 * MINUTE),
                MinuteSpan(undelivered, START, START),
            ],
        )
        hours = outcome_counts.read_hours(connection, undelivered, [START, START + HOUR, START - HOUR])
        slow_hour = outcome_counts.read_hours(connection, slow, [START + 3 * HOUR])
        quick = outcome_counts.read_hours(connection, OutcomeMeasure("slow", 120), [START + 3 * HOUR])
    assert list(window.values()) == [(30, 20)]
    assert list(late.values()) == [(30, 30)]
    assert not none
    assert list(hours.values()) == [(120, 60)]
    assert list(slow_hour.values()) == [(60, 60)]
    assert list(quick.values()) == [(60, 0)]


@pytest.mark.usefixtures("busy_hours")
def test_a_window_has_messages_as_attempts_and_late_ones_as_failures(engine):
    measure = OutcomeMeasure("undelivered", 15)
    with engine.connect() as connection:
        parts = outcome_counts.read_spans(
            connection,
            [
                MinuteSpan(measure, START + first * MINUTE, START + (first + 30) * MINUTE)
                for first in (30, 60)
            ],
        )
    counts = outcome_counts.as_window(*parts).by_group(("phone_number_id",), lambda _: True)
    assert [(key, each.attempts, each.failures) for key, each in counts.items()] == [((NUMBER,), 60, 30)]
