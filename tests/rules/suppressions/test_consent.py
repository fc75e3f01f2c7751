import itertools
from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.suppressions.consent import ConsentStatement, newest

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


def wish(said, minutes=0, message_id=""):
    return ConsentStatement(NOON + timedelta(minutes=minutes), said, message_id)


def test_nothing_said_is_no_wish():
    assert newest([]) is None


@pytest.mark.parametrize(
    ("wishes", "wins"),
    [
        ([wish("stop"), wish("resume", 1)], "resume"),
        ([wish("resume"), wish("stop", 1)], "stop"),
        ([wish("stop"), wish("start", 1), wish("code", 2)], "code"),
        ([wish("standing", 3), wish("operator", 4), wish("start", 2)], "operator"),
        # In the same second:
        ([wish("stop"), wish("resume")], "stop"),
        ([wish("code"), wish("resume")], "resume"),
        ([wish("standing"), wish("start")], "standing"),
        ([wish("standing"), wish("stop")], "stop"),
    ],
)
def test_the_newest_word_wins_in_any_order(wishes, wins):
    assert {newest(order).said for order in itertools.permutations(wishes)} == {wins}


@pytest.mark.parametrize(
    ("said", "against"),
    [
        ("stop", True),
        ("code", True),
        ("standing", True),
        ("resume", False),
        ("start", False),
        ("operator", False),
    ],
)
def test_each_word_is_for_or_against(said, against):
    assert wish(said).against is against
