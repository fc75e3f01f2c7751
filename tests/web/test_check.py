"""May I write to these? Verdicts in the order asked, with the reason, the end and what they matched on."""

from datetime import timedelta

from tests.factories import NUMBER, body, message, status
from webhook_app.pipeline.suppress import suppress
from webhook_app.rules.suppression import Thresholds
from webhook_app.store import suppressions
from webhook_app.store.suppressions import Suppression

FREE = "+12025550117"
OTHER_NUMBER = "590238114470099"


def check(api, *contacts, **more):
    response = api.post("/v1/check", json={"contacts": list(contacts)} | more, role="sender")
    assert response.status_code == 200, response.text
    return response.json["results"]


def hold(engine, now, **row):
    """Let a suppression stand as a rule or a person would have made it."""
    with engine.begin() as connection:
        suppressions.apply(connection, [Suppression(**({"since": now, "actor": "test"} | row))], [], now)


def test_a_contact_with_nothing_against_it_may_be_written_to(api):
    assert check(api, FREE) == [
        {
            "contact": "+12025550117",
            "input": FREE,
            "allowed": True,
            "verdict": "send",
            "scope": None,
            "reason": None,
            "code": None,
            "since": None,
            "until": None,
            "retry_after": None,
            "matched_on": None,
            "window_open": False,
        }
    ]


def test_a_suppressed_contact_comes_with_reason_code_start_and_end(api, engine, now):
    until = now + timedelta(days=30)
    hold(engine, now, contact="12025550117", reason="unreachable", code=131026, until=until)
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
        "code": 131026,
        "since": now.isoformat().replace("+00:00", "Z"),
        "until": until.isoformat().replace("+00:00", "Z"),
        "matched_on": {"kind": "number", "contact": "+12025550117"},
        "window_open": False,
    }


def test_results_come_in_the_order_asked_repeats_and_all(api, engine, now):
    hold(engine, now, contact="12025550118", reason="hard", code=131021)
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
    hold(engine, now, contact="12025550118")
    held = {"contact": "12025550119", "scope": "marketing", "reason": "unreachable", "code": 131049}
    hold(engine, now, until=now + timedelta(days=1), **held)
    contacts = [FREE, "12025550118", "12025550119", "x"]
    answer = api.post("/v1/check", json={"contacts": contacts})
    assert answer.json["summary"] == {"send": 1, "suppressed": 1, "wait": 1, "invalid": 1}
    assert (answer.json["version"], answer.headers["ETag"]) == (2, '"2"')
    assert answer.json["version"] == api.get("/v1/changes").json["version"]


def test_an_invalid_contact_says_why_in_words(api):
    (result,) = check(api, "0171 5550117")
    assert (result["verdict"], result["allowed"]) == ("invalid", False)
    assert "country code" in result["reason"]
    assert result["contact"] == "0171 5550117"


def test_ten_thousand_contacts_are_answered_and_one_more_is_refused(api, engine, now):
    hold(engine, now, contact="12025550117")
    contacts = [f"1202{n:07d}" for n in range(5540118, 5550118)]
    results = check(api, *contacts)
    assert len(results) == 10_000
    assert [result["contact"] for result in results if not result["allowed"]] == [FREE]
    refused = api.post("/v1/check", json={"contacts": [*contacts, "1"]})
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "bad_body")


def test_what_a_scope_blocks_depends_on_the_category(api, engine, now):
    hold(engine, now, contact="12025550118", scope="marketing", reason="opted_out")
    hold(engine, now, contact="12025550119", scope="all", reason="opted_out")
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


def test_a_typed_stop_lets_replies_through_while_the_window_is_open_unless_all_is_blocked(
    api, make_app, deliver, engine, now, operator
):
    hold(engine, now, contact="12025550119", scope="all", reason="opted_out")
    deliver(body(messages=[message(at=now - timedelta(hours=2), sender="12025550119")]))
    (result,) = check(api, "12025550119", category="service", phone_number_id=NUMBER)
    assert (result["allowed"], result["window_open"]) == (True, True)
    (result,) = check(api, "12025550119", category="service", phone_number_id=OTHER_NUMBER)
    assert (result["allowed"], result["window_open"]) == (False, False)
    strict = make_app(stop_blocks="all").test_client()
    path = f"/v1/check/12025550119?category=service&phone_number_id={NUMBER}"
    assert strict.get(path, headers=operator).json["allowed"] is False


