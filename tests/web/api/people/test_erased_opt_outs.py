"""Who opted out and was erased is still refused, is found nowhere else, and may come back by their own word."""

import itertools
import json
from datetime import timedelta

import pytest

from tests.factories import body, document, message, status, value
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


def test_checks_go_on_refusing_under_every_key_and_nothing_else_knows_the_person(api, deliver, say, now):
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


def test_a_wish_told_to_one_number_binds_that_number_and_whoever_names_none(api, deliver, engine, now):
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
    told = ("verdict", "scope", "reason", "allowed")
    assert [after[name] for name in told] == [before[name] for name in told]
    assert before["scope"] == "marketing"
    assert verdicts(api, PERSON, phone_number_id="999")[0]["verdict"] == "send"
    assert verdicts(api, PERSON, category="utility")[0]["verdict"] == "send"


def test_who_writes_start_afterwards_is_written_to_again(api, say, now):
    say("STOP")
    erase(api)
    say("hello again", now + timedelta(seconds=10))
    assert verdicts(api, PERSON)[0]["verdict"] == "suppressed"
    say("START", now + timedelta(seconds=20))
    assert verdicts(api, PERSON)[0]["verdict"] == "send"


def test_somebody_may_answer_for_lifting_it_and_says_why(api, say):
    say("STOP")
    erase(api)
    assert api.delete(f"/v1/suppressions/{PERSON}").status_code == 409
    assert api.delete(f"/v1/suppressions/{PERSON}?reason=manual").status_code == 200
    assert verdicts(api, PERSON)[0]["verdict"] == "suppressed"
    assert api.delete(f"/v1/suppressions/{PERSON}?note=asked+on+the+phone").status_code == 200
    assert verdicts(api, PERSON)[0]["verdict"] == "send"
