"""Erased people who had opted out are still refused, cannot be found, and can opt in again."""

import itertools
import json
from datetime import timedelta

import pytest
from sqlalchemy import event
from sqlalchemy import text as sql

from tests.support.factories import body, document, message, status, value
from webhook_app.pipeline.people.erase import erase as erase_person
from webhook_app.pipeline.receiving import batch_writer
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.postgres.engine import connect

PERSON, USER = "12025550117", "US.70411938265500174423"
OTHERS = [f"1202555{n:04}" for n in range(200, 300)]  # so many that they are asked about in another way


@pytest.fixture
def say(deliver, engine, now):
    serial = itertools.count()

    def said(text, at=now, sender=PERSON):
        deliver(body(messages=[message(f"wamid.S{next(serial)}", at, sender=sender, text=text)]))
        suppress(engine, (), Thresholds(), at)

    return said


def verdicts(api, *contacts, **more):
    few = api.post("/v1/check", json={"contacts": list(contacts)} | more, role="sender").json["results"]
    many = api.post("/v1/check", json={"contacts": [*contacts, *OTHERS]} | more, role="sender").json[
        "results"
    ]
    assert many[: len(contacts)] == few, "few and many are answered alike"
    assert {each["verdict"] for each in many[len(contacts) :]} == {"send"}
    return few


def erase(api):
    answer = api.delete(f"/v1/contacts/{PERSON}")
    assert (answer.status_code, answer.json["opted_out"]) == (200, True)


def test_checks_still_refuse_every_key_and_nothing_else_identifies_the_person(api, deliver, say, now):
    deliver(body(status("wamid.A", "sent", now, recipient=PERSON, recipient_user_id=USER)))
    say("STOP")
    erase(api)
    for result in verdicts(api, PERSON, USER):
        assert (result["verdict"], result["reason"], result["scope"]) == ("suppressed", "opted_out", "all")
        assert (result["since"], result["until"], result["code"]) == (None, None, None)
    assert api.get(f"/v1/check/{PERSON}", role="sender").json["verdict"] == "suppressed"
    assert api.get("/v1/suppressions").json["suppressions"] == []
    assert api.get(f"/v1/suppressions/{PERSON}").json["suppressions"] == []
    assert PERSON not in api.get("/v1/changes", role="sender").text


def test_an_opt_out_from_one_number_applies_to_checks_of_that_or_of_no_number(api, deliver, engine, now):
    stop = {
        "wa_id": PERSON,
        "category": "marketing_messages",
        "value": "stop",
        "timestamp": int(now.timestamp()),
    }
    deliver(json.dumps(document(value(user_preferences=[stop]), field="user_preferences")).encode())
    suppress(engine, (), Thresholds(), now)
    (before,) = verdicts(api, PERSON)
    erase(api)
    (after,) = verdicts(api, PERSON)
    compared = ("verdict", "scope", "reason", "allowed")
    assert [after[name] for name in compared] == [before[name] for name in compared]
    assert before["scope"] == "marketing"
    assert verdicts(api, PERSON, phone_number_id="999")[0]["verdict"] == "send"
    assert verdicts(api, PERSON, category="utility")[0]["verdict"] == "send"


def test_a_start_after_the_erasure_allows_messages_again(api, say, now):
    say("STOP")
    erase(api)
    say("hello again", now + timedelta(seconds=10))
    assert verdicts(api, PERSON)[0]["verdict"] == "suppressed"
    say("START", now + timedelta(seconds=20))
    assert verdicts(api, PERSON)[0]["verdict"] == "send"


def test_an_admin_may_lift_it_with_a_note(api, say):
    say("STOP")
    erase(api)
    assert api.delete(f"/v1/suppressions/{PERSON}").status_code == 409
    assert api.delete(f"/v1/suppressions/{PERSON}?reason=manual").status_code == 200
    assert verdicts(api, PERSON)[0]["verdict"] == "suppressed"
    assert api.delete(f"/v1/suppressions/{PERSON}?note=asked+on+the+phone").status_code == 200
    assert verdicts(api, PERSON)[0]["verdict"] == "send"


@pytest.mark.parametrize(
    "before",
    [
        "SELECT message_id FROM status_events WHERE contact = ''",
        "SELECT ctid::text AS place, id, title",
        "DELETE FROM inbound_messages WHERE contact",
        "SELECT pg_advisory_xact_lock",
        "DELETE FROM suppressions WHERE contact",
    ],
    ids=["ids", "texts", "messages", "lock", "suppressions"],
)
def test_a_stop_that_arrives_while_the_person_is_erased_is_in_force_afterwards(
    api, deliver, engine, writer, database_url, now, before, monkeypatch
):
    monkeypatch.setattr(batch_writer, "_STATEMENTS_WAIT_MS", 50)
    deliver(body(status("wamid.A", "sent", now, recipient=PERSON)))
    stored = []

    def stop(_connection, _cursor, statement, *_):
        if statement.strip().startswith(before) and not stored:
            stored.append(statement)
            writer.store(
                [Delivery(body(messages=[message("wamid.stop", now, sender=PERSON, text="STOP")]))], now
            )

    event.listen(engine, "before_cursor_execute", stop)
    try:
        erase_person(engine, lambda: connect(database_url, application="tests"), PERSON, actor="ops", now=now)
    finally:
        event.remove(engine, "before_cursor_execute", stop)
    assert stored
    suppress(engine, (), Thresholds(), now)
    assert verdicts(api, PERSON)[0]["verdict"] == "suppressed"


@pytest.mark.parametrize(("texts", "verdict"), [(["STOP"], "suppressed"), (["STOP", "START"], "send")])
def test_a_stop_that_waits_for_the_job_when_the_person_is_erased_is_in_force_afterwards(
    api, deliver, engine, say, now, texts, verdict
):
    for place, text in enumerate(texts):
        say(text, now + timedelta(seconds=place))
    with engine.begin() as connection:
        connection.execute(sql("DELETE FROM suppressions"))
        connection.execute(sql("UPDATE inbound_messages SET considered_at = NULL"))
    assert api.delete(f"/v1/contacts/{PERSON}").json["opted_out"] is (verdict == "suppressed")
    suppress(engine, (), Thresholds(), now)
    assert verdicts(api, PERSON)[0]["verdict"] == verdict


def test_an_opt_out_after_the_erasure_is_shown_with_its_time_and_to_checks_of_any_size(api, say, now):
    say("STOP")
    erase(api)
    for second in range(1, 9):
        say("STOP", now + timedelta(seconds=second))
        assert verdicts(api, PERSON)[0]["since"] is not None
