"""What a sender's key can do to others is bounded: no opt-outs, evidence only for known messages, a cap, an undo."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.sends.reports import register
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.operations import api_keys
from webhook_app.store.suppressions import reported_failures
from webhook_app.web.api.sends import sends
from webhook_app.web.api.sends.send_items import parse_send

CONTACT = "12025550117"
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
UNREACHABLE, STOPPED, BLOCKED, WITHHELD = 131026, 131050, 130403, 131049


@pytest.fixture
def report(api, engine, now):
    """Reports sends with the key of this name."""

    def post(*sends, key="sender"):
        if key not in api.keys:
            with engine.begin() as connection:
                api.keys[key] = api_keys.create(connection, key, "sender", now).secret
        answer = api.post("/v1/sends", json={"sends": list(sends)}, role=key)
        assert answer.status_code == 200, answer.text
        return answer.json

    return post


def accepted(message_id, contact=CONTACT, **more):
    return {"contact": contact, "phone_number_id": NUMBER, "message_id": message_id} | more


def failed(code, contact=CONTACT, **more):
    return {"contact": contact, "phone_number_id": NUMBER, "error": {"code": code, "message": "no"}} | more


def report_failures(report, now, code, contact=CONTACT, *, days=(0,), key="sender", **more):
    """Accepted and failed by the same key, each failure reported when it happened."""
    for age in days:
        sent = {
            "message_id": f"wamid.{contact}.{code}.{age}",
            "sent_at": (now - age * DAY).isoformat(),
        } | more
        report(accepted(contact=contact, **sent), failed(code, contact, **sent), key=key)


def verdict(api, contact=CONTACT, **more):
    result = api.post("/v1/check", json={"contacts": [contact]} | more, role="sender").json["results"][0]
    return result["verdict"], result["reason"]


def failures_in_rates(api):
    """Of the last day, whatever their class."""
    classes = api.get("/v1/rates", query_string={"window_minutes": 1440}).json["classes"]
    return sum(classes.values())


def run(engine, now, **more):
    return suppress(engine, (), Thresholds(), now, **more)


def test_reported_opt_outs_opt_nobody_out(api, report, engine, now):
    contacts = [f"1202555{place:04}" for place in range(1000)]
    report(*(failed(STOPPED, contact) for contact in contacts))
    report_failures(report, now, STOPPED)
    run(engine, now)
    answer = api.post("/v1/check", json={"contacts": [CONTACT, *contacts]}, role="sender").json
    assert answer["summary"]["send"] == 1001
    assert failures_in_rates(api) == 1001


def test_a_reported_opt_out_of_a_message_that_meta_named_opts_nobody_out(api, report, deliver, engine, now):
    deliver(body(status("wamid.A", "sent", now, recipient=CONTACT)))
    report(failed(STOPPED, message_id="wamid.A"))
    run(engine, now)
    assert verdict(api) == ("send", None)


def test_an_opt_out_that_meta_reports_counts(api, report, deliver, engine, now):
    report(accepted("wamid.A"), failed(STOPPED, message_id="wamid.A"))
    run(engine, now)
    deliver(body(status("wamid.A", "failed", now, recipient=CONTACT, code=STOPPED)))
    run(engine, now)
    assert verdict(api, category="marketing") == ("suppressed", "opted_out")


@pytest.mark.parametrize("code", [UNREACHABLE, BLOCKED, WITHHELD])
def test_failed_calls_without_a_message_suppress_nobody_but_count_in_rates(api, report, engine, now, code):
    report(*(failed(code, sent_at=(now - age * DAY).isoformat()) for age in (0, 1.5, 2, 3)))
    report(*(failed(code, sent_at=(now - age * HOUR).isoformat()) for age in (1, 2)))
    run(engine, now)
    assert verdict(api) == ("send", None)
    assert failures_in_rates(api) == 3


def test_backdated_failures_suppress_nobody_even_of_accepted_messages(api, report, engine, now):
    report_failures(report, now, UNREACHABLE, days=(1.5, 2, 3, 4))
    run(engine, now)
    assert verdict(api) == ("send", None)


def test_failures_of_messages_that_another_key_sent_are_no_evidence(api, report, engine, now):
    report(accepted("wamid.A"), key="shop")
    report(failed(BLOCKED, message_id="wamid.A"), key="rival")
    run(engine, now)
    assert verdict(api) == ("send", None)


@pytest.mark.parametrize("order", ["accepted first", "failed first", "suppressed in between"])
def test_a_failure_of_a_message_that_the_key_sent_is_evidence_and_names_the_key(
    api, report, engine, now, order
):
    reports = [accepted("wamid.A"), failed(BLOCKED, message_id="wamid.A")]
    for each in reports if order == "accepted first" else reversed(reports):
        report(each, key="shop")
        if order == "suppressed in between":
            run(engine, now)
    run(engine, now)
    assert verdict(api) == ("suppressed", "hard")
    held = api.get(f"/v1/suppressions/{CONTACT}").json
    assert [each["reported_by"] for each in held["suppressions"][0]["evidence"]] == ["shop"]
    assert [each["reported_by"] for each in held["history"][0]["evidence"]] == ["shop"]


@pytest.mark.parametrize("order", ["webhook first", "report first"])
def test_a_failure_of_a_message_that_meta_named_for_that_contact_is_evidence(
    api, report, deliver, engine, now, order
):
    def of_meta():
        deliver(body(status("wamid.A", "sent", now, recipient=CONTACT)))

    if order == "webhook first":
        of_meta()
    report(failed(BLOCKED, message_id="wamid.A"))
    run(engine, now)
    if order == "report first":
        assert verdict(api) == ("send", None)
        of_meta()
        run(engine, now)
    assert verdict(api) == ("suppressed", "hard")


def test_a_message_that_meta_named_for_somebody_else_is_no_evidence(api, report, deliver, engine, now):
    deliver(body(status("wamid.A", "sent", now, recipient="12025550118")))
    report(failed(BLOCKED, message_id="wamid.A"))
    run(engine, now)
    assert verdict(api) == ("send", None)


def test_unreachable_needs_failures_of_several_real_days(api, engine, now):
    for day in (3, 2, 1, 0):
        at, message_id = now - day * DAY, f"wamid.{day}"
        items = [
            accepted(message_id, sent_at=at.isoformat()),
            failed(UNREACHABLE, message_id=message_id, sent_at=at.isoformat()),
        ]
        found = [parse_send(item, at)[0] for item in items]
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            register(connection, found, at, reported_by="sender")
    run(engine, now)
    assert verdict(api) == ("suppressed", "unreachable")


@pytest.mark.parametrize("code", [UNREACHABLE, BLOCKED, WITHHELD])
def test_a_report_without_a_business_number_suppresses_nobody_on_any_number(api, report, engine, now, code):
    report_failures(report, now, code, phone_number_id="")
    run(engine, now)
    assert verdict(api, phone_number_id=NUMBER) == ("send", None)
    assert failures_in_rates(api) == 1


def test_a_failed_call_is_taken_for_a_day_and_an_accepted_one_for_longer(api, report, now):
    at = {age: (now - age * HOUR).isoformat() for age in (23.9, 24.1, 240)}
    answer = report(*(failed(BLOCKED, sent_at=sent_at) for sent_at in at.values()))
    assert [each["result"] for each in answer["results"]] == ["stored", "invalid", "invalid"]
    assert answer["results"][1]["reason"] == (
        "sent_at: more than a day ago; a failed call can be reported for a day"
    )
    assert failures_in_rates(api) == 1
    assert report(accepted("wamid.A", sent_at=at[240]))["summary"]["stored"] == 1


def test_a_key_s_reports_suppress_no_more_than_its_hourly_cap(api, report, engine, now):
    contacts = [f"1202555{place:04}" for place in range(30)]
    for contact in contacts:
        report_failures(report, now, BLOCKED, contact, key="rival")
    report_failures(report, now, BLOCKED, "12025559999", key="shop")

    def suppressed():
        return api.post("/v1/check", json={"contacts": contacts}, role="sender").json["summary"]["suppressed"]

    assert run(engine, now, key_hourly_cap=10).suppressed == 11
    assert suppressed() == 10
    assert verdict(api, "12025559999") == ("suppressed", "hard")
    assert run(engine, now + timedelta(minutes=30), key_hourly_cap=10).suppressed == 0
    assert run(engine, now + timedelta(minutes=61), key_hourly_cap=10).suppressed == 10
    assert suppressed() == 20


def test_suppressions_by_a_key_are_undone_by_key_and_time_for_good(api, report, engine, now):
    for place, key in enumerate(("rival", "rival", "shop")):
        report_failures(report, now, BLOCKED, f"1202555010{place}", key=key)
    run(engine, now)
    span = {"since": (now - HOUR).isoformat(), "until": (now + HOUR).isoformat()}
    before = api.post(
        "/v1/suppressions/undo", json={"key": "rival", "until": span["since"]} | {"since": span["since"]}
    )
    assert before.json["results"] == []
    answer = api.post("/v1/suppressions/undo", json={"key": "rival", **span, "note": "wrong error"}).json
    assert [each["result"] for each in answer["results"]] == ["lifted", "lifted"]
    assert answer["batch"].startswith("undo:key:")
    for later in (now, now + DAY):
        run(engine, later)
        assert [verdict(api, f"1202555010{place}")[0] for place in range(3)] == ["send", "send", "suppressed"]
    assert api.post("/v1/suppressions/undo", json={"key": "rival", **span}).json["results"] == []


def test_an_undo_by_key_takes_many_reports_in_batches_and_leaves_out_calls_that_no_message_had(
    api, report, engine, now, monkeypatch
):
    monkeypatch.setattr(reported_failures, "_BATCH", 1)
    for place in range(3):
        report_failures(report, now, BLOCKED, f"1202555010{place}", key="rival")
        report(failed(BLOCKED, f"1202555010{place}"), key="rival")
    run(engine, now)
    undone = api.post("/v1/suppressions/undo", json={"key": "rival", "since": (now - HOUR).isoformat()}).json
    assert [each["result"] for each in undone["results"]] == ["lifted"] * 3
    with engine.connect() as connection:
        explained = connection.execute(
            text("SELECT explained_by IS NULL, count(*) FROM failures GROUP BY 1")
        ).all()
    assert dict(map(tuple, explained)) == {True: 3, False: 3}


@pytest.mark.parametrize("wrong", [{"key": "x"}, {"key": "x", "since": "2026-01-01T00:00:00Z", "batch": "b"},
                                   {"since": "2026-01-01T00:00:00Z"}])  # fmt: skip
def test_an_undo_names_one_target_and_a_key_with_its_span(api, wrong):
    assert api.post("/v1/suppressions/undo", json=wrong).status_code == 400


@pytest.mark.parametrize("as_failure", [False, True])
@pytest.mark.parametrize("number", ["", NUMBER])
def test_another_key_cannot_describe_a_message_that_a_first_key_reported(
    api, report, deliver, engine, now, as_failure, number
):
    report(accepted("wamid.A", template="offer", phone_number_id=""), key="shop")
    false = {"template": "zzz", "campaign": "zzz", "category": "marketing", "contact": "12025550118"}
    theirs = failed(131000) if as_failure else {}
    report(accepted("wamid.A") | theirs | false | {"phone_number_id": number}, key="rival")
    deliver(body(status("wamid.A", "sent", now, recipient="", recipient_user_id="US.7041abc")))
    report(accepted("wamid.A") | theirs | false | {"phone_number_id": number}, key="rival")
    found = api.get("/v1/messages/wamid.A").json
    assert (found["template"], found["campaign"], found["category"]) == ("offer", "", "")
    assert api.get("/v1/contacts/US.7041abc").json["keys"] == ["US.7041abc"]


def test_the_first_key_may_complete_its_own_report(api, report, deliver, now):
    report(accepted("wamid.A", template="offer"), key="shop")
    report(accepted("wamid.A", campaign="autumn"), key="shop")
    deliver(body(status("wamid.A", "sent", now, recipient=CONTACT)))
    found = api.get("/v1/messages/wamid.A").json
    assert (found["template"], found["campaign"]) == ("offer", "autumn")


def test_a_message_s_reports_name_their_key(api, report):
    report(accepted("wamid.A"), key="shop")
    (sent,) = api.get("/v1/messages/wamid.A").json["sends"]
    assert sent["reported_by"] == "shop"


def test_a_key_that_reported_very_many_failed_calls_in_an_hour_waits_and_no_other_does(
    api, report, engine, monkeypatch
):
    monkeypatch.setattr(sends, "MAX_FAILED_PER_HOUR", 3)
    report(*(failed(UNREACHABLE, f"1202555011{n}") for n in range(4)))
    refused = api.post("/v1/sends", json={"sends": [accepted("wamid.1"), failed(UNREACHABLE)]}, role="sender")
    assert (refused.status_code, refused.json["error"]["code"]) == (429, "too_many_failed_calls")
    assert refused.headers["Retry-After"] == "60"
    report(accepted("wamid.1"))
    report(failed(UNREACHABLE), key="other")
    with engine.begin() as connection:
        connection.execute(text("UPDATE sends SET registered_at = registered_at - interval '1 hour'"))
    assert report(failed(UNREACHABLE, "12025550190"))["summary"]["stored"] == 1
