"""Incidents over HTTP: lists, details, their failures, and the actions on them."""

import csv
import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.support.alerts import store_alert
from tests.support.factories import NUMBER, body, status
from tests.support.incidents import store_incident
from tests.web.conftest import Api, Deliver
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.incidents import alerts, incidents, outbox

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
RULES = """
[[rule]]
name = "failures"
kind = "rate"
codes = [132015, 131026]
group_by = ["code", "phone_number_id"]
window_minutes = 15
threshold = 0.02
min_attempts = 10
min_failures = 5
for_evaluations = 1
resolve_below = 0.015
channels = ["log"]
"""
HOSTILE = "=HYPERLINK(1)"


@pytest.fixture
def opened(deliver: Deliver, engine: Engine, now: datetime) -> int:
    """The id of an incident that real failures opened: 20 of 40 failed, and 3 more with a code that belongs to none."""
    sent = [status(f"wamid.{n}", "sent", now) for n in range(40)]
    failed = [status(f"wamid.{n}", "failed", now, code=132015, details=HOSTILE) for n in range(20)]
    others = [status(f"wamid.{n}", "failed", now, code=131049) for n in range(30, 33)]
    deliver(body(*sent, *failed, *others))
    evaluate(engine, parse_rules(RULES), now)
    with engine.connect() as connection:
        [incident] = incidents.open_incidents(connection)
    return incident.id


def test_an_incident_says_what_fails_for_whom_since_when_and_what_to_do(api: Api, opened: int) -> None:
    [listed] = api.get("/v1/incidents?state=open", role="viewer").json["incidents"]
    assert (listed["id"], listed["state"], listed["severity"]) == (opened, "open", "warning")
    assert listed["title"] == f"132015 Template is Paused, business number {NUMBER}"
    assert (listed["codes"], listed["slice"]) == ([132015], None)
    assert (listed["failures"], listed["contacts"]) == (20, 1)
    assert (listed["window_failures"], listed["attempts"], listed["window_minutes"]) == (20, 40, 15)
    assert listed["low"] < listed["rate"] == listed["worst"] == 0.5 < listed["high"]
    assert listed["advice"]
    assert (listed["told_at"], listed["ended_at"], listed["ended_how"]) == (None, None, "")
    [alert] = listed["alerts"]
    assert (alert["rule"], alert["state"]) == ("failures", "firing")
    assert alert["group"] == {"code": 132015, "phone_number_id": NUMBER}
    one = api.get(f"/v1/incidents/{opened}", role="sender").json
    assert {name: one[name] for name in listed if name != "counted_at"} == {
        name: value for name, value in listed.items() if name != "counted_at"
    }
    assert [meaning["code"] for meaning in one["meanings"]] == [132015]
    assert (one["numbers"], one["templates"], one["failures_by_code"]) == ([NUMBER], [], {"132015": 20})
    assert len(one["samples"]) == 3


def test_an_open_incident_is_counted_anew_when_it_is_read(
    api: Api, opened: int, deliver: Deliver, now: datetime
) -> None:
    deliver(
        body(*(status(f"wamid.x{n}", "failed", now, code=132015, recipient="491710000100") for n in range(5)))
    )
    one = api.get(f"/v1/incidents/{opened}").json
    assert (one["failures"], one["contacts"]) == (25, 2)


