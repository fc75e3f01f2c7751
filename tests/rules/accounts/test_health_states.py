"""The latest report by Meta's time counts, in any order of arrival; equal reports in a row give the start."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.rules.accounts.health_states import ReportedHealth, newest_first, states

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def reported(value, hours, aspect="status", **detail):
    return ReportedHealth(aspect=aspect, value=value, detail=detail, occurred_at=NOW - timedelta(hours=hours))


def test_a_state_holds_since_the_first_of_equal_reports_in_a_row():
    reports = [
        reported("APPROVED", 9),
        reported("PAUSED", 8),
        reported("APPROVED", 5),
        reported("APPROVED", 1),
    ]
    state = states(reports, NOW)["status"]
    assert (state.value, state.since, state.told_at) == (
        "APPROVED",
        NOW - timedelta(hours=5),
        NOW - timedelta(hours=1),
    )
    assert [word.value for word in newest_first(reports)] == ["APPROVED", "APPROVED", "PAUSED", "APPROVED"]


def test_aspects_are_apart():
    found = states([reported("RED", 2, "quality"), reported("APPROVED", 1)], NOW)
    assert {aspect: state.value for aspect, state in found.items()} == {
        "quality": "RED",
        "status": "APPROVED",
    }


reports = st.builds(
    reported,
    st.sampled_from(["APPROVED", "PAUSED", "DISABLED"]),
    st.integers(0, 5),
    st.sampled_from(["status", "quality"]),
)


@given(st.data(), st.lists(reports, max_size=12))
def test_any_order_and_repetition_gives_the_same_state(data, heard):
    again = data.draw(st.permutations(heard + heard[: len(heard) // 2]))
    assert states(heard, NOW) == states(again, NOW)


@given(st.lists(reports, min_size=1, max_size=12))
def test_the_state_is_that_of_a_walk_through_time(heard):
    for aspect, state in states(heard, NOW).items():
        walk = sorted((w.occurred_at, w.value) for w in heard if w.aspect == aspect)
        assert (state.told_at, state.value) == walk[-1]
        others = [at for at, value in walk if value != state.value and at <= state.told_at]
        assert all(at <= state.since for at in others)


@pytest.mark.parametrize(
    ("aspect", "value", "detail", "concern"),
    [
        ("status", "PAUSED", {}, "warning"),
        ("status", "DISABLED", {}, "critical"),
        ("status", "APPROVED", {}, ""),
        ("quality", "RED", {}, "critical"),
        ("quality", "GREEN", {}, ""),
        ("restriction biz_initiated_messaging", "RESTRICTED", {}, "critical"),
        (
            "restriction biz_initiated_messaging",
            "RESTRICTED",
            {"until": int(NOW.timestamp()) + 60},
            "critical",
        ),
        ("restriction biz_initiated_messaging", "RESTRICTED", {"until": int(NOW.timestamp())}, ""),
        ("violation", "SPAM", {}, "critical"),
        ("alert oba_rejected", "ACTIVE", {"severity": "WARNING"}, "warning"),
        ("alert oba_approved", "NONE", {"severity": "INFORMATIONAL"}, ""),
        ("category_to_come", "MARKETING", {}, "warning"),
        ("category_to_come", "NONE", {}, ""),
        ("flow_status 7330", "BLOCKED", {}, "critical"),
        ("flow_status 7330", "PUBLISHED", {}, ""),
        ("flow_alert 7330 endpoint_latency", "ACTIVE", {}, "warning"),
        ("flow_alert 7330 endpoint_latency", "RESOLVED", {}, ""),
        ("flow_version 7330", "EXPIRES", {}, "warning"),
        ("other", "A_NEW_EVENT", {}, ""),
    ],
)
def test_each_check_has_its_aspects(aspect, value, detail, concern):
    assert states([reported(value, 1, aspect, **detail)], NOW)[aspect].concern == concern
