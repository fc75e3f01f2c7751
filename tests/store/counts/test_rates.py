"""Rates equal a count by hand over the raw events, for every grouping."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from tests.support.factories import NUMBER, status
from tests.support.reports import report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.rules.counts.dimensions import GROUPS
from webhook_app.store.counts import traffic as stored_traffic
from webhook_app.store.counts.impact import incident_impact, incident_samples
from webhook_app.store.counts.rates import Filters, attempts_by_series, rates, rates_by_code, series, window

OTHER_NUMBER = "590238114470022"
UNREACHABLE, WITHHELD, BROKEN = 131026, 131049, 131053


def test_a_window_is_its_full_minutes_and_the_current_one(now):
    now = now.replace(second=37)
    start, end = window(now, 15)
    assert start == now.replace(second=0) - timedelta(minutes=15)
    assert end == now.replace(second=0) + timedelta(minutes=1)


@pytest.mark.parametrize(("attempts_of", "events_of"), [(15, 30), (30, 15), (15, 15)])
def test_one_scan_counts_attempts_and_webhooks_of_two_windows(
    traffic, connection, engine, now, attempts_of, events_of
):
    for minutes, messages in ((1, 7), (20, 5), (40, 3)):
        traffic.sent(messages, now - timedelta(minutes=minutes))
        traffic.failed(2, now - timedelta(minutes=minutes), BROKEN, number=OTHER_NUMBER)
    report_failed_calls(engine, 4, now - timedelta(minutes=2), BROKEN)
    (attempts_since, end), (events_since, _) = window(now, attempts_of), window(now, events_of)
    attempts, events = stored_traffic.attempts_and_events(connection, attempts_since, events_since, end)
    assert attempts == attempts_by_series(connection, attempts_since, end)
    assert events == stored_traffic.events_by_series(connection, events_since, end)
    assert sum(attempts.values()) == {15: 13, 30: 20}[attempts_of]
    assert sum(events.values()) == {15: 9, 30: 16}[events_of]


def test_messages_that_failed_without_a_sent_count_as_attempts(traffic, connection, now):
    traffic.sent(1000, now)
    traffic.failed(40, now, UNREACHABLE)
    table = rates(connection, *window(now, 15))
    assert (table.attempts, table.failures) == (1040, 40)
    assert table.rate == pytest.approx(0.0385, abs=0.00005)
    assert (table.low, table.high) == pytest.approx((0.0284, 0.0520), abs=0.0001)


def test_a_message_with_two_codes_counts_once_in_each_code_once_in_its_class_and_once_in_the_total(
    traffic, connection, now
):
    traffic.store(
        status("wamid.A", "failed", now, code=131053),
        status("wamid.A", "failed", now, code=131000),
        status("wamid.A", "failed", now - timedelta(seconds=1), code=131000),
        at=now,
    )
    table = rates(connection, *window(now, 15), ["code"])
    assert {row["code"]: row["failures"] for row in table.groups} == {131053: 1, 131000: 1}
    assert table.classes == {"broken": 1, "withheld": 0, "unreachable": 0}
    assert (table.attempts, table.failures) == (1, 1)


def test_rates_by_code_are_the_same_when_the_database_adds_up_the_series(traffic, connection, now):
    traffic.sent(20, now)
    traffic.sent(10, now, number=OTHER_NUMBER)
    for code, number in ((WITHHELD, NUMBER), (UNREACHABLE, NUMBER), (UNREACHABLE, OTHER_NUMBER)):
        traffic.failed(3, now, code, number=number)
    for at, code in ((now, BROKEN), (now - timedelta(minutes=2), UNREACHABLE)):
        traffic.store(status("wamid.A", "failed", at, code=code), at=now)
    start, end = window(now, 15)
    assert rates_by_code(connection, start, end) == rates(connection, start, end, ["code"])


def test_a_message_that_fails_twice_is_one_failed_message_of_a_window_with_both(traffic, connection, now):
    start, end = window(now, 15)
    early, late = start + timedelta(minutes=2), start + timedelta(minutes=9)
    traffic.store(status("wamid.A", "failed", late, code=BROKEN), at=now)
    assert rates(connection, start, end).failures == 1
    connection.rollback()
    traffic.store(status("wamid.A", "failed", early, code=UNREACHABLE), at=now)
    table = rates(connection, start, end, ["code"])
    assert table.failures == 1
    assert {row["code"]: row["failures"] for row in table.groups} == {BROKEN: 1, UNREACHABLE: 1}
    for first, last, code in ((early, late, UNREACHABLE), (late, end, BROKEN)):
        part = rates(connection, first, last, ["code"])
        assert [(row["code"], row["failures"]) for row in part.groups] == [(code, 1)]


def test_withheld_messages_do_not_count_in_the_failure_rate(traffic, connection, now):
    traffic.failed(3, now, WITHHELD)
    traffic.failed(2, now, UNREACHABLE)
    table = rates(connection, *window(now, 15), ["phone_number_id"])
    assert table.classes == {"broken": 0, "withheld": 3, "unreachable": 2}
    assert table.failures == 2
    assert table.groups[0]["failures"] == 2


def test_with_a_code_in_the_filters_its_failures_count_whatever_its_class(traffic, connection, now):
    traffic.failed(3, now, WITHHELD)
    traffic.failed(2, now, UNREACHABLE)
    table = rates(connection, *window(now, 15), ["phone_number_id"], Filters(code=WITHHELD))
    assert (table.attempts, table.failures) == (5, 3)
    assert table.groups[0]["failures"] == 3


def test_a_code_has_all_attempts_of_its_group_without_the_code(traffic, connection, now):
    traffic.sent(100, now)
    traffic.failed(4, now, UNREACHABLE)
    traffic.sent(10, now, number=OTHER_NUMBER)
    table = rates(connection, *window(now, 15), ["code", "phone_number_id"])
    [row] = table.groups
    assert (row["code"], row["phone_number_id"]) == (UNREACHABLE, NUMBER)
    assert (row["attempts"], row["failures"]) == (104, 4)


def test_groups_without_failures_are_included_unless_grouped_by_code(traffic, connection, now):
    traffic.failed(1, now, UNREACHABLE)
    traffic.sent(10, now, number=OTHER_NUMBER)
    table = rates(connection, *window(now, 15), ["phone_number_id"])
    assert [(row["phone_number_id"], row["failures"]) for row in table.groups] == [
        (NUMBER, 1),
        (OTHER_NUMBER, 0),
    ]


@pytest.mark.parametrize(
    ("offset", "counted"), [(-60, 0), (-1, 0), (0, 1), (15 * 60 + 59, 1), (16 * 60, 0)], ids=str
)
def test_the_start_of_a_window_is_inclusive_and_the_end_is_not(traffic, connection, now, offset, counted):
    now = now - timedelta(hours=1)
    start, end = window(now, 15)
    traffic.failed(1, start + timedelta(seconds=offset), UNREACHABLE)
    table = rates(connection, start, end)
    assert (table.attempts, table.failures) == (counted, counted)


def test_a_failure_of_a_message_sent_before_the_window_adds_no_attempt(traffic, connection, now):
    traffic.store(
        status("wamid.A", "sent", now - timedelta(hours=1)),
        status("wamid.A", "failed", now, code=UNREACHABLE),
        at=now,
    )
    table = rates(connection, *window(now, 15))
    assert (table.attempts, table.failures) == (0, 1)


@pytest.mark.parametrize("seed", range(4))
def test_every_grouping_equals_a_recount_over_the_raw_events(traffic, connection, now, seed):
    chance = random.Random(seed)
    _feed_random(traffic, chance, now)
    start, end = window(now, 15)
    facts = _raw(connection, start, end)
    for group_by in (
        ["code"],
        ["template"],
        ["code", "phone_number_id"],
        ["country", "template"],
        list(GROUPS),
    ):
        table = rates(connection, start, end, group_by)
        found = {tuple(row[name] for name in group_by): row["failures"] for row in table.groups}
        assert {key: count for key, count in found.items() if count} == _recount(facts, group_by)
    everything = rates(connection, start, end)
    assert everything.failures == len({f["message"] for f in facts if f["code"] != WITHHELD})
    assert everything.attempts == _attempts(connection, start, end)


def _feed_random(traffic: Traffic, chance: random.Random, now: datetime) -> None:
    for _ in range(12):
        number = chance.choice([NUMBER, OTHER_NUMBER])
        items = [
            status(
                f"wamid.{chance.randrange(25)}",
                kind := chance.choice(["sent", "failed", "failed", "delivered"]),
                now - timedelta(seconds=chance.randrange(-30, 1500)),
                code=chance.choice([UNREACHABLE, WITHHELD, BROKEN]) if kind == "failed" else None,
                recipient=chance.choice(["12025550117", "4915123456789"]),
                biz_opaque_callback_data=f'{{"template": "{chance.choice(["", "a", "b"])}"}}',
            )
            for _ in range(10)
        ]
        traffic.store(*items, at=now, number=number)


def _raw(connection: Connection, start: datetime, end: datetime) -> list[dict[str, Any]]:
    rows = connection.execute(
        text(
            "SELECT e.message_id, e.error_code AS code, s.* FROM status_events e JOIN series s ON s.id = e.series_id"
            " WHERE e.status = 'failed' AND e.occurred_at >= :start AND e.occurred_at < :end"
        ),
        {"start": start, "end": end},
    )
    return [dict(row) | {"message": (row["message_id"], row["phone_number_id"])} for row in rows.mappings()]


def _recount(facts: list[dict[str, Any]], group_by: list[str]) -> dict[tuple[Any, ...], int]:
    groups: dict[tuple[Any, ...], set[Any]] = {}
    for fact in facts:
        if "code" in group_by or fact["code"] != WITHHELD:
            groups.setdefault(tuple(fact[name] for name in group_by), set()).add(fact["message"])
    return {key: len(messages) for key, messages in groups.items()}


def _attempts(connection: Connection, start: datetime, end: datetime) -> int:
    statement = text("""
        SELECT count(*) FROM (
          SELECT coalesce(min(occurred_at) FILTER (WHERE status = 'sent'),
                          min(occurred_at) FILTER (WHERE status = 'failed')) AS at
          FROM status_events GROUP BY message_id, phone_number_id) m
        WHERE at >= :start AND at < :end""")
    return int(connection.execute(statement, {"start": start, "end": end}).scalar_one())


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), (12, 5)),
        (Filters(phone_number_id=OTHER_NUMBER), (5, 5)),
        (Filters(template="a"), (7, 2)),
        (Filters(template=""), (5, 3)),
        (Filters(template="a", phone_number_id=OTHER_NUMBER), (2, 2)),
        (Filters(country="DE"), (3, 3)),
        (Filters(template="c"), (0, 0)),
        (Filters(code=BROKEN), (12, 3)),
    ],
)
def test_filters_apply_to_attempts_and_failures(traffic, connection, now, filters, expected):
    traffic.sent(5, now, template="a")
    traffic.sent(2, now)
    traffic.failed(2, now, UNREACHABLE, number=OTHER_NUMBER, template="a")
    traffic.failed(3, now, BROKEN, number=OTHER_NUMBER, recipient="4915123456789")
    table = rates(connection, *window(now, 15), ["code"], filters)
    assert (table.attempts, table.failures) == expected


def test_a_series_has_a_point_for_every_step_and_sums_to_the_rates(traffic, connection, now):
    start, end = window(now, 14)
    traffic.sent(7, start)
    traffic.failed(2, start + timedelta(minutes=4, seconds=59), UNREACHABLE)
    [twice] = traffic.failed(1, start + timedelta(minutes=5), WITHHELD)
    traffic.store(status(twice, "failed", start + timedelta(minutes=6), code=BROKEN), at=now)
    points = series(connection, start, end, 5)
    assert [point["at"] for point in points] == [start + timedelta(minutes=5 * i) for i in range(3)]
    assert [(p["attempts"], p["sent"], p["failures"]) for p in points] == [(9, 7, 2), (1, 0, 1), (0, 0, 0)]
    assert points[1]["classes"] == {"broken": 1, "withheld": 1, "unreachable": 0}


def test_impact_counts_contacts_and_finds_the_first_failure(traffic, connection, now):
    for minutes, recipient in ((5, "12025550117"), (3, "12025550117"), (1, "12025550118")):
        traffic.failed(1, now - timedelta(minutes=minutes), UNREACHABLE, recipient=recipient)
    traffic.failed(1, now - timedelta(minutes=9), BROKEN)
    hit = incident_impact(connection, *window(now, 15), [UNREACHABLE], [{}], of_webhooks=True)
    assert (hit.messages, hit.contacts, hit.first_at) == (3, 2, now - timedelta(minutes=5))


def test_impact_counts_what_only_senders_report_by_itself(engine, traffic, connection, now):
    [both] = traffic.failed(1, now - timedelta(minutes=5), UNREACHABLE)
    report_failed_calls(engine, 4, now - timedelta(minutes=8), UNREACHABLE)
    report_failed_calls(engine, 1, now - timedelta(minutes=9), UNREACHABLE, message_id=both)
    values = connection, *window(now, 15), [UNREACHABLE], [{}]
    shown = incident_impact(*values, of_webhooks=True)
    assert (shown.messages, shown.contacts, shown.reported) == (1, 1, 4)
    assert shown.first_at == now - timedelta(minutes=5)
    every = incident_impact(*values, of_webhooks=False)
    assert (every.messages, every.contacts, every.reported) == (5, 5, 4)
    assert incident_samples(*values, of_webhooks=True) == [both]
    assert len(incident_samples(*values, of_webhooks=False)) == 3


def test_samples_are_the_latest_matching_messages(traffic, connection, now):
    ids = [
        traffic.failed(1, now - timedelta(seconds=s), UNREACHABLE, template="a")[0] for s in (40, 30, 20, 10)
    ]
    traffic.failed(1, now, UNREACHABLE, template="b")
    found = incident_samples(
        connection, *window(now, 15), [UNREACHABLE], [{"template": "a"}], of_webhooks=True
    )
    assert found == ids[:0:-1]


def test_a_window_is_read_by_index_however_long_the_history_is(engine, now):
    # Failures of the first hours of a month are in a partition of few pages, which is best read whole.
    now = now.replace(day=15, hour=12)
    start, end = window(now, 15)
    with engine.begin() as connection:
        _long_history(connection, now)
        for table, time in (
            ("failures", "occurred_at"),
            ("minute_counts", "minute"),
            ("failure_counts", "minute"),
        ):
            plan = "\n".join(
                connection.execute(
                    text(f"EXPLAIN SELECT * FROM {table} WHERE {time} >= :start AND {time} < :end"),
                    {"start": start, "end": end},
                ).scalars()
            )
            assert "Index" in plan, plan
            assert "Seq Scan" not in plan, plan


def _long_history(connection: Connection, now: datetime) -> None:
    connection.execute(
        text("""
        INSERT INTO minute_counts (minute, series_id, slot, attempts)
        SELECT date_trunc('minute', CAST(:now AS timestamptz)) - make_interval(mins => m), s, 0, 1
        FROM generate_series(1, 3000) m, generate_series(1, 10) s"""),
        {"now": now},
    )
    connection.execute(
        text("""
        INSERT INTO failures (message_id, phone_number_id, occurred_at, error_code, series_id, received_at)
        SELECT 'wamid.' || m, '', CAST(:now AS timestamptz) - make_interval(secs => m), 131026, 1, :now
        FROM generate_series(1, 30000) m"""),
        {"now": now},
    )
    connection.execute(
        text("""
        INSERT INTO failure_counts (minute, series_id, error_code, slot, failures)
        SELECT date_trunc('minute', CAST(:now AS timestamptz)) - make_interval(mins => m), s, 131026, 0, 1
        FROM generate_series(1, 3000) m, generate_series(1, 10) s"""),
        {"now": now},
    )
    connection.execute(text("ANALYZE minute_counts"))
    connection.execute(text("ANALYZE failure_counts"))
    connection.execute(text("ANALYZE failures"))
