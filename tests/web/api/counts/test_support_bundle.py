"""The support bundle of a failure: complete, and without secrets."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER, WABA, body, status, utc_text

TOKEN = "EAAGm0PX4ZCpsBAKZCtokenZBofsomebodyZD"


@pytest.fixture
def failure(api, deliver, now):
    """A message that was sent and failed, among others that did not."""
    error = {
        "code": 131053,
        "title": "Media upload error",
        "error_data": {"details": f"https://host/a.png?access_token={TOKEN} answered 403"},
    }
    deliver(body(*(status(f"wamid.ok{n}", "sent", now) for n in range(3))))
    deliver(body(status("wamid.F", "sent", now - timedelta(seconds=9))))
    deliver(body(status("wamid.F", "failed", now, errors=[error])))
    (found,) = api.get("/v1/failures").json["failures"]
    return found


@pytest.fixture
def call_reported(engine, now):
    """The sender's report of the call that sent it."""
    request = {"type": "template", "template": {"name": "offer", "components": [{"type": "header"}]}}
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO sends (message_id, phone_number_id, failed, error_code, sent_at, registered_at,"
                " fbtrace_id, endpoint, request)"
                " VALUES ('wamid.F', :number, false, -1, :at, :at, 'Az8or2yhqkZ', 'POST /messages', :request)"
            ),
            {"number": NUMBER, "at": now - timedelta(seconds=10), "request": json.dumps(request)},
        )
    return request


def test_a_bundle_has_the_error_the_call_the_timeline_and_the_frequency(api, failure, call_reported, now):
    bundle = api.get(f"/v1/failures/{failure['id']}/bundle", role="sender").json
    assert (bundle["message_id"], bundle["waba_id"], bundle["phone_number_id"]) == ("wamid.F", WABA, NUMBER)
    assert (bundle["code"], bundle["fbtrace_id"], bundle["endpoint"]) == (
        131053,
        "Az8or2yhqkZ",
        "POST /messages",
    )
    assert bundle["request"] == call_reported
    assert [(step["what"], step["at"]) for step in bundle["timeline"]] == [
        ("call accepted", utc_text(now - timedelta(seconds=10))),
        ("sent", utc_text(now - timedelta(seconds=9))),
        ("failed", utc_text(now)),
    ]
    assert (bundle["frequency"]["failures"], bundle["frequency"]["attempts"]) == (1, 4)


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_bundle_contains_no_credentials(api, failure, call_reported, form):
    answer = api.get(f"/v1/failures/{failure['id']}/bundle?format={form}").text
    assert TOKEN not in answer
    assert "answered 403" in answer


def test_the_text_omits_unknown_values(api, failure):
    response = api.get(f"/v1/failures/{failure['id']}/bundle?format=text")
    assert response.mimetype == "text/plain"
    assert "Content-Disposition" not in response.headers
    for line in ("Error code: 131053", "Message id: wamid.F", f"WhatsApp Business Account: {WABA}"):
        assert line in response.text.splitlines()
    assert "1 of 4 messages of this number failed with this code" in response.text
    assert "fbtrace_id" not in response.text
    assert "Request" not in response.text


def test_a_failure_whose_events_are_deleted_is_still_in_the_timeline(api, failure, engine, now):
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM status_events"))
    (step,) = api.get(f"/v1/failures/{failure['id']}/bundle").json["timeline"]
    assert (step["what"], step["at"], step["code"]) == ("failed", utc_text(now), 131053)


def test_there_is_no_bundle_for_an_unknown_failure(api):
    assert api.get("/v1/failures/nonsense/bundle").status_code == 404
    assert api.get("/v1/failures/nonsense/bundle?format=pdf").status_code == 400


def test_a_refused_call_has_its_trace_and_one_event_in_the_timeline(api, now):
    error = {
        "message": f"Error validating access token {TOKEN}: Session has expired",
        "type": "OAuthException",
        "code": 190,
        "error_subcode": 463,
        "fbtrace_id": "AbTrace12",
    }
    send = {
        "contact": "+12025550117",
        "phone_number_id": NUMBER,
        "sent_at": utc_text(now),
        "error": error,
        "endpoint": f"POST https://graph.facebook.com/v23.0/{NUMBER}/messages?access_token={TOKEN}",
        "request": {"type": "text", "text": {"body": "How are you, Ann?"}},
    }
    assert api.post("/v1/sends", json={"sends": [send]}, role="sender").json["summary"]["stored"] == 1
    (failure,) = api.get("/v1/failures?source=send&subcode=463").json["failures"]
    assert (failure["code"], failure["subcode"], failure["fbtrace_id"]) == (190, 463, "AbTrace12")
    assert (failure["meaning"]["title"], failure["message_id"][:5]) == ("Expired", "send:")
    answer = api.get(f"/v1/failures/{failure['id']}/bundle")
    bundle = answer.json
    assert (bundle["fbtrace_id"], bundle["code"], bundle["subcode"]) == ("AbTrace12", 190, 463)
    assert bundle["endpoint"].startswith("POST https://graph.facebook.com/")
    assert [step["what"] for step in bundle["timeline"]] == ["call failed"]
    shown = answer.text + api.get(f"/v1/failures/{failure['id']}/bundle?format=text").text
    assert "Ann" not in shown
    assert TOKEN not in shown