def test_a_window_closes_after_24_hours(api, deliver, now):
    deliver(body(messages=[message("wamid.1", now - timedelta(hours=23, minutes=59), sender="12025550118")]))
    deliver(body(messages=[message("wamid.2", now - timedelta(hours=24, minutes=1), sender="12025550119")]))
    assert [result["window_open"] for result in check(api, "12025550118", "12025550119")] == [True, False]


def test_a_suppression_for_one_number_binds_that_number_and_whoever_names_none(api, engine, now):
    hold(engine, now, contact="12025550117", phone_number_id=NUMBER, reason="hard", code=131021)
    assert check(api, FREE, phone_number_id=NUMBER)[0]["allowed"] is False
    assert check(api, FREE, phone_number_id=OTHER_NUMBER)[0]["allowed"] is True
    assert check(api, FREE)[0]["allowed"] is False


def test_the_strongest_reason_is_named(api, engine, now):
    for reason, code in (("unreachable", 131026), ("hard", 131021), ("manual", -1)):
        hold(engine, now, contact="12025550117", reason=reason, code=code)
    (result,) = check(api, FREE)
    assert (result["reason"], result["code"]) == ("manual", None)


def test_what_has_run_out_blocks_no_more(api, engine, now):
    past = now - timedelta(seconds=1)
    hold(engine, now, contact="12025550117", reason="unreachable", until=past)
    assert check(api, FREE)[0]["verdict"] == "send"


def test_number_variants_of_one_person_match_and_the_answer_says_on_what(api):
    assert api.put("/v1/suppressions/+55 11 8765-4321", json={}).status_code == 200
    old, new = check(api, "551187654321", "+5511987654321")
    assert old["contact"] == new["contact"] == "+5511987654321"
    assert old["matched_on"] == {"kind": "number", "contact": "+551187654321"}
    assert new["matched_on"] == {"kind": "variant", "contact": "+551187654321"}


def test_a_user_id_and_the_number_it_was_seen_with_are_one_person(api, deliver, engine, now):
    deliver(
        body(status(at=now, user_id="US.13491208655302741918", recipient_user_id="US.13491208655302741918"))
    )
    hold(engine, now, contact="12025550117", reason="hard", code=131021)
    by_id, by_number, stranger = check(api, "US.13491208655302741918", FREE, "US.1")
    assert by_id["contact"] == "US.13491208655302741918"
    assert by_id["matched_on"] == {"kind": "linked", "contact": FREE}
    assert by_number["matched_on"] == {"kind": "number", "contact": FREE}
    assert stranger["allowed"] is True


def test_a_user_id_of_its_own_matches_as_itself(api):
    api.put("/v1/suppressions/US.13491208655302741918", json={})
    (result,) = check(api, "us.13491208655302741918")
    assert result["matched_on"] == {"kind": "user_id", "contact": "US.13491208655302741918"}


def test_what_meta_withholds_for_now_is_a_wait_and_only_for_marketing(api, deliver, engine, now):
    deliver(body(status(at=now, status="failed", code=131049)))
    suppress(engine, (), Thresholds(), now)
    (result,) = check(api, FREE, phone_number_id=NUMBER)
    assert (result["verdict"], result["allowed"], result["code"]) == ("wait", False, 131049)
    assert result["scope"] == "marketing"
    assert 86_400 - 120 <= result["retry_after"] <= 86_400
    assert check(api, FREE, phone_number_id=NUMBER, category="utility")[0]["verdict"] == "send"


def test_a_stop_is_answered_from_the_next_run_on(api, deliver, engine, now):
    deliver(body(messages=[message(at=now, text="STOP")]))
    suppress(engine, (), Thresholds(), now)
    (result,) = check(api, FREE, phone_number_id=NUMBER)
    assert (result["verdict"], result["reason"]) == ("suppressed", "opted_out")


def test_one_contact_is_answered_like_one_of_many(api, engine, now):
    hold(engine, now, contact="12025550117", scope="marketing", reason="hard", code=131021)
    for category in (None, "utility"):
        query = f"?category={category}" if category else ""
        one = api.get(f"/v1/check/+1 202 555 0117{query}")
        (many,) = check(api, "+1 202 555 0117", **({"category": category} if category else {}))
        assert one.json == many
        assert one.headers["ETag"] == '"1"'
    assert api.get("/v1/check/nobody").json["verdict"] == "invalid"
