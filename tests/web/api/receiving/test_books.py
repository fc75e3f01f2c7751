"""The books balance, by day and in total."""

import json
from datetime import UTC, datetime, timedelta

from tests.support.factories import body, document, status, value
from tests.support.traffic import Traffic
from webhook_app.pipeline.counts.measure_lateness import measure


def test_before_the_first_delivery_the_books_are_empty_and_balance(api):
    empty = {"received": 0, "applied": 0, "duplicate": 0, "ignored": 0, "quarantined": 0, "balanced": True}
    nothing = dict.fromkeys(("events", "reached", "unsent", "accepted", "silent"), 0)
    nothing |= dict.fromkeys(("lag_p50_seconds", "lag_p95_seconds", "lag_p99_seconds"))
    assert api.get("/v1/books", role="viewer").json == empty | {"days": [], "arrivals": nothing}


def test_every_item_is_in_exactly_one_column(api, deliver, now):
    deliver(body(status("wamid.A", "sent", now), status("wamid.A", "delivered", now)))
    deliver(body(status("wamid.A", "sent", now)))
    deliver(b"not json at all")
    deliver(json.dumps(document(value(), field="a_new_field")).encode())
    answer = api.get("/v1/books").json
    assert (answer["applied"], answer["duplicate"], answer["quarantined"]) == (2, 1, 1)
    assert answer["received"] == 4 + answer["ignored"] > 4
    assert answer["balanced"] is True
    (day,) = answer["days"]
    assert day["day"] in (now.date().isoformat(), datetime.now(UTC).date().isoformat())
    assert {name: day[name] for name in answer if name not in ("days", "arrivals")} == {
        n: v for n, v in answer.items() if n not in ("days", "arrivals")
    }


def test_books_that_do_not_balance_are_marked(api, engine, now):
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO books (day, slot, received, applied) VALUES (%s, 0, 3, 2), (%s, 1, 2, 2)", (now, now)
        )
    answer = api.get("/v1/books").json
    assert (answer["received"], answer["applied"], answer["balanced"]) == (5, 4, False)
    assert answer["days"][0]["balanced"] is False


def test_the_requested_number_of_days_is_listed_the_newest_first(api, engine):
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO books (day, slot, received, ignored)"
            " SELECT date '2026-01-01' + n, 0, 1, 1 FROM generate_series(0, 40) n"
        )
    answer = api.get("/v1/books?days=3").json
    assert [day["day"] for day in answer["days"]] == ["2026-02-10", "2026-02-09", "2026-02-08"]
    assert answer["received"] == 41
    assert len(api.get("/v1/books").json["days"]) == 30


def test_late_unsent_and_silent_messages_are_in_the_books_and_in_the_metrics(
    api, client, engine, now, database_url
):
    at = (now - timedelta(minutes=50)).replace(second=10)
    traffic = Traffic(database_url)
    traffic.store(status("wamid.A", "delivered", at - timedelta(seconds=100)), at=at)
    traffic.close()
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO sends (message_id, phone_number_id, failed, sent_at, registered_at, check_at)"
            " VALUES ('wamid.S', '1', false, %s, %s, %s), ('wamid.A', '1', false, %s, %s, NULL)",
            (at, at, at, at, at),
        )
    measure(engine, now)
    lateness = api.get("/v1/books").json["arrivals"]
    assert lateness == {
        "events": 1,
        "lag_p50_seconds": 120,
        "lag_p95_seconds": 120,
        "lag_p99_seconds": 120,
        "reached": 1,
        "unsent": 1,
        "accepted": 2,
        "silent": 1,
    }
    metrics = client.get("/metrics").text
    assert 'webhook_app_arrival_lag_seconds{quantile="0.95"} 120.0' in metrics
    assert 'webhook_app_reached_messages{what="unsent"} 1.0' in metrics
    assert 'webhook_app_silent_sends{phone_number_id="1"} 1.0' in metrics
