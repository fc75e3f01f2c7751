"""Whether an open incident causes another notification, why, and on which channels."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.incidents.announcements import (
    NotifiedState,
    channels_for,
    missing_channels,
    notification_reason,
    reminder_interval,
    unnamed_channels,
)
from webhook_app.rules.incidents.rules_file.rule import Route, Rule
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOURS = timedelta(hours=1)
RULE = Rule(name="a", threshold=0.02, resolve_below=0.015)


def state(**changes):
    known = {"severity": "warning", "notified_severity": "warning", "notified_at": NOW}
    return NotifiedState(**(known | changes))


@pytest.mark.parametrize(
    ("changes", "after", "due"),
    [
        ({}, 3.99 * HOURS, False),
        ({}, 4 * HOURS, True),
        ({"repeats": 1}, 7.99 * HOURS, False),
        ({"repeats": 1}, 8 * HOURS, True),
        ({"repeats": 3}, 23.99 * HOURS, False),
        ({"repeats": 3}, 24 * HOURS, True),
        ({"repeats": 5000}, 24 * HOURS, True),
        ({"acknowledged": True}, 400 * HOURS, False),
        ({"snoozed_until": NOW + 6 * HOURS}, 5 * HOURS, False),
        ({"snoozed_until": NOW + 6 * HOURS}, 6 * HOURS, True),
    ],
)
def test_it_is_repeated_at_growing_intervals_unless_somebody_has_it(changes, after, due):
    assert notification_reason(RULE, state(**changes), NOW + after) == ("repeated" if due else None)


@pytest.mark.parametrize("handled", [{}, {"acknowledged": True}, {"snoozed_until": NOW + 6 * HOURS}])
def test_a_rise_in_severity_is_notified_even_if_acknowledged_or_snoozed(handled):
    assert notification_reason(RULE, state(severity="critical", **handled), NOW) == "escalated"


@pytest.mark.parametrize("handled", [{}, {"acknowledged": True}, {"snoozed_until": NOW + 6 * HOURS}])
def test_the_first_sign_that_senders_cannot_make_up_is_notified_in_any_case(handled):
    assert notification_reason(RULE, state(is_confirmed=True, **handled), NOW) == "escalated"


@pytest.mark.parametrize("handled", [{}, {"acknowledged": True}, {"snoozed_until": NOW + 6 * HOURS}])
def test_further_numbers_that_keys_report_are_notified_in_any_case_every_half_an_hour(handled):
    grown = state(has_grown=True, **handled)
    assert notification_reason(RULE, grown, NOW + 0.49 * HOURS) is None
    assert notification_reason(RULE, grown, NOW + 0.5 * HOURS) == "repeated"


def test_a_fall_in_severity_is_not_notified():
    assert notification_reason(RULE, state(severity="info"), NOW) is None


def test_a_rule_that_repeats_less_than_daily_keeps_its_own_interval():
    weekly = Rule(name="a", repeat_hours=168)
    assert reminder_interval(weekly, 0) == reminder_interval(weekly, 9) == 168 * HOURS


@pytest.mark.parametrize(
    ("severity", "rule", "channels"),
    [
        ("critical", {}, ("pagerduty", "slack")),
        ("warning", {}, ("slack",)),
        ("info", {"labels": {"team": "crm"}}, ("email", "log")),
        ("warning", {"labels": {"team": "ops"}}, ("slack",)),
        ("info", {"kind": "self"}, ("log",)),
        ("info", {"name": "special"}, ("webhook",)),
        ("info", {}, ("alertmanager",)),
    ],
)
def test_the_first_matching_route_decides_unless_it_says_go_on(severity, rule, channels):
    routes = (
        Route(severities=("critical",), channels=("pagerduty", "slack")),
        Route(severities=("warning", "error"), channels=("slack",)),
        Route(labels={"team": "crm"}, channels=("email", "log"), go_on=True),
        Route(labels={"team": "crm"}, channels=("log",)),
        Route(kinds=("self",), channels=("log",)),
        Route(rules=("special",), channels=("webhook",)),
    )
    routed = Rule(**({"name": "a", "channels": ("alertmanager",), "routes": routes} | rule))
    assert channels_for(routed, severity) == channels


def test_without_routes_a_rule_s_own_channels_are_notified():
    assert channels_for(Rule(name="a", channels=("slack", "log")), "info") == ("slack", "log")
    assert channels_for(Rule(name="a", channels=()), "critical") == ()


CRITICAL_TO_PAGERDUTY = '[[route]]\nseverities = ["critical"]\nchannels = ["pagerduty"]\n'
SET_UP = ("slack", "pagerduty", "email", "log")


def rules_of(*more: str) -> tuple[Rule, ...]:
    rule = '[[rule]]\nname = "a"\nkind = "attention"\n'
    return parse_rules(rule + "".join(more))


@pytest.mark.parametrize(
    ("more", "unnamed"),
    [
        ("", ("pagerduty", "email")),
        ('channels = ["email"]\n', ("slack", "pagerduty")),
        ("channels = []\n", ("slack", "pagerduty", "email")),
        (CRITICAL_TO_PAGERDUTY, ("slack", "email")),
        (f'severity = "warning"\n{CRITICAL_TO_PAGERDUTY}', ("email",)),
        ('channels = ["slack", "pagerduty", "email"]\n', ()),
    ],
)
def test_a_channel_that_no_rule_or_route_names_is_unnamed(more: str, unnamed: tuple[str, ...]) -> None:
    assert unnamed_channels(rules_of(more), SET_UP) == unnamed


def test_the_default_rules_name_no_channel_that_may_be_missing() -> None:
    default = parse_rules(default_rules_text())
    assert missing_channels(default, ("log",)) == ()
    assert unnamed_channels(default, SET_UP) == ("pagerduty", "email")


def test_a_rule_or_route_that_names_a_channel_that_is_not_set_up_is_reported_by_name() -> None:
    rules = rules_of('channels = ["email", "log"]\n', CRITICAL_TO_PAGERDUTY)
    assert missing_channels(rules, ("slack", "log")) == (
        "rule 'a': the channel email is not set up",
        "route 1: the channel pagerduty is not set up",
    )
    assert missing_channels(rules, ("email", "pagerduty", "log")) == ()
