"""Senders claim failed messages and report the outcome. The leases themselves are tested in tests/pipeline/sends."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, text

from tests.support.factories import NUMBER
from tests.support.incidents import store_incident
from tests.support.reports import report_failed_calls
from tests.support.suppressions import store_suppression
from webhook_app.store.operations import api_keys
from webhook_app.store.sends.retries import try_lock_claim

RATE_LIMIT = 130429
CONTACT = "12025550117"
AGO = timedelta(seconds=10)


@pytest.fixture
def fail(traffic, now):
    def store(code=RATE_LIMIT, **more):
        (message_id,) = traffic.failed(1, now - AGO, code, **({"recipient": CONTACT} | more))
        return message_id

    return store


@pytest.fixture
def claim(api):
    def post(role="sender", **body):
        return api.post("/v1/retries/claim", json=body, role=role).json

    return post


@pytest.fixture
def report(api):
    def post(retry, status=200, **body):
        answer = api.post(f"/v1/retries/{retry['id']}", json={"lease": retry["lease"]} | body, role="sender")
        assert answer.status_code == status, answer.text
        return answer.json

    return post


def test_a_sender_claims_a_failure_and_reports_the_new_message(api, fail, claim, report):
    failed = fail(template="offer")
    (retry,) = claim(phone_number_id=NUMBER, template="offer", lease_seconds=600)["retries"]
    assert (retry["message_id"], retry["contact"], retry["attempt"]) == (failed, f"+{CONTACT}", 1)
    assert (retry["code"], retry["callback_data"]) == (RATE_LIMIT, '{"template": "offer"}')
    assert claim()["retries"] == []
    found = report(retry, outcome="sent", message_id="wamid.B")
    assert found == {
        "id": retry["id"],
        "message_id": failed,
        "state": "sent",
        "reason": "",
        "attempts": 1,
        "due_at": None,
        "sent_message_id": "wamid.B",
    }
    assert report(retry, outcome="sent", message_id="wamid.B") == found
    assert report(retry, 409, outcome="gave_up")["error"]["code"] == "lease_lost"
    timeline = api.get("/v1/messages/wamid.B").json
    assert timeline["contact"] == f"+{CONTACT}", "the report counts as one of POST /v1/sends"


def test_a_failed_call_is_reported_with_meta_s_error(api, fail, claim, report):
    fail()
    answer = claim()
    found = report(answer["retries"][0], outcome="failed", error={"error": {"code": 4, "message": "limit"}})
    assert (found["state"], found["attempts"]) == ("waiting", 1)
    assert claim()["next_due_at"] == found["due_at"]
    codes = {each["code"] for each in api.get("/v1/failures").json["failures"]}
    assert codes == {RATE_LIMIT, 4}


@pytest.mark.parametrize(
    "body",
    [
        {"outcome": "sent"},
        {"outcome": "failed"},
        {"outcome": "gave_up", "message_id": "wamid.B"},
        {"outcome": "sent", "message_id": "send:retry:1:1"},
        {"outcome": "sent", "message_id": "x" * 600},
        {"outcome": "failed", "error": {"neither": "code nor message"}},
        {"outcome": "lost"},
    ],
)
def test_an_outcome_that_lacks_something_is_refused(fail, claim, report, body):
    fail()
    (retry,) = claim()["retries"]
    report(retry, 400, **body)
    assert report(retry, outcome="gave_up")["reason"] == "gave_up"


def test_a_made_up_retry_or_lease_is_refused(fail, claim, report):
    report({"id": 7, "lease": "ab"}, 404, outcome="gave_up")
    fail()
    (retry,) = claim()["retries"]
    report(retry | {"lease": "ab"}, 409, outcome="gave_up")


def test_a_contact_who_opted_out_is_never_leased(api, fail, claim, engine, now):
    failed = fail()
    other = fail(recipient="12025550118")
    store_suppression(engine, now, contact=CONTACT, reason="opted_out")
    assert [each["message_id"] for each in claim()["retries"]] == [other]
    with engine.connect() as connection:
        dead = connection.execute(
            text("SELECT message_id, reason, why FROM retries WHERE state = 'dead'")
        ).one()
    assert (dead.message_id, dead.reason) == (failed, "suppressed")
    assert dead.why


def test_a_pause_of_marketing_holds_back_no_other_message_and_ends_by_itself(api, fail, claim, engine, now):
    store_suppression(
        engine,
        now,
        contact=CONTACT,
        scope="marketing",
        reason="unreachable",
        code=131049,
        until=now + AGO * 60,
    )
    utility = fail()
    send = {"contact": CONTACT, "phone_number_id": NUMBER, "message_id": utility, "category": "utility"}
    api.post("/v1/sends", json={"sends": [send]}, role="sender")
    fail()
    answer = claim()
    assert [each["message_id"] for each in answer["retries"]] == [utility]
    assert answer["next_due_at"] > f"{now + timedelta(minutes=2):%Y-%m-%dT%H:%M}"
    with engine.connect() as connection:
        states = connection.execute(text("SELECT state FROM retries ORDER BY state")).scalars().all()
    assert states == ["leased", "waiting"]


def test_failures_of_an_open_incident_wait(fail, claim, engine, now):
    fail()
    other = fail(number="2222")
    group = {"code": RATE_LIMIT, "phone_number_id": NUMBER}
    store_incident(engine, now, {"group": group, "codes": [RATE_LIMIT]}, codes=[RATE_LIMIT])
    assert [each["message_id"] for each in claim()["retries"]] == [other]


def open_incident(engine, now, webhook_codes, **more):
    """An incident about the rate limit at one number. `webhook_codes`: those for which webhooks alone show it."""
    alert = {"group": {"code": RATE_LIMIT, "phone_number_id": NUMBER}, "codes": [RATE_LIMIT]} | more
    store_incident(
        engine, now, alert | {"webhook_codes": webhook_codes}, codes=[RATE_LIMIT], began_at=now - AGO
    )


@pytest.mark.parametrize("number", [NUMBER, "2222"])
def test_failed_calls_that_other_keys_make_up_release_no_retry_that_webhooks_hold(
    fail, claim, engine, now, number
):
    fail()
    open_incident(engine, now, [RATE_LIMIT])
    report_failed_calls(engine, 20, now, RATE_LIMIT, key="rival", number=number)
    assert claim()["retries"] == []


@pytest.mark.parametrize("since", [None, AGO], ids=["never shown by webhooks", "no longer shown by webhooks"])
def test_failed_calls_that_other_keys_make_up_hold_no_retry(fail, claim, engine, now, since):
    mine = fail()
    report_failed_calls(engine, 20, now, RATE_LIMIT, key="rival")
    report_failed_calls(engine, 9, now - AGO, RATE_LIMIT, key="sender")
    open_incident(engine, now, [RATE_LIMIT] if since else [], webhooks_until=now - since if since else None)
    assert mine in [each["message_id"] for each in claim()["retries"]]


def test_silence_in_an_incident_that_keys_make_up_holds_no_retry(fail, claim, engine, now):
    mine = fail()
    group = {"code": RATE_LIMIT, "phone_number_id": NUMBER}
    made_up = {"group": group, "codes": [RATE_LIMIT], "webhook_codes": []}
    silence = {"kind": "silence", "rule": "no-webhooks", "group": {"phone_number_id": NUMBER}, "codes": []}
    store_incident(engine, now, made_up, silence, codes=[RATE_LIMIT], began_at=now - AGO)
    assert [each["message_id"] for each in claim()["retries"]] == [mine]


def test_failed_calls_of_the_key_itself_hold_its_retries(fail, claim, engine, now):
    fail()
    report_failed_calls(engine, 20, now, RATE_LIMIT, key="rival")
    report_failed_calls(engine, 10, now - AGO, RATE_LIMIT, key="sender")
    open_incident(engine, now, [])
    assert claim()["retries"] == []


def test_a_claim_asks_about_all_open_incidents_at_once(claim, engine, now):
    statements = []

    def claimed():
        statements.clear()
        event.listen(Engine, "before_cursor_execute", count)
        claim()
        event.remove(Engine, "before_cursor_execute", count)
        return len(statements)

    def count(_connection, _cursor, statement, *_):
        statements.append(statement)

    for place in range(20):
        group = {"code": RATE_LIMIT, "phone_number_id": f"made up {place}"}
        member = {"group": group, "codes": [RATE_LIMIT], "webhook_codes": []}
        store_incident(engine, now, member, codes=[RATE_LIMIT])
        if place == 0:
            one = claimed()
    assert 0 < claimed() <= one


def test_each_lease_names_its_key_and_a_claim_can_be_repeated(api, fail, claim, engine, now):
    with engine.begin() as connection:
        api.keys["shop"] = api_keys.create(connection, "shop", "sender", now).secret
    fail()
    first = claim(role="shop", claim_id="a-1")["retries"]
    assert claim(role="shop", claim_id="a-1")["retries"] == first
    assert claim(claim_id="a-1")["retries"] == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT leased_by FROM retries")).scalar_one() == "shop"


def test_a_claim_that_is_repeated_while_it_runs_is_answered_at_once(api, fail, claim, engine):
    fail()
    with engine.begin() as running:
        assert try_lock_claim(running, "sender", "a")
        answer = api.post("/v1/retries/claim", json={"claim_id": "a"}, role="sender")
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "claim_running")
    assert answer.headers["Retry-After"] == "2"
    assert len(claim(claim_id="a")["retries"]) == 1


@pytest.mark.parametrize(
    "query", ["", "&code=130429", "&template=offer", "&contact=12025550117", "&text=Title"]
)
def test_a_retry_that_was_given_up_is_a_dead_letter(api, fail, claim, report, query):
    failed = fail(template="offer")
    (retry,) = claim()["retries"]
    assert api.get(f"/v1/failures?dead_letter=true{query}").json["failures"] == []
    report(retry, outcome="gave_up")
    (found,) = api.get(f"/v1/failures?dead_letter=true{query}").json["failures"]
    assert (found["message_id"], found["dead_letter"], found["retry_at"]) == (failed, True, None)
    expected = {
        "id": retry["id"],
        "state": "dead",
        "reason": "gave_up",
        "why": "",
        "attempts": 1,
        "sent_message_id": "",
    }
    assert found["retry"] == expected
    assert api.get("/v1/failures?dead_letter=true&code=131026").json["failures"] == []


def test_dead_letters_of_both_kinds_are_listed_once_over_pages(api, fail, claim, report):
    unreachable = fail(131026)
    dead = [fail(recipient=f"1202555{serial:04}") for serial in range(3)]
    for retry in claim()["retries"]:
        report(retry, outcome="gave_up")
    found, query = [], ""
    while query is not None:
        page = api.get(f"/v1/failures?dead_letter=true&limit=2{query}").json
        found += [each["message_id"] for each in page["failures"]]
        query = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert sorted(found) == sorted([unreachable, *dead])


def test_the_metrics_and_the_page_of_failures_show_the_retries(api, admin, fail, claim, report):
    assert "Due later" not in admin.get("/failures").text
    fail()
    (retry,) = claim()["retries"]
    page = admin.get("/failures").text
    assert "Claimed by a sender" in page
    assert "a sender has claimed it" in page
    assert 'webhook_app_retries{state="leased"} 1.0' in api.client.get("/metrics").text
    report(retry, outcome="gave_up")
    (failure,) = api.get("/v1/failures").json["failures"]
    assert "Dead letter: the sender gave up" in admin.get(f"/failures/{failure['id']}").text


def test_a_failure_shows_as_which_message_it_was_sent_again(api, admin, fail, claim, report):
    fail()
    (retry,) = claim()["retries"]
    report(retry, outcome="sent", message_id="wamid.B")
    (failure,) = api.get("/v1/failures").json["failures"]
    assert (failure["retry"]["sent_message_id"], failure["retry_at"]) == ("wamid.B", None)
    assert "/messages/wamid.B" in admin.get(f"/failures/{failure['id']}").text
    assert "sent again" in admin.get("/failures").text


def test_a_claim_checks_contacts_of_fifty_business_numbers_and_the_next_claim_those_of_others(fail, claim):
    failed = [fail(number=str(number)) for number in range(53)]
    first = [each["message_id"] for each in claim(limit=100)["retries"]]
    assert len(first) == 50
    second = [each["message_id"] for each in claim(limit=100)["retries"]]
    assert sorted(first + second) == sorted(failed)
