"""The pages about alerts, the evidence of incidents: every kind has a name, lists narrow, incidents are linked."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import insert

from tests.support.alerts import make_alert, store_alert
from tests.support.factories import NUMBER, body, status
from tests.support.incidents import store_incident
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS
from webhook_app.rules.incidents.rules_file.rule_kinds import INTEGRITY_CHECKS, SELF_CHECKS
from webhook_app.store import schema
from webhook_app.store.incidents import alerts
from webhook_app.web.pages.incidents.alert_names import CHECKS, KINDS

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
EXPLAINED = {"since": "2026-11-20T10:00:00Z", "reason": "Still firing: words."}


@pytest.fixture
def make(engine, now):
    """Store an alert; returns its id."""

    def stored(**changed):
        started = now - HOUR
        times = {"covers_from": started, "started_at": started, "fired_at": started}
        return store_alert(engine, now, **({"state": "firing", "group": {}, "codes": [], **times} | changed))

    return stored


GROUPS = {
    "rate": {"code": 131026, "phone_number_id": NUMBER},
    "new_code": {"code": 131026, "phone_number_id": NUMBER},
    "spike": {"code": 131026, "phone_number_id": NUMBER},
    "attention": {"code": 190, "phone_number_id": NUMBER},
    "undelivered": {"phone_number_id": NUMBER},
    "slow": {"phone_number_id": NUMBER},
    "silence": {"phone_number_id": NUMBER},
    "signature": {},
    "integrity": {"check": "books"},
    "health": {"template": "order_update", "language": "de", "aspect": "status"},
    "tier": {"phone_number_id": NUMBER},
    "self": {"check": "notifications"},
}
TITLES = {
    "rate": "131026 Message Undeliverable",
    "new_code": "131026 Message Undeliverable, a new code here",
    "spike": "131026 Message Undeliverable, far more than usual",
    "attention": "190 ",
    "undelivered": "Delivery reports are missing",
    "slow": "Messages are delivered slowly",
    "silence": "No webhooks arrive",
    "signature": "Deliveries refused for their signature",
    "integrity": "The books do not balance",
    "health": "Template order_update, language de: status",
    "tier": "Messaging limit nearly used up",
    "self": "Notifications are not delivered",
}


class TestEveryKind:
    @pytest.mark.parametrize("state", ["firing", "pending", "resolved"])
    @pytest.mark.parametrize("kind", KINDS)
    def test_its_page_its_data_and_its_line_name_it(self, admin, make, now, kind, state):
        counts = kind in COUNTING_KINDS
        group = GROUPS[kind]
        explanation = EXPLAINED | {
            "finding": "" if counts else "The finding in words",
            "codes": [{"code": group["code"], "failures": 3}] if "code" in group else [],
        }
        made = make(
            kind=kind,
            state=state,
            group=group,
            codes=[group["code"]] if "code" in group else [],
            explanation=explanation,
            resolved_at=now - MINUTE if state == "resolved" else None,
            window_minutes=15,
        )
        page, line = admin.get(f"/alerts/{made}").text, admin.get("/alerts").text
        data = admin.get(f"/dashboard/alerts/{made}").json
        assert data["shape"] == state
        for text in (page, line, data["headline"]):
            assert TITLES[kind] in text
        assert ("The finding in words" in page) is not counts
        assert (data["chart"] is None) is (
            kind in ("undelivered", "slow", "integrity", "health", "tier", "self")
        )
        assert "check books" not in page
        assert "aspect status" not in page

    @pytest.mark.parametrize("check", [*INTEGRITY_CHECKS, *SELF_CHECKS])
    def test_every_check_has_a_name(self, check):
        assert CHECKS[check][0].isupper()

    def test_a_kind_of_a_newer_version_has_a_page_too(self, admin, make):
        made = make(kind="weather", group={"planet": "mars"}, explanation=EXPLAINED | {"finding": "Storm"})
        page = admin.get(f"/alerts/{made}").text
        assert "Storm" in page
        assert "planet mars" in page

    def test_silence_shows_the_flow_of_webhooks(self, admin, make, deliver, now):
        deliver(body(*(status(f"wamid.{n}", "delivered", now - 90 * MINUTE) for n in range(7))))
        made = make(kind="silence", group={"phone_number_id": NUMBER}, window_minutes=30)
        chart = admin.get(f"/dashboard/alerts/{made}").json["chart"]
        assert (chart["volume"], chart["lines"], max(chart["attempts"])) == ("Webhooks", [], 7)

    def test_refused_deliveries_show_as_a_flow(self, admin, make, engine, now):
        at = (now - 10 * MINUTE).replace(second=0)
        with engine.begin() as connection:
            connection.execute(insert(schema.rejections).values(minute=at, kind="mismatch", count=9))
        made = make(kind="signature", window_minutes=15)
        chart = admin.get(f"/dashboard/alerts/{made}").json["chart"]
        assert (chart["volume"], chart["attempts"][-1]) == ("Refused deliveries", 9)


class TestPage:
    def test_it_links_its_incident_its_rule_and_says_what_was_judged(self, viewer, engine, now):
        member = {"rule": "failures", "group": {"code": 131026}, "codes": [131026], "explanation": EXPLAINED}
        incident_id = store_incident(engine, now, member, title="The incident")
        with engine.connect() as connection:
            [alert] = alerts.of_incidents(connection, [incident_id])
        page = viewer.get(f"/alerts/{alert.id}").text
        assert f'href="/incidents/{incident_id}">The incident</a>' in page
        assert 'href="/rules/one?rule=failures"' in page
        assert "Still firing: words." in page
        assert "<button" not in page[page.index("<main") :]

    def test_before_it_fires_it_belongs_to_no_incident(self, admin, make):
        page = admin.get(f"/alerts/{make(state='pending', fired_at=None)}").text
        assert "none: an alert joins an incident when it fires" in page

    def test_it_says_how_it_was_resolved(self, admin, make, now):
        page = admin.get(f"/alerts/{make(state='resolved', resolved_at=now, ended_how='faded')}").text
        assert "no failure for 24 h" in page

    @pytest.mark.parametrize("number", [404, 2**63, 10**30])
    def test_an_unknown_alert_is_not_found(self, admin, number):
        response = admin.get(f"/alerts/{number}")
        assert response.status_code == 404
        assert "There is no alert" in response.text


class TestList:
    def test_it_narrows_by_state_severity_kind_and_rule(self, admin, make, now):
        made = {
            "firing": make(rule="a", severity="critical"),
            "pending": make(rule="b", state="pending", fired_at=None),
            "over": make(rule="c", kind="spike", state="resolved", resolved_at=now),
        }

        def listed(query):
            page = admin.get(f"/alerts?{query}").text
            return {name for name, alert_id in made.items() if f'href="/alerts/{alert_id}"' in page}

        assert listed("") == {"firing", "pending", "over"}
        assert listed("state=open") == {"firing", "pending"}
        assert listed("state=pending") == {"pending"}
        assert listed("state=resolved") == {"over"}
        assert listed("severity=critical") == {"firing"}
        assert listed("kind=spike") == {"over"}
        assert listed("state=open&kind=spike") == set()
        assert listed("state=nonsense&kind=%00") == {"firing", "pending", "over"}

    def test_the_same_narrowing_is_in_the_api(self, api, make):
        made = make(severity="critical", kind="health", rule="a")
        make(rule="b")
        for query in ("severity=critical", "kind=health", "rule=a"):
            assert [each["id"] for each in api.get(f"/v1/alerts?{query}").json["alerts"]] == [made]

    def test_resolved_ones_go_on_page_by_page_and_keeps_the_narrowing(self, admin, make, now):
        ids = [
            make(group={"code": n}, state="resolved", resolved_at=now, severity="error") for n in range(60)
        ]
        first = admin.get("/alerts?severity=error").text
        further = re.search(r'href="(/alerts\?[^"]*cursor=[^"]*)"', first)[1].replace("&amp;", "&")
        assert "severity=error" in further
        second = admin.get(further).text
        shown = [
            int(found) for page in (first, second) for found in re.findall(r'href="/alerts/(\d+)"', page)
        ]
        assert shown == ids[::-1]

    def test_empty_it_says_when_alerts_fire_and_with_filters_how_to_see_all(self, viewer):
        assert "No alerts so far" in viewer.get("/alerts").text
        page = viewer.get("/alerts?severity=critical").text
        assert "No alert matches these filters" in page
        assert 'href="/alerts"' in page

    def test_each_line_links_the_incident(self, viewer, engine, now):
        incident_id = store_incident(engine, now, {})
        assert f'href="/incidents/{incident_id}"' in viewer.get("/alerts").text


def test_a_made_up_text_reverses_nothing_on_a_page(admin, engine, make, now):
    forging = "pro\u202emo\x1b[2J\u2066 x"
    explanation = EXPLAINED | {"finding": forging, "details": [[forging, forging]], "advice": forging}
    more = {"kind": "health", "group": {"template": forging}, "explanation": explanation}
    alert_id = make(**more)
    incident_id = store_incident(
        engine, now, more | {"rule": "other"}, kind="health", title=forging, names={"template": [forging]}
    )
    for path in (f"/alerts/{alert_id}", f"/incidents/{incident_id}", "/alerts", "/incidents", "/"):
        page = admin.get(path).text
        assert "pro mo [2J  x" in page, path
        assert not {"\u202e", "\x1b", "\u2066"} & set(page), path


def test_of_hundreds_of_open_alerts_the_worst_are_shown_and_the_others_counted(admin, engine, now):
    incident_id = store_incident(engine, now, kind="health")
    times = {"covers_from": now, "started_at": now, "fired_at": now}
    more = {"kind": "health", "state": "firing", "incident_id": incident_id, "explanation": EXPLAINED}
    groups = [{"template": f"t{place}", "aspect": "status"} for place in range(300)]
    with engine.begin() as connection:
        alerts.insert_all(connection, [make_alert(now, group=group, **more, **times) for group in groups])
    page = admin.get("/alerts").text
    assert (page.count("<tr>"), "and 100 more open alerts" in page) == (201, True)
    page = admin.get(f"/incidents/{incident_id}").text
    assert "295 more alerts" in page
    assert len(re.findall(r'href="/alerts/\d+"', page)) == 205
    assert "and 95 more alerts" in page
