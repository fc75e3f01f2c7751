"""Erased people who had opted out are still refused, cannot be found, and can opt in again."""

import itertools
import json
from datetime import timedelta

import pytest

from tests.support.factories import body, document, message, status, value
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds

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
