"""Of several statements of a person, the newest of each source counts."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.suppressions.consent import ConsentStatement, newest, opt_outs

NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


def statement(kind, minutes=0, source="chat"):
    return ConsentStatement(NOON + timedelta(minutes=minutes), kind, source=source)


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


@pytest.mark.parametrize(
    ("statements", "active"),
    [
        ([], []),
        ([statement("stop"), statement("start", 1)], []),
        ([statement("start"), statement("stop", 1)], ["stop"]),
        ([statement("stop", 0, "settings"), statement("start", 1)], ["stop"]),
        ([statement("stop", 0, "settings"), statement("resume", 1, "settings")], []),
        ([statement("ambiguous"), statement("resume", 1, "settings")], []),
        ([statement("ambiguous"), statement("stop", 1, "settings")], ["ambiguous", "stop"]),
        ([statement("stop_marketing"), statement("ambiguous", 1)], ["stop_marketing"]),
        ([statement("stop_marketing"), statement("start", 1), statement("ambiguous", 2)], ["ambiguous"]),
        ([statement("ambiguous"), statement("code", 1, "settings"), statement("operator", 2)], []),
    ],
)
def test_the_opt_outs_in_force_are_the_clearest_since_the_last_lift(statements, active):
    for order in itertools.permutations(statements):
        assert [each.kind for each in opt_outs(order)] == active
