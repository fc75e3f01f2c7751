"""From the third day on, the same failure at the same hour is a finding, unless it is clearly worse."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.findings.recurring import Occasion, find_recurring, is_fixed

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
NOW = datetime(2026, 3, 12, 4, 32, tzinfo=UTC)
BROKEN = 131053
JOB = {"template": ["job"], "phone_number_id": ["n0"], "waba_id": ["A"]}


def occasion(before: timedelta = timedelta(0), **more: object) -> Occasion:
    plain = {"incident_id": 1, "at": NOW - before, "codes": [BROKEN], "names": JOB, "failures": 6}
    return Occasion(**(plain | more))


def test_the_third_day_is_a_finding_with_its_incidents() -> None:
    found = find_recurring(occasion(incident_id=3), [occasion(2 * DAY), occasion(DAY, incident_id=2)])
    assert found is not None
    assert (found.kind, found.codes, found.slice) == ("recurring", (BROKEN,), {"template": ["job"]})
    assert found.since == NOW - 2 * DAY
    assert [each["incident_id"] for each in found.evidence["incidents"]] == [1, 2, 3]
    assert found.impact == {"failures": 18, "days": 3}
    assert "04:32" in found.title


def test_accounts_with_a_template_of_the_same_name_have_findings_of_their_own() -> None:
    found = []
    for waba_id in ("A", "B"):
        names = JOB | {"waba_id": [waba_id]}
        earlier = [occasion(back * DAY, names=names) for back in (2, 1)]
        found.append(find_recurring(occasion(names=names), earlier))
    one, other = found
    assert one is not None
    assert other is not None
    assert (one.waba_id, other.waba_id) == ("A", "B")
    assert one.key != other.key


@pytest.mark.parametrize(
    ("now", "earlier"),
    [
        (occasion(), [occasion(DAY)]),
        (occasion(), [occasion(DAY), occasion(DAY + 30 * MINUTE)]),
        (occasion(), [occasion(DAY), occasion(2 * DAY + 3 * HOUR)]),
        (occasion(), [occasion(DAY), occasion(5 * DAY)]),
        (occasion(), [occasion(DAY), occasion(2 * DAY, codes=[131026])]),
        (occasion(), [occasion(DAY), occasion(2 * DAY, names={"template": ["other"]})]),
        (occasion(), [occasion(DAY), occasion(2 * DAY, names=JOB | {"waba_id": ["B"]})]),
        (occasion(failures=43), [occasion(DAY), occasion(2 * DAY)]),
        (occasion(codes=[]), [occasion(DAY, codes=[]), occasion(2 * DAY, codes=[])]),
        (occasion(names={}), [occasion(DAY, names={}), occasion(2 * DAY, names={})]),
    ],
    ids=[
        "second day",
        "twice on one day",
        "another hour",
        "days ago",
        "another code",
        "another template",
        "the template of that name in another account",
        "a clear rise",
        "no code",
        "nothing in common",
    ],
)
def test_the_others_are_incidents(now: Occasion, earlier: list[Occasion]) -> None:
    assert find_recurring(now, earlier) is None


def test_what_only_senders_reported_earlier_makes_no_failure_recur_that_webhooks_show() -> None:
    earlier = [occasion(2 * DAY, is_reported=True), occasion(DAY)]
    assert find_recurring(occasion(), earlier) is None
    assert find_recurring(occasion(is_reported=True), earlier) is not None


def test_a_job_that_does_not_run_at_the_weekend_recurs() -> None:
    assert find_recurring(occasion(), [occasion(3 * DAY), occasion(4 * DAY)]) is not None


def test_an_hour_is_the_same_across_midnight() -> None:
    at = datetime(2026, 3, 12, 0, 10, tzinfo=UTC)
    earlier = [occasion(at=at - DAY - 20 * MINUTE), occasion(at=at - 2 * DAY + 15 * MINUTE)]
    assert find_recurring(occasion(at=at), earlier) is not None


def test_the_number_is_named_where_no_template_or_campaign_is_known() -> None:
    names = {"phone_number_id": ["n0"], "waba_id": ["A"]}
    found = find_recurring(
        occasion(names=names), [occasion(DAY, names=names), occasion(2 * DAY, names=names)]
    )
    assert found is not None
    assert found.slice == {"phone_number_id": ["n0"]}


@pytest.mark.parametrize(
    ("age", "occasions", "fixed"),
    [
        (3 * DAY, [Counts(6, 0)] * 3, True),
        (3 * DAY, [Counts(6, 0), Counts(6, 0), Counts(6, 6)], False),
        (3 * DAY, [Counts(6, 0), Counts(0, 0), Counts(0, 0)], False),
        (7 * DAY, [Counts(0, 0)] * 6, True),
        (DAY, [], False),
    ],
)
def test_three_clean_occasions_or_a_week_without_one_fix_it(
    age: timedelta, occasions: list[Counts], fixed: bool
) -> None:
    assert is_fixed(NOW - age, occasions, NOW) is fixed
