"""Erasing over HTTP: admins only, by any spelling, with an entry in the feed."""

from datetime import timedelta

from tests.support.factories import NUMBER, body, message, number_change, status


def test_a_person_is_erased_and_the_feed_has_an_entry_without_a_contact(api, deliver, engine, now):
    deliver(body(status("wamid.A", "sent", now), messages=[message("wamid.IN", now)]))
    api.put("/v1/suppressions/+12025550117", json={"note": "asked on the phone"})
    books = api.get("/v1/books").json
    answer = api.delete("/v1/contacts/+1 (202) 555-0117")
    assert answer.status_code == 200, answer.json
    assert (answer.json["archive"], answer.json["opted_out"]) == ("done", False)
    assert answer.json["rows"]["status_events"] == 1
    assert "2025550117" not in answer.text
    assert api.get("/v1/books").json == books
    (line,) = api.get("/v1/changes", role="sender").json["changes"]
    assert (line["action"], line["contact"], line["actor"]) == ("erase", "", "admin")
    assert api.get("/v1/suppressions").json["suppressions"] == []
    with engine.connect() as connection:
        ids = connection.exec_driver_sql("SELECT message_id FROM status_events").scalars().all()
    assert all(each.startswith("erased:") for each in ids)


def test_only_admins_erase_and_only_valid_contacts(api):
    assert api.delete("/v1/contacts/+12025550117", role="viewer").status_code == 403
    refused = api.delete("/v1/contacts/nobody")
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "bad_contact")
    assert api.delete("/v1/contacts/+12025550117").json["rows"].get("status_events") == 0


def test_the_answer_says_what_was_not_searched(api):
    answer = api.delete("/v1/contacts/+5511987654321").json
    assert any("callback data" in each for each in answer["not_searched"])
    assert all(each for each in answer["not_searched"])


def test_a_sender_keeps_nobody_from_being_erased_under_a_former_number(api, deliver, now):
    former, present, user, day = "12025550117", "12025550118", "US.7041abc", timedelta(days=1)
    deliver(body(status("wamid.A", "delivered", now - 3 * day, recipient=former, recipient_user_id=user)))
    deliver(number_change(former, present, now - 2 * day))
    deliver(body(status("wamid.B", "delivered", now - day, recipient=present, recipient_user_id=user)))
    deliver(body(status("wamid.C", "failed", now, code=131026, recipient=former)))
    made_up = {"contact": former, "message_id": "wamid.made-up", "phone_number_id": NUMBER}
    assert api.post("/v1/sends", json={"sends": [made_up]}, role="sender").json["summary"]["stored"] == 1
    assert api.put(f"/v1/opt-ins/{former}", json={"channel": "shop"}, role="sender").status_code == 200
    assert api.delete(f"/v1/contacts/{former}").json["earlier_holder_stays"] is False
    for contact in (former, present, user):
        assert api.get(f"/v1/contacts/{contact}").json["timeline"] == []


def test_the_answer_says_that_who_had_the_number_before_was_not_erased(api, deliver, now):
    deliver(number_change("12025550117", "12025550118", now - timedelta(days=2)))
    deliver(body(messages=[message("wamid.IN", now - timedelta(days=1), sender="12025550117")]))
    assert api.delete("/v1/contacts/12025550117").json["earlier_holder_stays"] is True
    assert api.delete("/v1/contacts/12025550118").json["earlier_holder_stays"] is False
