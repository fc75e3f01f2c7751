"""Checks: verdicts in the order asked, with reason, end and the contact they matched."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event

from tests.support.factories import NUMBER, body, handed_over, handover, message, status
from tests.support.reports import report_failed_calls
from tests.support.suppressions import store_suppression
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import alerts
from webhook_app.store.operations import api_keys

FREE = "+12025550117"
OTHER_NUMBER = "590238114470099"


def check(api, *contacts, **more):
    response = api.post("/v1/check", json={"contacts": list(contacts)} | more, role="sender")
    assert response.status_code == 200, response.text
    return response.json["results"]


def test_a_contact_without_suppressions_may_be_messaged(api):
    assert check(api, FREE) == [
        {
            "contact": "+12025550117",
            "input": FREE,
            "allowed": True,
            "verdict": "send",
            "scope": None,
            "reason": None,
            "why": None,
            "code": None,
            "since": None,
            "until": None,
            "retry_after": None,
            "matched_on": None,
            "window_open": False,
            "probe": False,
            "try_elsewhere": False,
            "conversation_owner": None,
        }
    ]


def test_a_suppressed_contact_has_reason_code_start_and_end(api, engine, now):
    until = now + timedelta(days=30)
    store_suppression(engine, now, contact="12025550117", reason="unreachable", code=131026, until=until)
    (result,) = check(api, "+1 (202) 555-0117")
    wait = result.pop("retry_after")
    assert 30 * 86400 - 60 <= wait <= 30 * 86400
    assert result == {
        "contact": "+12025550117",
        "input": "+1 (202) 555-0117",
        "allowed": False,
        "verdict": "suppressed",
        "scope": "all",
        "reason": "unreachable",
        "why": "Several messages on different days could not be delivered.",
        "code": 131026,
        "since": now.isoformat().replace("+00:00", "Z"),
        "until": until.isoformat().replace("+00:00", "Z"),
        "matched_on": {"kind": "number", "contact": "+12025550117"},
        "window_open": False,
        "probe": False,
        "try_elsewhere": True,
        "try_elsewhere_reason": "unreachable",
        "conversation_owner": None,
    }


def test_results_come_in_the_order_asked_with_repeats(api, engine, now):
    store_suppression(engine, now, contact="12025550118", reason="hard", code=131021)
    asked = ["12025550119", "12025550118", "nobody", "12025550119", "+1 202 555 0118", ""]
    results = check(api, *asked)
    assert [result["input"] for result in results] == asked
    verdicts = [result["verdict"] for result in results]
    assert verdicts == ["send", "suppressed", "invalid", "send", "suppressed", "invalid"]
    assert [result["allowed"] for result in results] == [verdict == "send" for verdict in verdicts]


def test_the_summary_counts_the_verdicts_and_the_version_is_the_feeds(api, engine, now):
    empty = api.post("/v1/check", json={"contacts": []})
    assert empty.json["summary"] == {"send": 0, "suppressed": 0, "wait": 0, "invalid": 0}
    assert (empty.json["version"], empty.headers["ETag"]) == (0, '"0"')
    store_suppression(engine, now, contact="12025550118")
    held = {"contact": "12025550119", "scope": "marketing", "reason": "unreachable", "code": 131049}
    store_suppression(engine, now, until=now + timedelta(days=1), **held)
    contacts = [FREE, "12025550118", "12025550119", "x"]
    answer = api.post("/v1/check", json={"contacts": contacts})
    assert answer.json["summary"] == {"send": 1, "suppressed": 1, "wait": 1, "invalid": 1}
    assert (answer.json["version"], answer.headers["ETag"]) == (2, '"2"')
    assert answer.json["version"] == api.get("/v1/changes").json["version"]


def test_an_invalid_contact_has_a_reason_in_words(api):
    (result,) = check(api, "0171 5550117")
    assert (result["verdict"], result["allowed"]) == ("invalid", False)
    assert "country code" in result["reason"]
    assert result["contact"] == "0171 5550117"


def test_ten_thousand_contacts_are_answered_and_one_more_is_refused(api, engine, now):
    store_suppression(engine, now, contact="12025550117")
    contacts = [f"1202{n:07d}" for n in range(5540118, 5550118)]
    results = check(api, *contacts)
    assert len(results) == 10_000
    assert [result["contact"] for result in results if not result["allowed"]] == [FREE]
    refused = api.post("/v1/check", json={"contacts": [*contacts, "1"]})
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "bad_body")


def test_what_a_scope_blocks_depends_on_the_category(api, engine, now):
    store_suppression(engine, now, contact="12025550118", scope="marketing", reason="opted_out")
    store_suppression(engine, now, contact="12025550119", scope="all", reason="opted_out")
    asked = ("12025550118", "12025550119")
    allowed = {
        category: [result["allowed"] for result in check(api, *asked, category=category)]
        for category in ("marketing", "utility", "authentication", "a new one", "MARKETING")
    }
    allowed["none"] = [result["allowed"] for result in check(api, *asked)]
    assert allowed == {
        "marketing": [False, False],
        "utility": [True, False],
        "authentication": [True, True],
        "a new one": [False, False],
        "MARKETING": [False, False],
        "none": [False, False],
    }


def test_a_typed_stop_allows_replies_while_the_window_is_open_unless_all_is_blocked(
    api, make_app, deliver, engine, now, operator
):
    stopped_at = now - timedelta(hours=3)
    store_suppression(engine, now, contact="12025550119", scope="all", reason="opted_out", since=stopped_at)
    deliver(body(messages=[message(at=now - timedelta(hours=2), sender="12025550119")]))
    (result,) = check(api, "12025550119", category="service", phone_number_id=NUMBER)
    assert (result["allowed"], result["window_open"]) == (True, True)
    (result,) = check(api, "12025550119", category="service", phone_number_id=OTHER_NUMBER)
    assert (result["allowed"], result["window_open"]) == (False, False)
    strict = make_app(stop_blocks="all").test_client()
    path = f"/v1/check/12025550119?category=service&phone_number_id={NUMBER}"
    assert strict.get(path, headers=operator).json["allowed"] is False


def test_a_stop_opens_no_window_and_what_the_person_writes_after_it_does(api, deliver, now):
    def answer():
        (result,) = check(api, "12025550119", category="utility", phone_number_id=NUMBER)
        return result["allowed"], result["window_open"]

    def write(serial, minutes, text):
        at = now - timedelta(minutes=minutes)
        deliver(body(messages=[message(f"wamid.{serial}", at, sender="12025550119", text=text)]))

    write("A", 9, "stop")
    assert answer() == (False, False)
    write("B", 10, "where is my order?")  # before the stop
    assert answer() == (False, True)
    write("C", 8, "where is my order?")
    assert answer() == (True, True)
    write("D", 7, "stop")
    assert answer() == (False, True)


def test_a_window_closes_after_24_hours(api, deliver, now):
    deliver(body(messages=[message("wamid.1", now - timedelta(hours=23, minutes=59), sender="12025550118")]))
    deliver(body(messages=[message("wamid.2", now - timedelta(hours=24, minutes=1), sender="12025550119")]))
    assert [result["window_open"] for result in check(api, "12025550118", "12025550119")] == [True, False]


def test_a_suppression_for_one_number_applies_to_checks_of_that_or_of_no_number(api, engine, now):
    store_suppression(engine, now, contact="12025550117", phone_number_id=NUMBER, reason="hard", code=131021)
    assert check(api, FREE, phone_number_id=NUMBER)[0]["allowed"] is False
    assert check(api, FREE, phone_number_id=OTHER_NUMBER)[0]["allowed"] is True
    assert check(api, FREE)[0]["allowed"] is False


def test_the_strongest_reason_is_named(api, engine, now):
    for reason, code in (("unreachable", 131026), ("hard", 131021), ("manual", -1)):
        store_suppression(engine, now, contact="12025550117", reason=reason, code=code)
    (result,) = check(api, FREE)
    assert (result["reason"], result["code"]) == ("manual", None)


def test_an_expired_suppression_blocks_nothing(api, engine, now):
    past = now - timedelta(seconds=1)
    store_suppression(engine, now, contact="12025550117", reason="manual", until=past)
    store_suppression(engine, now, contact="12025550118", reason="unreachable", scope="marketing", until=past)
    assert [result["verdict"] for result in check(api, FREE, "12025550118")] == ["send", "send"]


def test_number_variants_of_one_person_match_and_the_answer_says_which(api):
    assert api.put("/v1/suppressions/+55 11 8765-4321", json={}).status_code == 200
    old, new = check(api, "551187654321", "+5511987654321")
    assert old["contact"] == new["contact"] == "+5511987654321"
    assert old["matched_on"] == {"kind": "number", "contact": "+551187654321"}
    assert new["matched_on"] == {"kind": "variant", "contact": "+551187654321"}


def test_a_user_id_and_the_number_it_was_seen_with_are_one_person(api, deliver, engine, now):
    deliver(
        body(status(at=now, user_id="US.13491208655302741918", recipient_user_id="US.13491208655302741918"))
    )
    store_suppression(engine, now, contact="12025550117", reason="hard", code=131021)
    by_id, by_number, stranger = check(api, "US.13491208655302741918", FREE, "US.1")
    assert by_id["contact"] == "US.13491208655302741918"
    assert by_id["matched_on"] == {"kind": "linked", "contact": FREE}
    assert by_number["matched_on"] == {"kind": "number", "contact": FREE}
    assert stranger["allowed"] is True


def test_a_user_id_of_its_own_matches_as_itself(api):
    api.put("/v1/suppressions/US.13491208655302741918", json={})
    (result,) = check(api, "us.13491208655302741918")
    assert result["matched_on"] == {"kind": "user_id", "contact": "US.13491208655302741918"}


def test_131049_is_a_wait_for_marketing_only(api, deliver, engine, now):
    deliver(body(status(at=now, status="failed", code=131049)))
    suppress(engine, (), Thresholds(), now)
    (result,) = check(api, FREE, phone_number_id=NUMBER)
    assert (result["verdict"], result["allowed"], result["code"]) == ("wait", False, 131049)
    assert result["scope"] == "marketing"
    assert 86_400 - 120 <= result["retry_after"] <= 86_400
    assert check(api, FREE, phone_number_id=NUMBER, category="utility")[0]["verdict"] == "send"


def test_a_stop_counts_from_the_next_run_on(api, deliver, engine, now):
    deliver(body(messages=[message(at=now, text="STOP")]))
    suppress(engine, (), Thresholds(), now)
    (result,) = check(api, FREE, phone_number_id=NUMBER)
    assert (result["verdict"], result["reason"]) == ("suppressed", "opted_out")


def test_one_contact_is_answered_like_one_of_many(api, engine, now):
    store_suppression(engine, now, contact="12025550117", scope="marketing", reason="hard", code=131021)
    for category in (None, "utility"):
        query = f"?category={category}" if category else ""
        one = api.get(f"/v1/check/+1 202 555 0117{query}")
        (many,) = check(api, "+1 202 555 0117", **({"category": category} if category else {}))
        assert one.json == many
    assert api.get("/v1/check/nobody").json["verdict"] == "invalid"


def test_small_and_large_checks_have_the_same_answers(api, deliver, engine, now):
    deliver(
        body(status(at=now, user_id="US.1", recipient_user_id="US.1", recipient_parent_user_id="US.ENT.9"))
    )
    deliver(body(status("wamid.B", at=now, recipient="12025550177", recipient_parent_user_id="US.ENT.9")))
    deliver(body(messages=[message(at=now, sender="12025550119")]))
    store_suppression(engine, now, contact="US.ENT.9", reason="hard", code=131021)
    store_suppression(engine, now, contact="12025550117", reason="manual", phone_number_id=OTHER_NUMBER)
    store_suppression(
        engine, now, contact="12025550118", reason="unreachable", scope="marketing", code=131049
    )
    asked = ["US.1", "12025550117", "12025550177", "US.ENT.9", "12025550118", "12025550119", "US.2"]
    for number in (NUMBER, None):
        few = check(api, *asked, **({"phone_number_id": number} if number else {}))
        strangers = [f"4420794600{n:02}" for n in range(60)]
        many = check(api, *asked, *strangers, **({"phone_number_id": number} if number else {}))
        assert few == many[: len(asked)]
        assert [result["reason"] for result in few[:4]] == ["manual" if number is None else "hard"] * 4
        assert [result["window_open"] for result in few] == [False] * 5 + [True, False]


# The probe


def half_open(engine, now, contact="12025550117", **more):
    row = {"contact": contact, "phone_number_id": NUMBER, "reason": "unreachable", "code": 131026}
    store_suppression(engine, now, until=now - timedelta(hours=1), **(row | more))


@pytest.mark.parametrize("by_the_scheduler", [False, True])
def test_after_the_end_the_first_caller_may_send_and_the_others_wait(api, engine, now, by_the_scheduler):
    half_open(engine, now)
    if by_the_scheduler:
        assert suppress(engine, (), Thresholds(), now).half_opened == 1
    (first,) = check(api, FREE, phone_number_id=NUMBER)
    (second,) = check(api, FREE)
    assert (first["verdict"], first["allowed"], first["probe"]) == ("send", True, True)
    assert (second["verdict"], second["allowed"], second["probe"]) == ("wait", False, False)
    assert 86_400 - 60 <= second["retry_after"] <= 86_400
    assert "decides" in second["why"]


def test_only_one_in_a_request_and_one_of_concurrent_requests_claims_the_probe(api, engine, now, app, keys):
    half_open(engine, now)
    half_open(engine, now, contact="12025550118")
    assert [r["verdict"] for r in check(api, FREE, FREE, FREE)] == ["send", "wait", "wait"]

    def ask(_):
        headers = {"Authorization": f"Bearer {keys['sender']}"}
        asked = {"contacts": ["12025550118"]}
        return app.test_client().post("/v1/check", json=asked, headers=headers).json["results"][0]["verdict"]

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(ask, range(8))) == ["send", *["wait"] * 7]


def test_a_check_without_probe_claims_none(api, engine, now):
    half_open(engine, now)
    for _ in range(2):
        assert check(api, FREE, probe=False)[0]["verdict"] == "send"
    assert check(api, FREE)[0]["probe"] is True
    assert check(api, FREE, probe=False)[0]["verdict"] == "wait"


def test_a_check_with_a_viewers_key_claims_none(api, engine, now):
    half_open(engine, now)
    (seen,) = api.post("/v1/check", role="viewer", json={"contacts": [FREE]}).json["results"]
    again = api.get(f"/v1/check/{FREE}", role="viewer").json
    (claimed,) = check(api, FREE)
    assert [each["verdict"] for each in (seen, again, claimed)] == ["send"] * 3


def test_an_unused_probe_can_be_claimed_again_after_a_day(api, engine, now):
    past = now - timedelta(hours=25)
    half_open(engine, now, probe_until=past + timedelta(hours=24))
    assert check(api, FREE)[0]["probe"] is True


def test_a_contact_blocked_for_another_reason_uses_no_probe(api, engine, now):
    half_open(engine, now)
    store_suppression(engine, now, contact="12025550117", reason="opted_out")
    assert check(api, FREE)[0]["reason"] == "opted_out"
    assert check(api, FREE, category="authentication")[0]["probe"] is True


def test_the_outcome_of_the_probe_decides(api, deliver, engine, now):
    half_open(engine, now - timedelta(days=31))
    check(api, FREE, phone_number_id=NUMBER)
    deliver(body(status("wamid.probe", "delivered", now)))
    suppress(engine, (), Thresholds(), now)
    assert check(api, FREE, FREE)[1]["verdict"] == "send"


# Pause, phone formats, what is unchanged, and what to do without a database


def alarm(engine, now, code=131042, group=None, state="firing", kind="attention", **more):
    row = alerts.Alert(
        rule="account",
        kind=kind,
        severity="critical",
        state=state,
        group=group or {"code": code},
        codes=[code],
        covers_from=now,
        started_at=now,
        evaluated_at=now,
        **more,
    )
    with engine.begin() as connection:
        return alerts.insert_new(connection, row)


def test_while_the_account_cannot_send_checks_answer_wait_if_enabled(api, make_app, engine, now, operator):
    alert_id = alarm(engine, now)
    store_suppression(engine, now, contact="12025550118", reason="manual")
    pause = api.get("/v1/pause", role="sender").json
    assert (pause["paused"], pause["enforced"]) == (True, False)
    assert [(r["alert_id"], r["code"]) for r in pause["reasons"]] == [(alert_id, 131042)]
    assert check(api, FREE)[0]["verdict"] == "send"
    strict = make_app(pause_senders="on").test_client()
    assert strict.get("/v1/pause", headers=operator).json["enforced"] is True
    asked = {"contacts": [FREE, "12025550118", "x"]}
    results = strict.post("/v1/check", json=asked, headers=operator).json["results"]
    assert [r["verdict"] for r in results] == ["wait", "suppressed", "invalid"]
    assert (results[0]["reason"], results[0]["code"], results[0]["retry_after"]) == ("paused", 131042, 60)
    assert f"alert {alert_id}" in results[0]["why"]


@pytest.mark.parametrize("others", ["none", "webhook", "second key", "second key two hours ago"])
def test_failed_calls_of_one_key_pause_no_other_sender(api, make_app, engine, now, others):
    begun = now - timedelta(hours=2)
    alarm(engine, begun, code=131031, webhook_codes=[131031] if others == "webhook" else [])
    report_failed_calls(engine, 2, now, 131031, key="rival")
    if others.startswith("second key"):
        report_failed_calls(engine, 1, begun if "ago" in others else now, 131031, key="third")
    app, paused = make_app(pause_senders="on").test_client(), {}
    for name in ("rival", "shop"):
        with engine.begin() as connection:
            headers = {"Authorization": f"Bearer {api_keys.create(connection, name, 'sender', now).secret}"}
        is_paused = app.get("/v1/pause", headers=headers).json["paused"]
        paused[name] = (is_paused, app.get(f"/v1/check/{FREE}", headers=headers).json["verdict"] == "wait")
    is_confirmed = others in ("webhook", "second key")
    assert paused == {"rival": (True, True), "shop": (is_confirmed, is_confirmed)}
    assert api.get("/v1/pause").json["paused"], "operators see what any key says"


def test_pauses_that_only_reports_show_are_looked_up_together_and_their_calls_once(
    api, make_app, engine, now
):
    numbers = [f"made up {place}" for place in range(3)]
    for number in numbers:
        alarm(engine, now, code=190, group={"code": 190, "phone_number_id": number}, webhook_codes=[])
        report_failed_calls(engine, 1, now, 190, number=number, key="rival")
    report_failed_calls(engine, 1, now, 190, number=numbers[2], key="third")
    with engine.begin() as connection:
        headers = {"Authorization": f"Bearer {api_keys.create(connection, 'shop', 'sender', now).secret}"}
    app, read = make_app(pause_senders="on").test_client(), []

    def count(_connection, _cursor, statement, *_):
        read.append("RECURSIVE keys" in statement)

    event.listen(Engine, "before_cursor_execute", count)
    try:
        pause = app.get("/v1/pause", headers=headers).json
        checked = app.get(f"/v1/check/{FREE}", headers=headers).json
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    assert [each["phone_number_id"] for each in pause["reasons"]] == [numbers[2]]
    assert checked["verdict"] == "wait"
    assert sum(read) == 1


@pytest.mark.parametrize("webhooks", [0, 5])
def test_made_up_failed_calls_neither_make_nor_lift_a_pause_of_other_senders(
    api, engine, now, traffic, webhooks
):
    rules = [rule for rule in parse_rules(default_rules_text()) if rule.kind == "attention"]
    if webhooks:
        traffic.failed(webhooks, now - timedelta(minutes=1), 190)
    evaluate(engine, rules, now)
    report_failed_calls(engine, 300, now - timedelta(minutes=5), 190, key="rival")
    for seconds in (15, 30, 45):
        evaluate(engine, rules, now + timedelta(seconds=seconds))
    assert api.get("/v1/pause").json["paused"]
    assert api.get("/v1/pause", role="sender").json["paused"] is bool(webhooks)


def test_an_incident_of_many_numbers_that_a_key_reports_pauses_its_own_sends_at_each_of_them(
    api, engine, now
):
    rules = [rule for rule in parse_rules(default_rules_text()) if rule.kind == "attention"]
    for number in (NUMBER, OTHER_NUMBER, "made up"):
        report_failed_calls(engine, 1, now, 190, number=number, key="rival")
    evaluate(engine, rules, now + timedelta(seconds=5))
    paused = {}
    with engine.begin() as connection:
        keys = {key: api_keys.create(connection, key, "sender", now).secret for key in ("rival", "shop")}
    for key, secret in keys.items():
        for number in (NUMBER, OTHER_NUMBER, "not named"):
            path, headers = f"/v1/pause?phone_number_id={number}", {"Authorization": f"Bearer {secret}"}
            paused[key, number] = api.client.get(path, headers=headers).json["paused"]
    assert len(api.get("/v1/incidents").json["incidents"]) == 1
    assert {place for place, is_paused in paused.items() if is_paused} == {
        ("rival", NUMBER),
        ("rival", OTHER_NUMBER),
    }


def test_a_pause_of_one_number_does_not_affect_others(api, engine, now):
    alarm(engine, now, group={"code": 131042, "phone_number_id": NUMBER})
    alarm(engine, now, code=131026)
    alarm(engine, now, code=190, state="pending")
    alarm(engine, now, code=0, kind="rate")
    assert api.get(f"/v1/pause?phone_number_id={NUMBER}").json["paused"] is True
    assert api.get(f"/v1/pause?phone_number_id={OTHER_NUMBER}").json["paused"] is False
    assert len(api.get("/v1/pause").json["reasons"]) == 1


def test_numbers_as_people_dial_them_are_understood_with_a_region(api, make_app, engine, now, operator):
    store_suppression(engine, now, contact="491715550117")
    asked = ["0171 5550117", "0049 171 5550117", "+49 (0)171 5550117", "491715550117", "+1 202 555 0117"]
    results = check(api, *asked, region="de")
    assert [r["verdict"] for r in results] == ["suppressed"] * 4 + ["send"]
    german = make_app(default_region="DE").test_client()
    assert german.get("/v1/check/01715550117", headers=operator).json["verdict"] == "suppressed"
    assert german.get("/v1/check/02025550117?region=US", headers=operator).json["verdict"] == "invalid"
    assert api.get("/v1/check/1?region=QX").json["error"]["code"] == "bad_region"


def test_an_unchanged_answer_is_304(api, engine, now):
    store_suppression(engine, now, contact="12025550117", until=now + timedelta(days=1))
    first = api.get("/v1/check/12025550117")
    headers = {"Authorization": f"Bearer {api.keys['sender']}", "If-None-Match": first.headers["ETag"]}
    assert api.client.get("/v1/check/12025550117", headers=headers).status_code == 304
    store_suppression(engine, now, contact="12025550118")
    assert api.client.get("/v1/check/12025550117", headers=headers).status_code == 304
    store_suppression(engine, now, contact="12025550117", reason="opted_out")
    assert api.client.get("/v1/check/12025550117", headers=headers).json["reason"] == "opted_out"


def test_without_a_database_checks_are_refused_or_allowed_as_configured(make_app, operator):
    away = "postgresql://127.0.0.1:1/nowhere"
    for path, send in (("/v1/check/12025550117", "get"), ("/v1/check", "post")):
        more = {"json": {"contacts": [FREE, "x"]}} if send == "post" else {}
        refusing = getattr(make_app(database_url=away).test_client(), send)(path, headers=operator, **more)
        assert (refusing.status_code, refusing.json["error"]["code"]) == (503, "database_away")
        allowing = make_app(database_url=away, check_when_away="allow").test_client()
        answer = getattr(allowing, send)(path, headers=operator, **more)
        assert answer.status_code == 200
        if send == "post":
            assert [r["verdict"] for r in answer.json["results"]] == ["send", "invalid"]
            assert answer.json["version"] is None


@pytest.mark.parametrize(("kind", "is_you"), [("control_passed", True), ("control_taken", False)])
def test_a_check_of_a_number_names_the_owner_of_the_conversation(api, deliver, now, kind, is_you):
    at = now - timedelta(hours=1)
    deliver(handed_over(handover(kind, at, role="escalation")))
    owner = {"is_you": is_you, "role": "escalation", "since": at.isoformat().replace("+00:00", "Z")}
    found, invalid, other = check(api, FREE, "nobody", "12025550118", phone_number_id=NUMBER)
    assert (found["verdict"], found["conversation_owner"]) == ("send", owner)
    assert (invalid["conversation_owner"], other["conversation_owner"]) == (None, None)
    alone = api.get(f"/v1/check/{FREE}?phone_number_id={NUMBER}", role="sender")
    assert alone.json["conversation_owner"] == owner
    for more in ({}, {"phone_number_id": OTHER_NUMBER}):
        assert check(api, FREE, **more)[0]["conversation_owner"] is None


def test_an_owner_whose_role_meta_does_not_name_has_none(api, deliver, now):
    deliver(handed_over(handover(at=now)))
    (found,) = check(api, FREE, phone_number_id=NUMBER)
    assert found["conversation_owner"]["role"] is None