def test_incidents_are_listed_newest_first_by_state_severity_time_and_page(
    api: Api, engine: Engine, now: datetime
) -> None:
    ids = [
        store_incident(engine, now, state="ended", ended_at=now - 2 * HOUR, ended_how="recovered"),
        store_incident(engine, now, severity="critical"),
        store_incident(
            engine, now, state="ended", ended_at=now - HOUR / 2, ended_how="quiet", severity="critical"
        ),
        store_incident(engine, now),
    ]

    def listed(query: str) -> list[int]:
        return [incident["id"] for incident in api.get(f"/v1/incidents?{query}").json["incidents"]]

    assert listed("") == ids[::-1]
    assert listed("state=open") == [ids[3], ids[1]]
    assert listed("state=ended&severity=critical") == [ids[2]]
    since = (now - HOUR).isoformat().replace("+00:00", "Z")
    assert listed(f"since={since}") == [ids[3], ids[2], ids[1]]
    seen, cursor = [], ""
    while True:
        page = api.get(f"/v1/incidents?limit=3{cursor}").json
        seen += [incident["id"] for incident in page["incidents"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ids[::-1]


class TestFailures:
    def test_they_are_those_of_its_codes_in_its_groups_newest_first_page_by_page(
        self, api: Api, opened: int, deliver: Deliver, now: datetime
    ) -> None:
        before, other = now - 2 * HOUR, "590238114479999"
        deliver(body(status("wamid.before", "failed", before, code=132015)))
        deliver(body(status("wamid.elsewhere", "failed", now, code=132015), number=other))
        deliver(body(status("wamid.late", "failed", now + timedelta(seconds=1), code=132015)))
        path = f"/v1/incidents/{opened}/failures"
        first = api.get(f"{path}?limit=11", role="viewer").json
        second = api.get(f"{path}?limit=11&cursor={first['next_cursor']}").json
        found = [failure["message_id"] for page in (first, second) for failure in page["failures"]]
        assert found[0] == "wamid.late"
        assert set(found) == {"wamid.late", *(f"wamid.{n}" for n in range(20))}
        assert (len(found), second["next_cursor"]) == (21, None)
        assert first["failures"][0] == api.get(f"/v1/failures/{first['failures'][0]['id']}").json

    def test_they_are_a_csv_file_too_with_safe_cells(self, api: Api, opened: int) -> None:
        answer = api.get(f"/v1/incidents/{opened}/failures?format=csv")
        assert answer.mimetype == "text/csv"
        rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\N{BOM}"))))
        assert {row["message_id"] for row in rows} == {f"wamid.{n}" for n in range(20)}
        assert {row["details"] for row in rows} == {f"'{HOSTILE}"}
        lines = api.get(f"/v1/incidents/{opened}/failures?format=ndjson").text.splitlines()
        assert len(lines) == 20

    def test_the_search_of_failures_narrows_within_an_incident(self, api: Api, opened: int) -> None:
        found = api.get(f"/v1/failures?incident_id={opened}&limit=1000").json["failures"]
        assert len(found) == 20
        assert api.get(f"/v1/failures?incident_id={opened}&code=131049").json["failures"] == []
        assert api.get("/v1/failures?incident_id=999").json["error"]["code"] == "bad_incident"

    def test_an_incident_without_codes_holds_none(
        self, api: Api, engine: Engine, opened: int, now: datetime
    ) -> None:
        assert opened
        other = store_incident(engine, now - HOUR, kind="health")
        assert api.get(f"/v1/incidents/{other}/failures").json == {"failures": [], "next_cursor": None}


class TestActions:
    def test_acknowledging_keeps_the_name_of_the_first_key(
        self, api: Api, opened: int, client: Any, operator: dict[str, str]
    ) -> None:
        first = api.post(f"/v1/incidents/{opened}/acknowledge")
        assert (first.status_code, first.json["acknowledged_by"]) == (200, "admin")
        again = client.post(f"/v1/incidents/{opened}/acknowledge", headers=operator).json
        assert again["acknowledged_by"] == "admin"
        assert again["acknowledged_at"] == first.json["acknowledged_at"]

    def test_a_snooze_ends_after_its_minutes(self, api: Api, opened: int, now: datetime) -> None:
        answer = api.post(f"/v1/incidents/{opened}/snooze", json={"minutes": 90}).json
        until = datetime.fromisoformat(answer["snoozed_until"])
        assert now + 89 * MINUTE < until < now + 95 * MINUTE
        for minutes in (0, 10081, "90", None):
            assert api.post(f"/v1/incidents/{opened}/snooze", json={"minutes": minutes}).status_code == 400

    def test_the_channels_that_were_notified_are_notified_of_the_action(
        self, api: Api, engine: Engine, opened: int, now: datetime
    ) -> None:
        evaluate(engine, parse_rules(RULES), now + MINUTE)
        api.post(f"/v1/incidents/{opened}/acknowledge")
        found = api.get(f"/v1/notifications?incident_id={opened}").json["notifications"]
        assert [(each["channel"], each["reason"]) for each in found] == [
            ("log", "acknowledged"),
            ("log", "fired"),
        ]

    def test_an_ended_incident_cannot_be_acknowledged_or_snoozed(
        self, api: Api, engine: Engine, now: datetime
    ) -> None:
        over = store_incident(engine, now, state="ended", ended_at=now)
        for action, given in (("acknowledge", None), ("snooze", {"minutes": 5})):
            response = api.post(f"/v1/incidents/{over}/{action}", json=given)
            assert (response.status_code, response.json["error"]["code"]) == (409, "ended")

    def test_an_unknown_incident_is_404_and_a_viewer_changes_nothing(self, api: Api, opened: int) -> None:
        for path in ("", "/failures"):
            assert api.get(f"/v1/incidents/999{path}").status_code == 404
        for action, given in (("acknowledge", None), ("snooze", {"minutes": 5}), ("undo-suppressions", None)):
            assert api.post(f"/v1/incidents/999/{action}", json=given).status_code == 404
            assert api.post(f"/v1/incidents/{opened}/{action}", json=given, role="viewer").status_code == 403


class TestAlertsOfIncidents:
    @pytest.fixture
    def alert_id(self, engine: Engine, opened: int) -> int:
        with engine.connect() as connection:
            return alerts.of_incidents(connection, [opened])[0].id

    def test_what_is_done_on_an_alert_is_done_on_its_incident(
        self, api: Api, engine: Engine, opened: int, alert_id: int
    ) -> None:
        assert api.get(f"/v1/alerts/{alert_id}").json["incident_id"] == opened
        answer = api.post(f"/v1/alerts/{alert_id}/acknowledge").json
        assert (answer["id"], answer["acknowledged_by"]) == (opened, "admin")
        assert api.post(f"/v1/alerts/{alert_id}/snooze", json={"minutes": 5}).json["snoozed_by"] == "admin"
        assert api.post(f"/v1/alerts/{alert_id}/undo-suppressions").json["incident_id"] == opened
        with engine.connect() as connection:
            found = incidents.get(connection, opened)
            assert found is not None
            assert found.acknowledged_by == found.snoozed_by == "admin"
            assert outbox.channels_of(connection, opened) == []

    def test_an_alert_that_has_not_fired_has_no_incident(
        self, api: Api, engine: Engine, now: datetime
    ) -> None:
        pending = store_alert(engine, now, state="pending", fired_at=None)
        response = api.post(f"/v1/alerts/{pending}/acknowledge")
        assert (response.status_code, response.json["error"]["code"]) == (409, "pending")
