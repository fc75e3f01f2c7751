"""Retry advice says whether, when and how often to resend, and when to give up."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.whatsapp.errors.catalogue import catalogue, explain
from webhook_app.whatsapp.errors.retry import MAX_RETRIES, retry_advice, retry_at

AT = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("code", "tries", "waits", "after", "final"),
    [
        (2, 0, (1, 2, 4, 8, 16, 32, 64), None, False),
        (2, 3, (8, 16, 32, 64), None, False),
        (2, 6, (64,), None, False),
        (2, 7, (), None, True),
        (2, 100, (), None, True),
        (2, -1, (1, 2, 4, 8, 16, 32, 64), None, False),
        (131000, 0, (), 60, False),
        (131000, 1, (), None, True),
        (131026, 0, (), None, True),
        (131047, 0, (), None, False),
        (131047, 9, (), None, False),
        (131049, 0, (), 86400, False),
        (133015, 0, (), 300, False),
        (131048, 0, (), None, False),
        (4242, 0, (), None, True),
    ],
)
def test_retry_advice_is_concrete(code, tries, waits, after, final):
    advice = retry_advice(explain(code), tries)
    assert advice.kind == explain(code).retry
    assert (advice.waits_seconds, advice.after_seconds, advice.final) == (waits, after, final)


@pytest.mark.parametrize(
    ("code", "tries", "words"),
    [
        (2, 4, "after 16, 32, 64 s, each with jitter"),
        (2, 7, "used up"),
        (131000, 0, "Retry once, after one minute"),
        (131000, 1, "used up"),
        (131026, 0, "Do not resend."),
        (131047, 0, "Do not resend until the cause is fixed"),
        (131049, 0, "for at least 24 h"),
        (133015, 0, "for at least 5 min"),
        (131048, 0, "publishes no fixed waiting time"),
    ],
)
def test_retry_advice_has_a_readable_text(code, tries, words):
    assert words in retry_advice(explain(code), tries).words


@pytest.mark.parametrize(
    ("code", "tries", "seconds"),
    [
        (2, 0, 1),
        (2, 3, 8),
        (2, 7, None),
        (131000, 0, 60),
        (131000, 1, None),
        (131049, 0, 86400),
        (133015, 0, 300),
        (131048, 0, None),
        (131026, 0, None),
        (131047, 0, None),
        (4242, 0, None),
    ],
)
def test_the_next_retry_is_relative_to_the_failure(code, tries, seconds):
    expected = None if seconds is None else AT + timedelta(seconds=seconds)
    assert retry_at(retry_advice(explain(code), tries), AT) == expected


def test_advice_with_limited_retries_is_final_after_the_last_one():
    for entry in catalogue():
        allowed = MAX_RETRIES.get(entry.retry)
        if allowed is None:
            assert retry_advice(entry, 100).final == (entry.retry == "no")
        else:
            assert not retry_advice(entry, allowed - 1).final
            assert retry_advice(entry, allowed).final


def test_every_advice_has_a_text():
    assert all(retry_advice(entry).words for entry in catalogue())
