"""Templates of low quality, messages without labels and lists of people who are never reached are findings."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.accounts.health_states import ReportedHealth, states
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.findings.finding import CountedDays
from webhook_app.rules.incidents.findings.observed_states import (
    UnreachedList,
    find_low_quality,
    find_unlabelled,
    find_unreached,
    is_announced_as_incident,
    suspect_campaigns,
)
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

NOW = datetime(2026, 3, 16, 10, tzinfo=UTC)
FIRST = datetime(2026, 3, 9, tzinfo=UTC)
PLAIN = SeriesKey("n0", "A", "", "", "DE")


def days(*rows: tuple[SeriesKey, int, int]) -> CountedDays:
    """A week: series, messages and unreachable ones of each day."""
    made = CountedDays(FIRST, 7)
    for series, attempts, failures in rows:
        for place in range(7):
            made.add_attempts(place, series, attempts)
            made.add_failures(place, 131026, series, failures)
    return made


@pytest.mark.parametrize(
    ("quality", "severity"), [("YELLOW", "notice"), ("RED", "warning"), ("GREEN", None), ("UNKNOWN", None)]
)
def test_a_template_of_low_quality_is_a_finding(quality: str, severity: str | None) -> None:
    report = ReportedHealth(aspect="quality", value=quality, detail={}, occurred_at=NOW - timedelta(days=1))
    found = find_low_quality("918", "order_update", "A", states([report], NOW))
    assert (None if found is None else found.severity) == severity
    if found is not None:
        assert found.slice == {"template": ["order_update"]}
        assert found.since == NOW - timedelta(days=1)


def test_a_red_template_is_already_told_as_an_incident_where_a_rule_watches_it() -> None:
    rules = parse_rules(default_rules_text())
    assert is_announced_as_incident("RED", rules)
    assert not is_announced_as_incident("YELLOW", rules)
    assert not is_announced_as_incident("RED", [rule for rule in rules if rule.kind != "health"])


@pytest.mark.parametrize(
    ("plain", "labelled", "is_found"), [(60, 20, True), (40, 40, False), (20, 60, False), (10, 1, False)]
)
def test_accounts_of_which_most_messages_are_unlabelled_are_found(
    plain: int, labelled: int, is_found: bool
) -> None:
    found = find_unlabelled(days((PLAIN, plain, 0), (PLAIN._replace(template="order"), labelled, 0)))
    assert [each.waba_id for each in found] == (["A"] if is_found else [])


def test_a_campaign_is_label_enough() -> None:
    assert find_unlabelled(days((PLAIN._replace(campaign="spring"), 100, 0))) == []


def test_campaigns_of_which_a_fifth_fails_as_unreachable_are_suspect() -> None:
    good, bad = PLAIN._replace(campaign="good"), PLAIN._replace(campaign="bad")
    small = PLAIN._replace(campaign="small")
    found = suspect_campaigns(days((good, 100, 10), (bad, 100, 25), (small, 5, 4), (PLAIN, 100, 90)))
    assert found == [("bad", "A", 700)]


def test_a_list_of_which_a_fifth_was_never_reached_is_found() -> None:
    lists = [
        UnreachedList(campaign="bad", waba_id="A", tried=1_204, unreached=412),
        UnreachedList(campaign="good", waba_id="A", tried=1_000, unreached=150),
    ]
    [found] = find_unreached(lists, FIRST)
    assert found.slice == {"campaign": ["bad"]}
    assert "412 of 1 204 contacts" in found.advice
