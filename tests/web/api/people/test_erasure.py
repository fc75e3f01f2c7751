"""Erasing over HTTP: admins only, by any spelling, with an entry in the feed."""

from tests.support.factories import body, message, status


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
