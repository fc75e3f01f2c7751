"""The books balance, by day and in total, and what was not understood can be seen."""

import json
from base64 import b64decode
from datetime import UTC, datetime

from tests.factories import body, document, status, value


def test_before_the_first_delivery_the_books_are_empty_and_balance(api):
    empty = {"received": 0, "applied": 0, "duplicate": 0, "ignored": 0, "quarantined": 0, "balanced": True}
    assert api.get("/v1/books", role="viewer").json == empty | {"days": []}


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
    assert {name: day[name] for name in answer if name != "days"} == {
        n: v for n, v in answer.items() if n != "days"
    }


def test_books_that_do_not_balance_say_so(api, engine, now):
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO books (day, slot, received, applied) VALUES (%s, 0, 3, 2), (%s, 1, 2, 2)", (now, now)
        )
    answer = api.get("/v1/books").json
    assert (answer["received"], answer["applied"], answer["balanced"]) == (5, 4, False)
    assert answer["days"][0]["balanced"] is False


def test_as_many_days_are_listed_as_asked_for_the_newest_first(api, engine):
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO books (day, slot, received, ignored)"
            " SELECT date '2026-01-01' + n, 0, 1, 1 FROM generate_series(0, 40) n"
        )
    answer = api.get("/v1/books?days=3").json
    assert [day["day"] for day in answer["days"]] == ["2026-02-10", "2026-02-09", "2026-02-08"]
    assert answer["received"] == 41
    assert len(api.get("/v1/books").json["days"]) == 30


def test_quarantined_items_are_listed_whole_newest_first_and_by_page(api, deliver, engine, now):
    for n in range(5):
        deliver(f"not json {n}".encode())
    deliver(body({"status": "sent"}))
    seen, cursor = [], ""
    while True:
        page = api.get(f"/v1/quarantine?limit=2{cursor}", role="viewer").json
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert json.loads(seen[0]["item"]) == {"status": "sent"}
    bodies = [b64decode(item["body"]).decode() for item in seen[1:]]
    assert bodies == [f"not json {n}" for n in (4, 3, 2, 1, 0)]
    assert [item["id"] for item in seen] == sorted((item["id"] for item in seen), reverse=True)
    assert all(item["reason"] for item in seen)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE quarantine SET replayed_at = %s WHERE id = %s", (now, seen[0]["id"])
        )
    open_ones = api.get("/v1/quarantine?open=true").json["items"]
    assert [item["id"] for item in open_ones] == [item["id"] for item in seen[1:]]
