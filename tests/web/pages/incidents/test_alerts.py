"""The pages about alerts: every kind reads well, lists narrow, buttons do what they say, and only for admins."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from tests.support.alerts import store_alert
from tests.support.factories import NUMBER, body, status
from tests.web.conftest import token_of
from webhook_app.pipeline.incidents import alert_actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.incidents.rule_kinds import INTEGRITY_CHECKS, SELF_CHECKS
from webhook_app.rules.incidents.rules_file import parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store import schema
from webhook_app.store.incidents import alerts, outbox
from webhook_app.store.suppressions import suppressions
from webhook_app.web.pages.incidents.alert_actions import snoozed_until
from webhook_app.web.pages.incidents.alert_names import CHECKS, KINDS

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RULES = """
[[rule]]
name = "failures"
kind = "rate"
threshold = 0.02
min_attempts = 10
min_failures = 5
for_evaluations = 1
group_by = ["code", "phone_number_id"]
channels = ["log"]
"""
EXPLAINED = {"since": "2026-11-20T10:00:00Z", "reason": "Still firing: words."}


@pytest.fixture
def make(engine, now):
    """Store an alert; returns its id."""

    def stored(**changed):
        started = now - HOUR
        times = {"covers_from": started, "started_at": started, "fired_at": started}
        return store_alert(engine, now, **({"state": "firing", "group": {}, "codes": [], **times} | changed))

    return stored


@pytest.fixture
def fired(deliver, engine, now):
    """A firing alert: of two templates, one fails always."""

    def each(first, count, template, state, **more):
        named = {"biz_opaque_callback_data": json.dumps({"template": template})}
        return [
            status(f"wamid.{n}", state, now, recipient=f"49171{n:07}", **named, **more)
            for n in range(first, first + count)
        ]

    sent = [*each(0, 40, "welcome", "sent"), *each(100, 20, "order_update", "sent")]
    deliver(body(*sent, *each(100, 20, "order_update", "failed", code=131026, details="Why it was")))
    evaluate(engine, parse_rules(RULES), now)
    with engine.connect() as connection:
        return alerts.open_alerts(connection)[0].id


GROUPS = {
    "rate": {"code": 131026, "phone_number_id": NUMBER},
    "new_code": {"code": 131026, "phone_number_id": NUMBER},
    "spike": {"code": 131026, "phone_number_id": NUMBER},
    "attention": {"code": 190, "phone_number_id": NUMBER},
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
    def test_its_page_its_data_and_its_line_say_what_is_the_matter(self, admin, make, now, kind, state):
        counts = kind in ("rate", "new_code", "spike", "attention")
        told = (
            EXPLAINED
            if counts
            else EXPLAINED
            | {
                "finding": "The finding in words",
                "details": [["Field messages", "12"]],
                "advice": "The advice in words",
            }
        )
        made = make(
            kind=kind,
            state=state,
            group=GROUPS[kind],
            explanation=told,
            resolved_at=now - MINUTE if state == "resolved" else None,
            window_minutes=15,
        )
        page, line = admin.get(f"/alerts/{made}").text, admin.get("/alerts").text
        data = admin.get(f"/dashboard/alerts/{made}").json
        assert data["shape"] == state
        for text in (page, line, data["headline"]):
            assert TITLES[kind] in text
        assert ("The finding in words" in page) is not counts
        assert ("The advice in words" in page) is (not counts and state != "resolved")
        assert (data["chart"] is None) is (kind in ("integrity", "health", "tier", "self"))
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

    def test_health_shows_what_meta_said_of_the_template(self, admin, make, client, deliver, pytestconfig):
        told = pytestconfig.rootpath / "tests/payloads/message_template_status_update_paused.json"
        document = json.loads(told.read_text())
        deliver(json.dumps(document).encode())
        name = document["entry"][0]["changes"][0]["value"]["message_template_name"]
        page = admin.get(f"/alerts/{make(kind='health', group={'template': name, 'aspect': 'status'})}").text
        assert "What Meta said" in page
        assert "<b>PAUSED</b>" in page


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

    def test_history_goes_on_page_by_page_and_keeps_the_narrowing(self, admin, make, now):
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

    def test_empty_it_says_what_an_alert_is_and_with_filters_how_to_get_out(self, viewer):
        assert "No alert has ever fired" in viewer.get("/alerts").text
        page = viewer.get("/alerts?severity=critical").text
        assert "No alert fits that" in page
        assert 'href="/alerts"' in page

    def test_what_is_muted_or_in_hand_is_marked(self, admin, make, now):
        leader = make(rule="a", acknowledged_at=now, acknowledged_by="kim")
        muted = make(rule="b", muted_by=leader, muted_why="incident")
        page = admin.get("/alerts").text
        assert "in hand: kim" in page
        assert ", muted" in page
        assert f"alert {leader}" in admin.get(f"/alerts/{muted}").text


class TestEvidence:
    def test_the_slice_that_carries_the_excess_leads_its_table(self, admin, fired):
        page = admin.get(f"/alerts/{fired}").text
        table = page[page.index("Where failures are concentrated") : page.index("Messages to look at")]
        row = re.search(r"template order_update</th>(.*?)</tr>", table, re.DOTALL)[1]
        assert re.findall(r">([^<>]+)</td>", row) == ["20", "20", "100\N{NARROW NO-BREAK SPACE}%", "20"]
        assert "template welcome" not in table

    def test_messages_lead_to_the_person_and_the_message(self, viewer, fired):
        page = viewer.get(f"/alerts/{fired}").text
        assert "Why it was" in page
        assert "+491710000119" in page
        assert 'href="/contacts?contact=%2B491710000119"' in page
        assert 'href="/messages/wamid.119"' in page
        assert f"/failures?code=131026&amp;phone_number_id={NUMBER}&amp;since=" in page

    def test_an_old_alert_says_what_is_not_kept_any_more(self, admin, make, now):
        old = now - 90 * DAY
        made = make(
            state="resolved",
            group={"code": 131026},
            covers_from=old,
            started_at=old,
            fired_at=old,
            resolved_at=old + HOUR,
            explanation=EXPLAINED | {"samples": ["wamid.OLD"]},
        )
        page = admin.get(f"/alerts/{made}").text
        assert "are not kept any more" in page
        assert "wamid.OLD" in page


class TestTimeline:
    def test_who_acted_and_what_did_not_get_out_is_told_once(self, admin, engine, fired, now):
        with engine.begin() as connection:
            until = now + HOUR
            alert_actions.snooze(connection, fired, until=until, actor="kim", now=now + MINUTE)
            alert_actions.acknowledge(connection, fired, actor="sam", now=now + 2 * MINUTE)
            claim = outbox.claim(connection, "log", now + 3 * MINUTE, now + 4 * MINUTE)
            outbox.mark_failed(connection, claim, now + 3 * MINUTE, "no such channel")
        page = admin.get(f"/alerts/{fired}").text
        timeline = page[page.index('class="timeline"') :]
        assert re.sub(r"<[^>]+>", "", timeline).count("Snoozed until") == 1
        for words in (
            "by kim",
            "by sam",
            "Notification to the log failed",
            "no such channel",
            "Pending",
            "Firing",
        ):
            assert words in timeline

    def test_a_silence_that_mutes_it_is_part_of_the_timeline(self, admin, engine, make, now):
        with engine.begin() as connection:
            held = alert_actions.add_silence(
                connection, matchers={"rule": "r"}, author="kim", until=now + HOUR, comment="", now=now
            )
        page = admin.get(f"/alerts/{make(muted_by=held.id, muted_why='silence')}").text
        assert f"Silence {held.id} began" in page
        assert "Not notified: a silence covers it" in page


class TestActs:
    @pytest.mark.parametrize(
        ("span", "until"),
        [
            ("1h", datetime(2026, 9, 30, 23, 30, tzinfo=UTC)),
            ("8h", datetime(2026, 10, 1, 6, 30, tzinfo=UTC)),
            ("tomorrow", datetime(2026, 10, 1, 8, 0, tzinfo=UTC)),
            ("forever", None),
        ],
    )
    def test_a_snooze_lasts_as_long_as_its_button_says(self, span, until):
        assert snoozed_until(span, datetime(2026, 9, 30, 22, 30, tzinfo=UTC)) == until

    def test_the_page_says_what_was_done(self, admin, fired):
        token = token_of(admin.get(f"/alerts/{fired}"))
        done = admin.post(
            f"/alerts/{fired}/snooze", data={"token": token, "for": "tomorrow"}, follow_redirects=True
        )
        assert "Snoozed: no reminders until" in done.text
        assert "08:00 UTC" in done.text

    def test_nothing_is_left_to_do_about_what_is_over(self, admin, make, now):
        made = make(state="resolved", resolved_at=now, kind="health")
        page = admin.get(f"/alerts/{made}")
        assert f'action="/alerts/{made}/' not in page.text
        for act in ("acknowledge", "snooze"):
            data = {"token": token_of(page), "for": "1h"}
            answer = admin.post(f"/alerts/{made}/{act}", data=data, follow_redirects=True)
            assert "Already resolved" in answer.text

    def test_a_span_nobody_offers_is_refused(self, admin, fired):
        token = token_of(admin.get(f"/alerts/{fired}"))
        assert admin.post(f"/alerts/{fired}/snooze", data={"token": token, "for": "9y"}).status_code == 400


class TestUndo:
    @pytest.fixture
    def suppressed(self, deliver, engine, make, now):
        """An alert that has fired for so long that it explains nothing any more, and whom its failures suppressed."""
        old = now - 20 * DAY
        made = make(
            group={"code": 131026, "phone_number_id": NUMBER},
            codes=[131026],
            covers_from=old,
            started_at=old,
            fired_at=old,
        )
        for age in (3, 2, 1):
            at = now - age * DAY
            deliver(body(status(f"wamid.{age}", "failed", at, recipient="491710000100", code=131026)))
        suppress(engine, (), Thresholds(), now)
        return made

    def listed(self, engine):
        with engine.connect() as connection:
            return suppressions.of_contacts(connection, ["491710000100"])

    def test_it_asks_first_says_how_many_and_changes_nothing_by_asking(self, admin, engine, suppressed):
        page = admin.get(f"/alerts/{suppressed}/undo")
        assert re.search(r"Lifted</dt><dd><b>1</b>", page.text)
        assert "Undo 1 suppression<" in page.text
        assert len(self.listed(engine)) == 1
        data = {"token": token_of(page)}
        done = admin.post(f"/alerts/{suppressed}/undo", data=data, follow_redirects=True).text
        assert "Undone: 1 suppression lifted" in done
        assert "Suppressions undone: 1 lifted" in done
        assert self.listed(engine) == []

    def test_when_there_is_nothing_to_undo_it_says_so(self, admin, fired):
        page = admin.get(f"/alerts/{fired}/undo").text
        assert "There is nothing to undo" in page
        assert 'id="undo-now"' not in page

    def test_a_viewer_neither_asks_nor_undoes(self, viewer, engine, suppressed):
        page = viewer.get(f"/alerts/{suppressed}")
        assert "/undo" not in page.text
        assert viewer.get(f"/alerts/{suppressed}/undo").status_code == 403
        assert viewer.post(f"/alerts/{suppressed}/undo", data={"token": token_of(page)}).status_code == 403
        assert len(self.listed(engine)) == 1

    def test_what_explains_no_failures_has_nobody_to_give_back(self, admin, make):
        made = make(kind="health")
        assert "/undo" not in admin.get(f"/alerts/{made}").text
        assert admin.get(f"/alerts/{made}/undo").status_code == 404
