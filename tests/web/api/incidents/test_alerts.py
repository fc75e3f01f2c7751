"""Alerts over HTTP: lists and details. test_incidents.py has the actions."""

import pytest

from tests.support.alerts import store_alert
from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.incidents import alerts

RULES = """
[[rule]]
name = "failures"
kind = "rate"
codes = [132015]
group_by = ["code", "phone_number_id"]
window_minutes = 15
threshold = 0.02
min_attempts = 10
min_failures = 5
for_evaluations = 1
resolve_below = 0.015
channels = ["log"]
"""


@pytest.fixture
def fired(deliver, engine, now):
    """The id of an alert that real failures made fire."""
    sent = [status(f"wamid.{n}", "sent", now) for n in range(40)]
    failed = [status(f"wamid.{n}", "failed", now, code=132015) for n in range(20)]
    deliver(body(*sent, *failed))
    evaluate(engine, parse_rules(RULES), now)
    with engine.connect() as connection:
        return alerts.open_alerts(connection)[0].id


def test_an_alert_has_rule_group_figures_times_and_the_meaning_of_its_codes(api, fired):
    (listed,) = api.get("/v1/alerts?state=firing", role="viewer").json["alerts"]
    assert (listed["rule"], listed["kind"], listed["state"]) == ("failures", "rate", "firing")
    assert listed["group"] == {"code": 132015, "phone_number_id": NUMBER}
    assert (listed["attempts"], listed["failures"], listed["codes"]) == (40, 20, [132015])
    assert listed["low"] < listed["rate"] == 0.5 < listed["high"]
    assert (listed["incident_id"] is not None, listed["ended_how"]) == (True, "")
    one = api.get(f"/v1/alerts/{fired}", role="sender").json
    assert {name: one[name] for name in listed} == listed
    assert [meaning["code"] for meaning in one["meanings"]] == [132015]


def test_an_unknown_alert_is_404(api):
    for method, path in (("GET", ""), ("POST", "/acknowledge")):
        assert api.ask(method, f"/v1/alerts/999{path}").status_code == 404
    assert api.post("/v1/alerts/999/snooze", json={"minutes": 5}).status_code == 404


def test_alerts_are_listed_newest_first_by_state_and_page(api, engine, now):
    states = ("resolved", "firing", "pending", "resolved", "firing")
    ids = [
        store_alert(engine, now, state=state, group={"campaign": str(n)}) for n, state in enumerate(states)
    ]
    seen, cursor = [], ""
    while True:
        page = api.get(f"/v1/alerts?limit=2{cursor}").json
        seen += [alert["id"] for alert in page["alerts"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]
    resolved = api.get("/v1/alerts?state=resolved").json["alerts"]
    assert [alert["id"] for alert in resolved] == [ids[3], ids[0]]
