"""Which reported states are problems, what they are called, and whether every message of an account is affected."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.accounts.health_problems import check_name, find_problems
from webhook_app.rules.accounts.health_states import ReportedHealth, states
from webhook_app.rules.incidents.alerts import Reading

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def problem(aspect, value, *, subject="account", ago=timedelta(hours=1), **detail):
    report = ReportedHealth(aspect=aspect, value=value, detail=detail, occurred_at=NOW - ago)
    (found,) = find_problems(subject, states([report], NOW), NOW)
    return found


@pytest.mark.parametrize(
    ("aspect", "value", "sentence"),
    [
        ("flow_status 7330", "THROTTLED", "Meta has set the Flow 7330 to THROTTLED (before: PUBLISHED)"),
        (
            "flow_alert 7330 endpoint_latency",
            "ACTIVE",
            "Meta reports for the Flow 7330: endpoint latency beyond its threshold (before: PUBLISHED)",
        ),
        ("flow_version 7330", "EXPIRES", "The version of the Flow 7330 expires (before: PUBLISHED)"),
        ("status", "DISABLED", "Meta has set the account to DISABLED (before: PUBLISHED)"),
    ],
)
def test_a_problem_is_described_in_a_sentence(aspect, value, sentence):
    found = problem(aspect, value, before="PUBLISHED")
    assert (found.judgement.description, found.judgement.reading) == (sentence, Reading.ABOVE)


def test_a_blocked_flow_does_not_affect_every_message_of_its_account():
    assert problem("status", "DISABLED").account_wide
    blocked = problem("flow_status 7330", "BLOCKED")
    assert blocked.judgement.escalates
    assert not blocked.account_wide


def test_a_flow_that_is_published_again_or_whose_warning_is_old_is_no_problem():
    assert problem("flow_status 7330", "PUBLISHED").judgement.reading == Reading.BELOW
    assert problem("flow_alert 7330 endpoint_latency", "RESOLVED").judgement.reading == Reading.BELOW
    assert problem("flow_version 7330", "EXPIRES", ago=timedelta(days=8)).judgement.reading == Reading.BELOW


def test_what_a_flow_does_is_checked_as_the_account():
    assert check_name("account", "flow_status 7330") == "account"
