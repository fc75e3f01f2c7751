"""/v1/numbers: every business number once, with what is known of it."""

from tests.support.factories import NUMBER, WABA, body, status
from webhook_app.store.accounts import numbers
from webhook_app.store.accounts.numbers import ListedNumber


def test_a_number_is_known_from_its_first_webhook(api, deliver, now):
    assert api.get("/v1/numbers", role="viewer").json == {"numbers": [], "next_cursor": None}
    deliver(body(status("wamid.A", at=now)))
    (found,) = api.get("/v1/numbers", role="viewer").json["numbers"]
    assert (found["phone_number_id"], found["waba_id"]) == (NUMBER, WABA)
    assert (found["display_phone_number"], found["status"], found["read_at"]) == ("+13125550199", "", None)


def test_numbers_are_listed_in_pages_with_what_meta_said(api, deliver, engine, now):
    deliver(body(status("wamid.A", at=now)))
    named = {"display_phone_number": "+1 312-555-0199", "verified_name": "Acme", "status": "CONNECTED"}
    rows = [
        ListedNumber(phone_number_id=each, waba_id=WABA, read_at=now, **named) for each in (NUMBER, "1", "9")
    ]
    with engine.begin() as connection:
        numbers.save(connection, rows)
    first = api.get("/v1/numbers?limit=2", role="viewer").json
    second = api.get(f"/v1/numbers?limit=2&cursor={first['next_cursor']}", role="viewer").json
    listed = first["numbers"] + second["numbers"]
    assert [each["phone_number_id"] for each in listed] == sorted(["1", "9", NUMBER])
    assert {each["verified_name"] for each in listed} == {"Acme"}
    assert second["next_cursor"] is None


def test_a_sender_cannot_list_them(api):
    assert api.get("/v1/numbers", role="sender").status_code == 403
