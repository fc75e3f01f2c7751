"""When a failed message is sent again, and how a retry ends."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from webhook_app.rules.sends.retries import (
    DueRetry,
    NextAttempt,
    end_of,
    expires_at,
    next_attempt,
    retried_codes,
)
from webhook_app.whatsapp.errors.catalogue import catalogue, explain

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)
NEVER = AT + timedelta(days=999)
RATE_LIMIT, ONCE, PER_PERSON, NO_TIME, AFTER_FIX = 130429, 131000, 131049, 131048, 132000
DUE = DueRetry(
    code=RATE_LIMIT,
    subcode=-1,
    category="",
    attempts=1,
    first_failed_at=AT,
    has_lapsed=False,
    is_delivered=False,
    is_resent=False,
    has_moved=False,
)


def attempt(code: int, attempts: int = 0, seed: str = "wamid.A") -> NextAttempt:
    return next_attempt(explain(code), attempts, AT, seed, expires_at=NEVER)


@pytest.mark.parametrize(
    ("code", "attempts", "seconds"),
    [(RATE_LIMIT, attempts, 2**attempts) for attempts in range(7)] + [(ONCE, 0, 60)],
)
def test_each_wait_is_the_advised_one_and_up_to_a_half_longer(code: int, attempts: int, seconds: int) -> None:
    due = {attempt(code, attempts, f"wamid.{serial}").due_at for serial in range(50)}
    waits = [(at - AT).total_seconds() for at in due if at]
    assert len(waits) == 50, "no two are sent at the same moment"
    assert seconds <= min(waits) < 1.1 * seconds
    assert 1.4 * seconds < max(waits) <= 1.5 * seconds


def test_a_message_that_meta_withheld_waits_for_a_day_and_some_minutes() -> None:
    due_at = attempt(PER_PERSON).due_at
    assert due_at
    assert timedelta(days=1) <= due_at - AT <= timedelta(days=1, minutes=10)


@pytest.mark.parametrize(
    ("code", "attempts", "reason"),
    [
        (RATE_LIMIT, 7, "used_up"),
        (ONCE, 1, "used_up"),
        (PER_PERSON, 7, "used_up"),
        (NO_TIME, 0, "code"),
        (AFTER_FIX, 0, "code"),
        (131026, 0, "code"),
        (999_999, 0, "code"),
        (138002, 0, "code"),  # a call, not a message
    ],
)
def test_other_failures_are_not_sent_again_and_say_why(code: int, attempts: int, reason: str) -> None:
    assert attempt(code, attempts) == NextAttempt(None, reason)


def test_nothing_is_due_after_it_has_expired() -> None:
    soon = next_attempt(explain(PER_PERSON), 0, AT, "", expires_at=AT + timedelta(days=1))
    assert soon == NextAttempt(None, "expired")
    lifetimes = {
        (code, category): expires_at(explain(code), category, AT) - AT
        for code, category in ((RATE_LIMIT, ""), (PER_PERSON, "marketing"), (ONCE, "authentication"))
    }
    assert [life.total_seconds() / 60 for life in lifetimes.values()] == [24 * 60, 7 * 24 * 60, 10]


@given(
    st.sampled_from([entry for entry in catalogue() if entry.subcode is None]),
    st.integers(0, 9),
    st.text(max_size=5),
)
def test_the_same_values_give_the_same_time_which_is_never_early(entry, attempts, seed) -> None:
    first, again = (next_attempt(entry, attempts, AT, seed, expires_at=NEVER) for _ in range(2))
    assert first == again
    assert (first.due_at is None) == (first.reason != "")
    assert first.due_at is None or first.due_at > AT
    if attempts == 0:
        soon, later = retried_codes()
        assert (entry.code in {*soon, *later}) == (first.due_at is not None), "the search finds these codes"


@pytest.mark.parametrize(
    ("changed", "ended"),
    [
        ({}, None),
        ({"has_lapsed": True}, None),
        ({"is_resent": True}, None),  # without a lease it may be another message
        ({"is_resent": True, "has_lapsed": True}, ("done", "resent")),
        ({"is_delivered": True, "attempts": 7}, ("done", "delivered")),
        ({"attempts": 7}, ("dead", "used_up")),
        ({"code": ONCE}, ("dead", "used_up")),
        ({"code": PER_PERSON, "attempts": 6}, None),
        ({"category": "authentication"}, ("dead", "expired")),
        ({"has_moved": True}, ("dead", "suppressed")),
        ({"is_delivered": True, "has_moved": True}, ("done", "delivered")),
    ],
)
def test_a_retry_that_is_due_ends_or_may_be_leased(changed, ended) -> None:
    assert end_of(replace(DUE, **changed), AT + timedelta(minutes=10)) == ended


def test_codes_of_limits_and_faults_are_retried_soon_and_meta_s_pause_of_a_person_later() -> None:
    soon, later = retried_codes()
    assert {RATE_LIMIT, 131056, ONCE, 4, 80007} <= set(soon)
    assert later == [PER_PERSON]
    assert not {138002, 133015, NO_TIME} & {*soon, *later}
