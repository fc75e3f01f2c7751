"""Senders' reports of calls, as bytes and in the report of a run."""

import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from tests.simulator.test_run import QUICK, SECRET
from webhook_app.simulator.plan import plan
from webhook_app.simulator.posts import plan_posts
from webhook_app.simulator.report import as_text
from webhook_app.simulator.run import run
from webhook_app.simulator.scenarios import SCENARIOS
from webhook_app.simulator.send_calls import ACCEPTED, TOKEN_EXPIRED, SimulatedCall

START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_calls_and_webhooks_go_in_separate_posts_by_due_time():
    events = list(plan(SCENARIOS["token-expired"], 1, 5, 60, START))
    planned = list(plan_posts(events, START, random.Random(1), batch=10))
    assert [post.due_s for post in planned] == sorted(post.due_s for post in planned)
    assert sum(post.items for post in planned) == len(events)
    reports = [post for post in planned if post.calls]
    assert (
        sum(len(post.calls) for post in reports)
        == sum(isinstance(one, SimulatedCall) for one in events)
        > 200
    )
    for post in planned:
        assert set(json.loads(post.body)) == ({"sends"} if post.calls else {"object", "entry"})
    assert all(0 < len(post.calls) <= 10 and not post.statuses for post in reports)


def test_a_batch_of_calls_waits_no_longer_than_a_batch_of_webhooks():
    events = list(plan(SCENARIOS["token-expired"], 1, 1, 60, START))
    for post in plan_posts(events, START, random.Random(1), batch=1000):
        if post.calls:
            sent = [datetime.fromisoformat(send["sent_at"]) for send in json.loads(post.body)["sends"]]
            assert START + timedelta(seconds=post.due_s) - min(sent) < timedelta(seconds=2)


def test_reports_have_the_senders_key_and_are_counted_at_the_end(receiver):
    server = receiver()
    seen = []
    server.on_request = lambda path, headers: seen.append((path, headers.get("Authorization")))
    report = run(scenario="token-expired", url=server.url, app_secret=SECRET, api_key="the sender's",
                 rate=100, duration=0.6, batch=5, reorder=0.1, duplicates=0.5, pace=QUICK)  # fmt: skip
    assert report.complete
    assert report.refused_calls == {TOKEN_EXPIRED: 45}
    assert report.accepted_calls == 0
    assert ("/v1/sends", "Bearer the sender's") in seen
    assert {path for path, key in seen if key is None} == {"/webhook"}
    assert "send calls    0 accepted; refused with 190 ×45" in as_text(report)


def test_accepted_calls_are_counted_separately(receiver):
    report = run(scenario="silence", url=receiver().url, app_secret=SECRET, api_key="k",
                 rate=100, duration=0.6, pace=QUICK)  # fmt: skip
    assert (report.accepted_calls, report.refused_calls) == (36, {})
    assert ACCEPTED not in report.refused_calls


def test_a_scenario_with_reports_requires_an_api_key(receiver):
    with pytest.raises(ValueError, match="an API key is required"):
        run(scenario="token-expired", url=receiver().url, app_secret=SECRET)
