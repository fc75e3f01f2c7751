"""Trying rules on the past by page: the form and its faults, the run in the scheduler, progress, result, roles."""

import json
from datetime import timedelta

import pytest

from tests.support.factories import body, document, status
from tests.web.conftest import token_of
from webhook_app.pipeline.operations.backtest_queue import run_waiting
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.operations import backtests

PATH = "/rules/backtests"
MINUTE = timedelta(minutes=1)
RULES = """
[[rule]]
name = "tried"
kind = "rate"
threshold = 0.02
min_attempts = 10
min_failures = 5
for_evaluations = 1
channels = ["log"]
"""


@pytest.fixture
def begin(admin):
    """Sends the form; the answer is the page it leads to."""
    token = token_of(admin.get(PATH))

    def send(**form):
        return admin.post(
            PATH, data={"token": token, "days": "1", "step": "300"} | form, follow_redirects=True
        )

    return send


@pytest.fixture
def run(engine):
    return lambda now: run_waiting(engine, Thresholds(), now)


def test_from_the_form_over_the_run_to_what_would_have_fired(admin, begin, run, deliver, now):
    at = now - timedelta(hours=5)
    sent = [status(f"wamid.{n}", "sent", at) for n in range(40)]
    deliver(body(*sent, *(status(f"wamid.{n}", "failed", at, code=131026) for n in range(20))))
    asked = begin(rules=RULES).text
    assert "Queued" in asked
    assert "<b>Waiting</b>" in asked
    assert 'data-live="/dashboard/backtests/1"' in asked
    assert run(now + MINUTE) == 1
    data = admin.get("/dashboard/backtests/1").json
    assert (data["shape"], data["chart"]) == ("over", None)
    page = admin.get(f"{PATH}/1").text
    assert "1 incident would have been opened" in page
    assert "131026" in page
    assert ">tried<" in page
    assert "opened " in page
    assert "data-live" not in page
    assert "1 incident<" in admin.get(PATH).text


def test_whom_it_would_have_suppressed_is_named(admin, begin, run, deliver, now):
    deliver(
        body(status("wamid.1", "failed", now - timedelta(hours=2), recipient="491710000001", code=131030))
    )
    for age in (1, 2, 3):
        at = now - timedelta(days=age)
        deliver(body(status(f"wamid.a{age}", "failed", at, recipient="491710000002", code=131026)))
    begin(rules=RULES, days="7")
    run(now + MINUTE)
    page = admin.get(f"{PATH}/1").text
    assert 'href="/contacts?contact=%2B491710000002"' in page
    assert "unreachable: 1" in page


def test_findings_are_shown_apart_from_incidents(admin, begin, run, deliver, now):
    quality = {
        "message_template_id": 7,
        "message_template_name": "<b>offer",
        "message_template_language": "en",
    }
    quality |= {"previous_quality_score": "GREEN", "new_quality_score": "YELLOW"}
    reported = document(quality, field="message_template_quality_update")
    reported["entry"][0]["time"] = int((now - timedelta(hours=2)).timestamp())
    deliver(json.dumps(reported).encode())
    begin(rules=RULES)
    run(now + MINUTE)
    page = admin.get(f"{PATH}/1").text
    assert "No incident would have been opened" in page
    section = page.split('<h2 id="findings">')[1].split("</section>")[0]
    assert "YELLOW" in section
    assert "&lt;b&gt;offer" in section
    assert "template quality" in section
    assert ">open<" in section


def test_rules_in_force_can_be_chosen_from(begin, run, engine, now):
    begin(chosen=["spike", "failure-rate-per-code"])
    run(now + MINUTE)
    with engine.connect() as connection:
        found = backtests.get(connection, 1)
    assert (found.state, found.chosen, found.result["left_out"]) == (
        "done",
        ["spike", "failure-rate-per-code"],
        [],
    )


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"rules": "[[rule]]\nname = 7\n"}, "rules.toml:1: kind: is missing"),
        ({"rules": "x" * 40_001}, "at most 40"),
        ({}, "Choose at least one rule"),
        ({"chosen": "nothing"}, "Choose at least one rule"),
        ({"rules": RULES, "days": "365"}, "Choose how many days"),
        ({"rules": RULES, "step": "1"}, "Choose how many days"),
    ],
)
def test_a_faulty_form_is_shown_again_with_every_fault(begin, engine, form, fault):
    answer = begin(**form)
    assert answer.status_code == 400
    assert fault in answer.text
    if "rules" in form:
        assert form["rules"][:20].split("\n")[0] in answer.text
    with engine.connect() as connection:
        assert backtests.latest(connection, 1) == []


def test_not_more_than_some_wait(begin):
    for _ in range(5):
        assert begin(rules=RULES).status_code == 200
    assert "5 backtests are queued already" in begin(rules=RULES).text


def test_one_that_waits_can_be_stopped_and_does_not_run(admin, begin, run, now):
    page = begin(rules=RULES)
    stopped = admin.post(f"{PATH}/1/stop", data={"token": token_of(page)}, follow_redirects=True).text
    assert "stopped by ADMIN_API_KEY" in stopped
    assert run(now + MINUTE) == 0
    again = admin.post(f"{PATH}/1/stop", data={"token": token_of(page)}, follow_redirects=True).text
    assert "nothing to stop" in again


def test_viewers_see_results_and_begin_none(viewer, engine, now):
    with engine.begin() as connection:
        span = (now - timedelta(days=1), now)
        backtests.add(
            connection, requested_by="kim", rules=RULES, chosen=(), span=span, step_seconds=300, now=now
        )
    page = viewer.get(PATH)
    assert "needs an admin key" in page.text
    assert "by kim" in page.text
    one = viewer.get(f"{PATH}/1").text
    assert "/stop" not in one
    data = {"token": token_of(page), "rules": RULES, "days": "1", "step": "300"}
    assert viewer.post(PATH, data=data).status_code == 403
    assert viewer.post(f"{PATH}/1/stop", data=data).status_code == 403


def test_empty_it_says_how_to_do_it_elsewhere(viewer):
    assert "webhook-app backtest" in viewer.get(PATH).text


@pytest.mark.parametrize("number", [404, 2**63])
def test_one_that_is_not_there_is_not_found(admin, number):
    assert admin.get(f"{PATH}/{number}").status_code == 404
