"""One message: all its events, failures and its outcome."""

from datetime import timedelta

import pytest

from tests.support.factories import body, status, utc_text

OTHER_NUMBER = "590238114470099"


def test_a_message_has_its_events_in_time_order_in_any_order_of_arrival(api, deliver, now):
    for offset, name in ((30, "read"), (0, "sent"), (10, "delivered"), (10, "delivered")):
        deliver(body(status("wamid.A", name, now - timedelta(minutes=5) + timedelta(seconds=offset))))
    answer = api.get("/v1/messages/wamid.A", role="sender").json
    assert [event["status"] for event in answer["events"]] == ["sent", "delivered", "read"]
    assert answer["contact"] == "+12025550117"
    assert answer["country"] == "US"
    start = now - timedelta(minutes=5)
    assert answer["outcome"] == {
        "sent_at": utc_text(start),
        "delivered_at": utc_text(start + timedelta(seconds=10)),
        "read_at": utc_text(start + timedelta(seconds=30)),
        "failed_at": None,
        "reached": True,
        "failed": False,
        "try_elsewhere": False,
    }


@pytest.mark.parametrize(
    ("category", "minutes", "more", "expected"),
    [
        ("authentication", 10, "", True), ("authentication", 9, "", False), ("utility", 60, "", False),
        ("authentication", 60, "delivered", False), ("authentication", 1, "failed", True),
    ],
)  # fmt: skip
def test_a_code_that_did_not_arrive_in_time_should_be_sent_elsewhere(
    api, deliver, now, category, minutes, more, expected
):
    sent_at = now - timedelta(minutes=minutes, seconds=1)
    priced = {"pricing": {"billable": True, "pricing_model": "PMP", "category": category}}
    code = {"code": 131026} if more == "failed" else {}
    statuses = [status("wamid.C", "sent", sent_at, **priced)]
    statuses += [status("wamid.C", more, sent_at + timedelta(seconds=5), **priced, **code)] if more else []
    deliver(body(*statuses))
    answer = api.get("/v1/messages/wamid.C", role="sender").json
    assert (answer["category"], answer["outcome"]["try_elsewhere"]) == (category, expected)


def test_statuses_of_one_second_keep_their_usual_order(api, deliver, now):
    for name in ("read", "delivered", "sent"):
        deliver(body(status("wamid.A", name, now)))
    events = api.get("/v1/messages/wamid.A").json["events"]
    assert [event["status"] for event in events] == ["sent", "delivered", "read"]


def test_a_failure_has_metas_whole_error_its_meaning_and_advice(api, deliver, now):
    error = {
        "code": 131026,
        "title": "Message undeliverable",
        "message": "Message undeliverable",
        "error_data": {"details": "Receiver is incapable"},
        "href": "https://developers.facebook.com/",
        "odd": [1, None, {"x": 0.5}],
    }
    deliver(body(status("wamid.F", "failed", now, code=131026) | {"errors": [error]}))
    (failure,) = api.get("/v1/messages/wamid.F").json["failures"]
    assert failure["errors"] == [error]
    assert (failure["code"], failure["title"]) == (131026, "Message undeliverable")
    assert failure["details"] == "Receiver is incapable"
    assert failure["meaning"]["failure_class"] == "unreachable"
    assert failure["retry_advice"]["kind"] == failure["meaning"]["retry"]


def test_a_failure_without_a_readable_code_is_explained_too(api, deliver, now):
    deliver(body(status("wamid.F", "failed", now)))
    answer = api.get("/v1/messages/wamid.F").json
    assert answer["events"][0]["code"] is None
    assert answer["failures"][0]["code"] is None
    assert answer["failures"][0]["meaning"]["title"] == "No error code"


def test_a_message_that_failed_on_one_device_and_arrived_on_another_is_both(api, deliver, now):
    deliver(body(status("wamid.B", "failed", now, code=131026)))
    deliver(body(status("wamid.B", "delivered", now + timedelta(seconds=5))))
    outcome = api.get("/v1/messages/wamid.B").json["outcome"]
    assert (outcome["failed"], outcome["reached"]) == (True, True)
    assert (outcome["failed_at"], outcome["delivered_at"]) == (
        utc_text(now),
        utc_text(now + timedelta(seconds=5)),
    )


