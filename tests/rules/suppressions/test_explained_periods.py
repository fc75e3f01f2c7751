from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.suppressions.explained_periods import (
    explainable_codes,
    explained_by_alert,
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


def made(group, rule=RULE, end=None, codes=()):
    return explained_by_alert(7, rule, group, NOON, end, noticed_at=NOON, codes=codes)


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
def test_an_alert_explains_its_slice(group, explained):
    assert made(group).explains(Failed()) is explained


@pytest.mark.parametrize(("minutes", "explained"), [(-1, False), (0, True), (5, True), (6, False)])
def test_an_alert_explains_its_time_including_both_ends(minutes, explained):
    assert made({}, end=NOON + 5 * MINUTE).explains(Failed(occurred_at=NOON + minutes * MINUTE)) is explained


def test_an_open_alert_explains_later_failures():
    assert made({}).explains(Failed(occurred_at=NOON + timedelta(days=9)))


def test_a_rule_explains_only_what_it_counts():
    broken = Rule(name="r", classes=("broken",), threshold=0.02, resolve_below=0.01)
    assert not made({}, broken).explains(Failed())


def test_the_codes_of_the_alert_replace_a_removed_rule():
    assert made({}, None, codes=[131026]).explains(Failed())
    assert not made({}, None, codes=[131043]).explains(Failed())


def test_an_opt_out_is_never_explained():
    assert 131050 not in explainable_codes()
    stopped = Rule(name="r", codes=(131050,), threshold=0.02, resolve_below=0.01)
    assert not made({}, stopped).explains(Failed(error_code=131050))


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
