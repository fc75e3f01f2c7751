"""The state line and the notices under it, from facts alone."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.store.incidents.outbox import Backlog
from webhook_app.store.operations.scheduler_state import JobState
from webhook_app.store.receiving.books import Totals
from webhook_app.web.pages.counts.service_state import ServiceFacts, notices_of, state_of
from webhook_app.web.pages.wording import ago, number, percent, place, stamp

NOW = datetime(2026, 11, 3, 3, 0, tzinfo=UTC)
THIN = "\N{NARROW NO-BREAK SPACE}"


def looked(seconds_ago, error=""):
    at = NOW - timedelta(seconds=seconds_ago)
    return JobState("evaluate", at, at, 0.1, error, "host")


def facts(**changed):
    usual = {
        "now": NOW,
        "open_incidents": 0,
        "pending": 0,
        "since": None,
        "attempts": 1000,
        "failures": 10,
        "totals": Totals(received=5000, applied=4990, duplicate=10, ignored=0, quarantined=0),
        "last_received_at": NOW,
        "last_status_at": NOW,
        "statuses_before": 4000,
        "evaluated": looked(5),
        "evaluate_seconds": 15,
        "quarantined": 0,
        "refused": {},
        "backlog": {},
    }
    return ServiceFacts(**(usual | changed))


NOTHING = Totals(received=0, applied=0, duplicate=0, ignored=0, quarantined=0)


@pytest.mark.parametrize(
    ("changed", "level", "headline"),
    [
        ({}, "calm", "All quiet"),
        ({"open_incidents": 1}, "bad", "1 open incident"),
        ({"open_incidents": 2, "pending": 1, "evaluated": None}, "bad", "2 open incidents"),
        ({"pending": 1}, "watch", "Failures are rising"),
        ({"evaluated": None}, "watch", "No incidents, but check the notices"),
        ({"totals": NOTHING, "last_received_at": None}, "new", "Waiting for the first webhook"),
        ({"totals": NOTHING}, "calm", "All quiet"),
    ],
)
def test_the_headline_is_the_worst_there_is_to_say(changed, level, headline):
    known = facts(**changed)
    state = state_of(known, notices_of(known))
    assert (state.level, state.headline) == (level, headline)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"evaluated": None}, "The scheduler has never run"),
        ({"evaluated": looked(59)}, None),
        ({"evaluated": looked(61)}, "the scheduler has stopped"),
        ({"evaluated": looked(61), "evaluate_seconds": 60}, None),
        ({"evaluated": looked(5, "OperationalError: gone")}, "evaluation failed"),
        ({"last_status_at": NOW - timedelta(minutes=11)}, "No status received for 11 min"),
        ({"last_status_at": NOW - timedelta(minutes=11), "statuses_before": 3}, None),
        ({"last_status_at": None, "statuses_before": 0}, None),
        ({"totals": Totals(received=2, applied=1, duplicate=0, ignored=0, quarantined=0)}, "do not balance"),
        ({"refused": {"mismatch": 1204}}, f"1{THIN}204 deliveries refused"),
        ({"quarantined": 2}, "2 items were not understood"),
        ({"backlog": {"slack": Backlog(3, 0, NOW - timedelta(minutes=3))}}, "slack (3)"),
        ({"backlog": {"slack": Backlog(3, 0, NOW - timedelta(minutes=1))}}, None),
        ({"backlog": {"slack": Backlog(0, 9, None)}}, None),
    ],
)
def test_what_needs_a_person_is_said_and_nothing_else(changed, words):
    notices = notices_of(facts(**changed))
    assert len(notices) == (words is not None)
    assert words is None or words in notices[0].what


def test_a_bad_state_says_since_when():
    state = state_of(facts(open_incidents=1, since=NOW - timedelta(minutes=46)), [])
    assert state.detail.startswith("Since 02:14 UTC, for 46 min. 1 % of")


def test_figures_and_times_are_spelled_for_people():
    yesterday = NOW - timedelta(hours=4)
    assert [number(7), number(1204), number(1_204_000)] == ["7", f"1{THIN}204", f"1{THIN}204{THIN}000"]
    assert [percent(0.0316), percent(1.2)] == [f"3.16{THIN}%", f"100{THIN}%"]
    assert [stamp(NOW, NOW), stamp(yesterday, NOW)] == ["03:00 UTC", "2026-11-02 23:00 UTC"]
    assert [ago(yesterday, NOW), ago(NOW, NOW), ago(NOW, yesterday)] == ["4 h ago", "just now", "in 4 h"]
    assert (
        place({"template": "sale", "country": "", "phone_number_id": "12"}) == "template sale, from number 12"
    )