@pytest.mark.parametrize("name", ["read", "played"])
def test_read_implies_delivered(api, deliver, now, name):
    deliver(body(status("wamid.R", name, now)))
    outcome = api.get("/v1/messages/wamid.R").json["outcome"]
    assert (outcome["reached"], outcome["delivered_at"], outcome["read_at"]) == (
        True,
        utc_text(now),
        utc_text(now),
    )


def test_one_id_on_two_numbers_shows_the_events_of_both(api, deliver, now):
    deliver(body(status("wamid.A", "sent", now)))
    deliver(body(status("wamid.A", "sent", now), number=OTHER_NUMBER))
    events = api.get("/v1/messages/wamid.A").json["events"]
    assert len({event["phone_number_id"] for event in events}) == 2


def test_template_and_campaign_come_from_whichever_webhook_carried_them(api, deliver, now):
    callback = '{"template":"offer","campaign":"autumn"}'
    deliver(body(status("wamid.A", "sent", now, biz_opaque_callback_data=callback)))
    deliver(body(status("wamid.A", "delivered", now - timedelta(seconds=1))))
    answer = api.get("/v1/messages/wamid.A").json
    assert (answer["template"], answer["campaign"], answer["callback_data"]) == ("offer", "autumn", callback)


@pytest.mark.parametrize("message_id", ["wamid.HBgL/MT+IwMjU1==", "a//b", "späß"])
def test_odd_ids_are_found(api, deliver, now, message_id):
    deliver(body(status(message_id, "sent", now)))
    assert api.get(f"/v1/messages/{message_id}").json["message_id"] == message_id


def test_the_newest_events_and_failures_are_listed_with_the_number_of_the_others(api, deliver, now):
    sent = [status("wamid.A", "sent", now - timedelta(seconds=n)) for n in range(1, 900)]
    failed = [status("wamid.A", "failed", now - timedelta(seconds=n), code=1) for n in range(103)]
    deliver(body(*sent, *failed))
    answer = api.get("/v1/messages/wamid.A").json
    assert (len(answer["events"]), answer["events_left_out"]) == (1000, 2)
    assert (len(answer["failures"]), answer["failures_left_out"]) == (100, 3)
    assert answer["events"][-1]["occurred_at"] == answer["failures"][-1]["occurred_at"] == utc_text(now)


def test_an_unknown_message_is_404(api):
    response = api.get("/v1/messages/wamid.unknown")
    assert (response.status_code, response.json["error"]["code"]) == (404, "not_found")


def test_the_reports_of_senders_are_listed(api, deliver, now):
    sent_at = (now - timedelta(seconds=2)).isoformat()
    send = {"contact": "+12025550117", "message_id": "wamid.A", "template": "offer", "sent_at": sent_at}
    api.post("/v1/sends", json={"sends": [send]})
    answer = api.get("/v1/messages/wamid.A", role="sender").json
    assert (answer["contact"], answer["template"], answer["events"]) == ("+12025550117", "offer", [])
    assert answer["outcome"]["sent_at"] is None
    deliver(body(status("wamid.A", "sent", now)))
    answer = api.get("/v1/messages/wamid.A").json
    assert [(call["result"], call["sent_at"]) for call in answer["sends"]] == [
        ("accepted", utc_text(now - timedelta(seconds=2)))
    ]
    assert answer["template"] == "offer"


def test_a_refused_call_shows_its_subcode_and_trace(api):
    error = {"code": 190, "error_subcode": 463, "message": "expired", "fbtrace_id": "AbC"}
    answer = api.post("/v1/sends", json={"sends": [{"contact": "+12025550117", "error": error}]}).json
    found = api.get(f"/v1/messages/{answer['results'][0]['message_id']}").json
    (failure,) = found["failures"]
    assert (failure["source"], failure["subcode"], failure["fbtrace_id"]) == ("send", 463, "AbC")
    assert failure["meaning"]["subcode"] == 463
    assert found["sends"][0]["result"] == "refused"
