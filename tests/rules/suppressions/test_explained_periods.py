"""Which failures an incident, a high rate or a failed day explains, and for how long."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.suppressions.explained_periods import (
    ExplainedPeriod,
    Periods,
    explainable_codes,
    explained_by_incident,
    explained_by_rate,
    is_rate_high,
    would_alert,
)

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULE = Rule(name="r", threshold=0.02, resolve_below=0.01)


class Failed(Struct, kw_only=True):
    error_code: int = 131026
    occurred_at: datetime = NOON
    phone_number_id: str = "1"
    template: str = "spring"


class Explained(Struct):
    """What an incident explains, as one."""

    periods: list

    def explains(self, failed):
        return any(period.explains(failed) for period in self.periods)


def made(group, codes=(131026,), end=None):
    return Explained(explained_by_incident(7, codes, [group], NOON, end, noticed_at=NOON))


@pytest.mark.parametrize(
    ("group", "explained"),
    [
        ({}, True),
        ({"code": 131026}, True),
        ({"code": "131026", "phone_number_id": "1"}, True),
        ({"phone_number_id": "1", "template": "spring"}, True),
        ({"code": 131043}, False),
        ({"phone_number_id": "2"}, False),
        ({"phone_number_id": "1", "template": "autumn"}, False),
    ],
)
def test_an_incident_explains_its_codes_in_its_groups(group, explained):
    assert made(group).explains(Failed()) is explained


@pytest.mark.parametrize(("minutes", "explained"), [(-1, False), (0, True), (5, True), (6, False)])
def test_an_incident_explains_its_time_including_both_ends(minutes, explained):
    assert made({}, end=NOON + 5 * MINUTE).explains(Failed(occurred_at=NOON + minutes * MINUTE)) is explained


def test_an_open_incident_explains_later_failures():
    assert made({}).explains(Failed(occurred_at=NOON + timedelta(days=9)))


def test_an_incident_explains_only_its_codes():
    assert not made({}, [131000]).explains(Failed())


def test_a_window_explains_only_what_its_rule_counts():
    broken = Rule(name="r", classes=("broken",), threshold=0.02, resolve_below=0.01)
    assert explained_by_rate(RULE, {}, NOON, None, noticed_at=NOON).explains(Failed())
    assert not explained_by_rate(broken, {}, NOON, None, noticed_at=NOON).explains(Failed())


def test_an_opt_out_is_never_explained():
    assert 131050 not in explainable_codes()
    assert not made({}, [131050]).explains(Failed(error_code=131050))


@pytest.mark.parametrize(
    ("attempts", "failures", "high", "alerts"),
    [
        (49, 49, False, False),
        (50, 9, False, False),
        (50, 10, True, True),
        (500, 10, False, False),
        (500, 11, True, False),
        (500, 50, True, True),
        (0, 0, False, False),
    ],
)
def test_a_rate_can_be_high_before_it_would_alert(attempts, failures, high, alerts):
    assert is_rate_high(RULE, Counts(attempts, failures)) is high
    assert would_alert(RULE, Counts(attempts, failures)) is alerts


@pytest.mark.parametrize(("usual", "high"), [(0.0, True), (0.03, True), (0.05, False)])
def test_a_rate_is_high_only_above_one_and_a_half_times_the_usual(usual, high):
    assert is_rate_high(RULE, Counts(1000, 60), usual) is high


def test_the_periods_that_explain_a_failure_are_found_among_thousands_in_their_order():
    groups = [{"template": f"t{n}"} for n in range(3000)] + [
        {},
        {"phone_number_id": "1"},
        {"template": "spring"},
    ]
    periods = explained_by_incident(7, (131026,), groups, NOON, None, noticed_at=NOON)
    checked = []

    class Noted(ExplainedPeriod, frozen=True):
        def explains(self, failed):
            checked.append(self)
            return super().explains(failed)

    found = Periods(Noted(*(getattr(each, name) for name in each.__struct_fields__)) for each in periods)
    assert [each.slice for each in found.explaining(Failed())] == groups[-3:]
    assert len(checked) == 3
    assert found.explaining(Failed(occurred_at=NOON - MINUTE)) == []
