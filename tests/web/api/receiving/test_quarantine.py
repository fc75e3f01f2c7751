"""The quarantine over HTTP: lists, filters, contents for admins, replay."""

import json
from base64 import b64decode
from datetime import timedelta
from random import choice

from tests.support.factories import body, status
from webhook_app.store.postgres.engine import connect
from webhook_app.store.postgres.locks import REPLAY_LOCK
from webhook_app.whatsapp.receiving import statuses


def ids(api, query=""):
    return [item["id"] for item in api.get(f"/v1/quarantine{query}").json["items"]]


def test_items_are_listed_newest_first_and_by_page(api, deliver):
    for n in range(5):
        deliver(f"not json {n}".encode())
    deliver(body({"status": "sent"}))
    seen, cursor = [], ""
    while True:
        page = api.get(f"/v1/quarantine?limit=2{cursor}").json
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert json.loads(seen[0]["item"]) == {"status": "sent"}
    bodies = [b64decode(item["body"]).decode() for item in seen[1:]]
    assert bodies == [f"not json {n}" for n in (4, 3, 2, 1, 0)]
    assert [item["id"] for item in seen] == sorted((item["id"] for item in seen), reverse=True)
    assert all(item["reason"] for item in seen)


def test_only_admins_see_the_contents_of_an_item(api, deliver):
    deliver(body({"status": "sent", "text": "a secret wish"}))
    listed = api.get("/v1/quarantine", role="viewer")
    (item,) = listed.json["items"]
    assert item["reason"]
    assert (item["item"], item["body"]) == (None, None)
    assert "secret" not in listed.text
    assert api.get(f"/v1/quarantine/{item['id']}", role="viewer").status_code == 403
    whole = api.get(f"/v1/quarantine/{item['id']}").json
    assert json.loads(whole["item"]) == {"status": "sent", "text": "[removed]"}
    assert api.get(f"/v1/quarantine/{item['id'] + 1}").status_code == 404


def test_a_large_item_is_shown_as_a_webhook_with_it_alone_and_cut_in_lists(api, deliver):
    digits = "".join(choice("0123456789abcdef") for _ in range(300_000))
    for size in (70_000, 300_000):
        deliver(body({"status": "sent", "x": digits[:size]}, status("wamid.A")))
    for item in api.get("/v1/quarantine").json["items"]:
        whole = api.get(f"/v1/quarantine/{item['id']}").json
        found = json.loads(b64decode(whole["body"]))["entry"][0]["changes"][0]["value"]["statuses"]
        assert [(each["status"], each["x"] in digits) for each in found] == [("sent", True)]
        assert (item["item"], whole["item"]) == (None, None)
        assert b64decode(item["body"]) == b64decode(whole["body"])[:65_536]


def test_items_are_filtered_by_reason_field_time_and_state(api, deliver, engine, now):
    deliver(b"not json")
    deliver(body(status("wamid.Q", "queued", now)))
    newest, oldest = ids(api)
    assert ids(api, "?reason=queued") == [newest]
    assert ids(api, "?field=messages") == [newest]
    assert ids(api, "?field=") == [oldest]
    later = (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert ids(api, f"?since={later}") == []
    assert ids(api, f"?until={later}") == [newest, oldest]
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE quarantine SET replayed_at = now() WHERE id = %s", (newest,))
    assert ids(api, "?open=true") == [oldest]


def test_a_replay_applies_items_that_can_now_be_parsed_and_counts_the_rest(api, deliver, now, monkeypatch):
    deliver(b"not json")
    deliver(body(status("wamid.Q", "queued", now)))
    monkeypatch.setattr(statuses, "_KNOWN", statuses._KNOWN | {"queued"})
    answer = api.post("/v1/quarantine/replay", json={}).json
    assert answer == {"looked_at": 2, "applied": 1, "duplicate": 0, "ignored": 0, "left": 1, "open": 1}
    books = api.get("/v1/books").json
    assert (books["received"], books["applied"], books["quarantined"], books["balanced"]) == (2, 1, 1, True)
    (left, moved) = sorted(api.get("/v1/quarantine").json["items"], key=lambda item: item["became"])
    assert (left["replayed_at"], moved["became"]) == (None, "applied")


def test_only_admins_replay_and_a_replay_can_be_limited(api, deliver):
    for n in range(3):
        deliver(f"not json {n}".encode())
    assert api.post("/v1/quarantine/replay", json={"limit": 2}).json["looked_at"] == 2
    assert api.post("/v1/quarantine/replay", json={"reason": "nonsense"}).json["looked_at"] == 0
    assert api.post("/v1/quarantine/replay", json={}, role="viewer").status_code == 403


def test_a_second_replay_at_once_is_409(api, database_url):
    with connect(database_url, application="tests") as other:
        other.execute("SELECT pg_advisory_lock(%s::bigint)", [REPLAY_LOCK])
        answer = api.post("/v1/quarantine/replay", json={})
    assert answer.status_code == 409
    assert answer.json["error"]["code"] == "busy"
