"""What each suppression blocks, and which one decides."""

import pytest

from webhook_app.rules.suppressions.blocking import blocking_suppression, strength
from webhook_app.rules.suppressions.streaks import Suppress


def test_reasons_are_ranked_and_within_a_reason_all_comes_before_marketing():
    ranked = [
        (reason, scope)
        for reason in ("opted_out", "manual", "hard", "unreachable")
        for scope in ("all", "marketing")
    ]
    shuffled = [ranked[place] for place in (3, 7, 0, 5, 1, 6, 4, 2)]
    assert sorted(shuffled, key=lambda each: strength(*each)) == ranked


def suppression(reason, scope):
    return Suppress(reason, scope, -1, None, 1, ())


STOP, MANUAL = suppression("opted_out", "all"), suppression("manual", "all")
NO_MARKETING, DEAD = suppression("opted_out", "marketing"), suppression("unreachable", "all")


@pytest.mark.parametrize(
    ("one", "category", "window_open", "strict", "blocked"),
    [
        (NO_MARKETING, "marketing", False, False, True),
        (NO_MARKETING, "marketing", True, False, True),
        (NO_MARKETING, None, False, False, True),
        (NO_MARKETING, "", False, False, True),
        (NO_MARKETING, "newsletter", False, False, True),
        (NO_MARKETING, "marketing_lite", False, False, True),
        (NO_MARKETING, "utility", False, True, False),
        (NO_MARKETING, "authentication", False, True, False),
        (DEAD, "marketing", True, False, True),
        (DEAD, "utility", True, False, True),
        (DEAD, "authentication", True, False, True),
        (MANUAL, "service", True, False, True),
        (MANUAL, "authentication", True, False, True),
        (STOP, "authentication", False, False, False),
        (STOP, "AUTHENTICATION", False, False, False),
        (STOP, "authentication-international", False, False, False),
        (STOP, "service", True, False, False),
        (STOP, "utility", True, False, False),
        (STOP, "service", False, False, True),
        (STOP, "utility", False, False, True),
        (STOP, "marketing", True, False, True),
        (STOP, None, True, False, True),
        (STOP, "authentication", True, True, True),
        (STOP, "service", True, True, True),
    ],
)
def test_a_scope_blocks_its_categories_and_a_stop_allows_what_the_person_requested(
    one, category, window_open, strict, blocked
):
    assert blocking_suppression([one], category, window_open, strict) is (one if blocked else None)


def test_the_strongest_applicable_suppression_decides():
    everything = [DEAD, NO_MARKETING, MANUAL, suppression("hard", "all"), STOP]
    assert blocking_suppression(everything, "marketing", False, False) is STOP
    assert blocking_suppression(everything, "utility", False, False) is STOP
    assert blocking_suppression(everything, "authentication", False, False) is MANUAL
    assert blocking_suppression([suppression("unreachable", "marketing"), DEAD], None, False, False) is DEAD
    assert blocking_suppression([], "marketing", False, False) is None
