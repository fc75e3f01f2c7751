"""Of several statements of a person, the newest counts."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.suppressions.consent import ConsentStatement, newest

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


def statement(kind, minutes=0, message_id=""):
    return ConsentStatement(NOON + timedelta(minutes=minutes), kind, message_id)


def test_nothing_said_is_no_statement():
    assert newest([]) is None


@pytest.mark.parametrize(
    ("statements", "wins"),
    [
        ([statement("stop"), statement("resume", 1)], "resume"),
        ([statement("resume"), statement("stop", 1)], "stop"),
        ([statement("stop"), statement("start", 1), statement("code", 2)], "code"),
        ([statement("stored", 3), statement("operator", 4), statement("start", 2)], "operator"),
        # In the same second:
        ([statement("stop"), statement("resume")], "stop"),
        ([statement("code"), statement("resume")], "resume"),
        ([statement("stored"), statement("start")], "stored"),
        ([statement("stored"), statement("stop")], "stop"),
    ],
)
def test_the_newest_statement_wins_in_any_order(statements, wins):
    assert {newest(order).kind for order in itertools.permutations(statements)} == {wins}


@pytest.mark.parametrize(
    ("kind", "is_opt_out"),
    [
        ("stop", True),
        ("code", True),
        ("stored", True),
        ("resume", False),
        ("start", False),
        ("operator", False),
    ],
)
def test_each_kind_is_an_opt_out_or_not(kind, is_opt_out):
    assert statement(kind).is_opt_out is is_opt_out
