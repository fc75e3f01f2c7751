"""What grows with a flood of codes, numbers or templates is kept up to a limit, with the number of the others."""

from datetime import timedelta

import pytest

from tests.channels.notifications import notification
from webhook_app.channels.incident_text import compose
from webhook_app.pipeline.incidents.details import alert_details
from webhook_app.pipeline.incidents.details.alert_details import stored_details
from webhook_app.pipeline.incidents.details.incident_details import stored
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.incident_membership import MAX_NAMES, joined_by
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.incidents import FiringAlert
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.incidents import alerts, incidents
from webhook_app.store.incidents.incidents import Incident

[OVERALL] = parse_rules(
    '[[rule]]\nname = "overall"\nkind = "rate"\ngroup_by = []\nwindow_minutes = 15\nfor_evaluations = 1\n'
    "threshold = 0.02\n"
)
MINUTE = timedelta(minutes=1)
CODE = 9_000_000


@pytest.fixture
def evaluated(engine, monkeypatch):
    """The only alert and incident after an evaluation, with room for three in a list."""
    monkeypatch.setattr(alert_details, "MOST_LISTED", 3)

    def run(at):
        evaluate(engine, [OVERALL], at)
        with engine.connect() as connection:
            [alert], [incident] = alerts.open_alerts(connection), incidents.list_incidents(connection, 9)
        return alert, incident

    return run


def test_an_alert_keeps_the_codes_with_most_failures_and_counts_the_others(evaluated, traffic, now):
    for n in range(5):
        traffic.failed(10 + n, now, CODE + n)
    alert, _ = evaluated(now)
    kept, details = [CODE + 4, CODE + 3, CODE + 2], stored_details(alert)
    assert (alert.codes, alert.webhook_codes, details.more_codes) == (kept, kept, 2)
    assert [each.code for each in details.codes] == kept
    traffic.failed(40, now, CODE + 9)
    alert, _ = evaluated(now + MINUTE)
    kept = [CODE + 9, *kept[:2]]
    assert (alert.codes, alert.webhook_codes, stored_details(alert).more_codes) == (kept, kept, 3)


def test_an_incident_keeps_the_numbers_and_templates_with_most_failures_and_counts_the_others(
    evaluated, traffic, now
):
    for n in range(5):
        traffic.failed(10 + n, now, CODE, number=f"number {n}", template=f"t{n}")
    evaluated(now)
    _, incident = evaluated(now + MINUTE)
    details = stored(incident)
    assert (details.numbers, details.more_numbers) == (("number 4", "number 3", "number 2"), 2)
    assert (details.templates, details.more_templates) == (("t4", "t3", "t2"), 2)
    assert incident.title.endswith("5 business numbers")


@pytest.mark.parametrize("known", [{}, {"phone_number_id": ["a"]}, {"phone_number_id": ["a", "n3", "z"]}])
def test_an_incident_is_named_with_as_many_numbers_as_there_is_room_for_those_it_has_first(known, now):
    failing = {(CODE, SeriesKey(f"n{n}", "", "", "", "")): 1 for n in range(MAX_NAMES + 5)}
    firing = FiringAlert(rule="overall", kind="rate", group={}, codes=(CODE,), failing=failing, fired_at=now)
    opened = Incident(
        kind="silence", title="", severity="error", domain="silence", names=known, began_at=now,
        opened_at=now, evaluated_at=now,
    )  # fmt: skip
    names = joined_by(opened, firing).names["phone_number_id"]
    assert len(names) == len(set(names)) == MAX_NAMES
    assert {*known.get("phone_number_id", ())} <= {*names}


def test_a_message_says_how_many_numbers_and_templates_there_are_beyond_those_it_lists():
    listed = {"numbers": ("1", "2", "3", "4"), "more_numbers": 96, "templates": ("a",), "more_templates": 1}
    text = dict(compose(notification(slice=None, title="131016 fails", **listed)).facts)["For whom"]
    assert text.startswith("100 business numbers: 1, 2, 3 and 97 more; 2 templates: a and 1 more;")
