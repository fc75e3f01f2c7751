"""The pages about incidents: what an operator reads at night, lists, evidence, timeline, and buttons for admins."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER, body, status
from tests.support.incidents import store_incident
from tests.web.conftest import token_of
from webhook_app.pipeline.incidents import actions
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import alerts, incidents, outbox
from webhook_app.store.suppressions import suppressions
from webhook_app.web.pages.incidents.incident_actions import snoozed_until

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
THIN = "\N{NARROW NO-BREAK SPACE}"
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


def plain(page):
    """The words of the page without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("<main") :])).replace(THIN, " ")


@pytest.fixture
def opened(deliver, engine, now):
    """The id of an open incident: of two templates, one fails always."""

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
        return incidents.open_incidents(connection)[0].id


@pytest.fixture
def announced(engine, opened, now):
    """The incident `opened` after its first notification was written."""
    evaluate(engine, parse_rules(RULES), now + MINUTE)
    return opened


class TestPage:
    def test_it_says_what_breaks_for_whom_since_when_its_impact_and_what_to_do(self, viewer, announced):
        words = plain(viewer.get(f"/incidents/{announced}").text)
        assert "Open · warning · for" in words
        assert "131026 Message Undeliverable" in words
        assert "20 of 60 messages failed in 15 min: 33.3 %" in words
        assert "At its worst 33.3 % of messages" in words
        assert "template order_update" in words
        assert "20 to 20 contacts so far: all failures" in words
        assert words.count("What to do") == 1

    def test_its_data_has_the_same_parts_and_a_chart_shaded_from_beginning_to_end(self, viewer, announced):
        data = viewer.get(f"/dashboard/incidents/{announced}").json
        assert (data["shape"], "131026 Message Undeliverable" in data["headline"]) == ("open", True)
        assert "order_update" in data["parts"]["slices"]
        assert data["chart"]["lines"][0]["failures"][-1] == 20
        assert {band["kind"] for band in data["chart"]["bands"]} <= {"pending", "firing"}
        assert data["chart"]["bands"]

    def test_an_ended_one_says_when_and_how_it_ended(self, viewer, engine, now):
        member = {"codes": [131026], "state": "resolved", "resolved_at": now, "ended_how": "quiet"}
        ended = {
            "state": "ended",
            "ended_at": now,
            "ended_how": "quiet",
            "worst_rate": 0.5,
            "codes": [131026],
        }
        words = plain(viewer.get(f"/incidents/{store_incident(engine, now, member, **ended)}").text)
        assert "Ended · warning · lasted 1 h" in words
        assert "How it ended no traffic any more" in words
        assert "Current impact" not in words

    @pytest.mark.parametrize(
        "kind", ["health", "silence", "signature", "integrity", "tier", "self", "weather"]
    )
    def test_one_that_counts_no_messages_shows_its_finding_details_and_advice(self, admin, engine, now, kind):
        found = EXPLAINED | {"finding": "The finding in words", "details": [["Field messages", "12"]]}
        member = {"kind": kind, "group": {}, "codes": [], "explanation": found}
        made = store_incident(engine, now, member, kind=kind, title="The title", advice="The advice in words")
        words = plain(admin.get(f"/incidents/{made}").text)
        for expected in ("The finding in words", "Field messages 12", "The advice in words", "The title"):
            assert expected in words
        assert "Where failures are concentrated" not in words
        assert admin.get(f"/dashboard/incidents/{made}").json["shape"] == "open"

    def test_health_shows_what_meta_reported_of_the_template(self, admin, engine, deliver, now, pytestconfig):
        reported = pytestconfig.rootpath / "tests/payloads/message_template_status_update_paused.json"
        document = json.loads(reported.read_text())
        deliver(json.dumps(document).encode())
        name = document["entry"][0]["changes"][0]["value"]["message_template_name"]
        member = {"kind": "health", "group": {"template": name, "aspect": "status"}, "codes": []}
        page = admin.get(f"/incidents/{store_incident(engine, now, member, kind='health')}").text
        assert "Reports from Meta" in page
        assert "<b>PAUSED</b>" in page

    def test_its_alerts_are_listed_as_evidence_the_leading_one_first(self, viewer, engine, now):
        leading = {"rule": "b", "severity": "critical", "codes": [1], "explanation": EXPLAINED}
        made = store_incident(engine, now, {"rule": "a", "group": {"code": 2}}, leading, codes=[1])
        page = viewer.get(f"/incidents/{made}").text
        evidence = page[page.index("Alerts in this incident") : page.index("Timeline")]
        with engine.connect() as connection:
            members = {alert.rule: alert.id for alert in alerts.of_incidents(connection, [made])}
        first, second = (evidence.index(f'href="/alerts/{members[rule]}"') for rule in ("b", "a"))
        assert first < second
        assert "Still firing: words." in evidence

    def test_one_whose_alerts_are_gone_still_has_a_page(self, viewer, engine, now):
        made = store_incident(engine, now, codes=[131026], state="ended", ended_at=now, ended_how="recovered")
        assert "older than the retention period" in viewer.get(f"/incidents/{made}").text

    @pytest.mark.parametrize("number", [404, 2**63, 10**30])
    def test_an_unknown_incident_is_not_found(self, admin, number):
        response = admin.get(f"/incidents/{number}")
        assert response.status_code == 404
        assert "There is no incident" in response.text


class TestList:
    def test_it_narrows_by_state_and_severity(self, admin, engine, now):
        ended = {"state": "ended", "ended_at": now, "ended_how": "recovered"}
        made = {
            "critical": store_incident(engine, now, severity="critical"),
            "warning": store_incident(engine, now),
            "ended": store_incident(engine, now, severity="critical", **ended),
        }

        def listed(query):
            page = admin.get(f"/incidents?{query}").text
            return [name for name in made if f'href="/incidents/{made[name]}"' in page]

        assert listed("") == ["critical", "warning", "ended"]
        assert listed("state=open") == ["critical", "warning"]
        assert listed("state=ended") == ["ended"]
        assert listed("severity=critical") == ["critical", "ended"]
        assert listed("state=nonsense&severity=%00") == ["critical", "warning", "ended"]

    def test_open_ones_come_first_the_worst_on_top(self, admin, engine, now):
        warning = store_incident(engine, now)
        ended = store_incident(engine, now, state="ended", ended_at=now)
        critical = store_incident(engine, now, severity="critical")
        shown = [int(found) for found in re.findall(r'href="/incidents/(\d+)"', admin.get("/incidents").text)]
        assert shown == [critical, warning, ended]

    def test_ended_ones_go_on_page_by_page_and_keep_the_filters(self, admin, engine, now):
        ids = [store_incident(engine, now, state="ended", ended_at=now, severity="error") for _ in range(60)]
        first = admin.get("/incidents?severity=error").text
        further = re.search(r'href="(/incidents\?[^"]*cursor=[^"]*)"', first)[1].replace("&amp;", "&")
        assert "severity=error" in further
        pages = (first, admin.get(further).text)
        assert [int(n) for page in pages for n in re.findall(r'href="/incidents/(\d+)"', page)] == ids[::-1]

    def test_empty_it_says_when_incidents_open_and_with_filters_how_to_see_all(self, viewer):
        assert "No incidents so far" in viewer.get("/incidents").text
        page = viewer.get("/incidents?severity=critical").text
        assert "No incident matches these filters" in page
        assert 'href="/incidents"' in page

    def test_acknowledged_snoozed_and_silenced_ones_are_marked(self, admin, engine, now):
        handled = {"acknowledged_at": now, "acknowledged_by": "kim", "snoozed_until": now + HOUR}
        store_incident(engine, now, **handled)
        store_incident(engine, now, silenced_by=4711)
        page = admin.get("/incidents").text
        for words in ("acknowledged by kim", ", snoozed", ", silenced"):
            assert words in page


class TestEvidence:
    def test_the_part_with_the_excess_leads_its_table(self, admin, opened):
        page = admin.get(f"/incidents/{opened}").text
        table = page[page.index("Where failures are concentrated") : page.index("Sample messages")]
        row = re.search(r"template order_update</th>(.*?)</tr>", table, re.DOTALL)[1]
        assert re.findall(r">([^<>]+)</td>", row) == ["20", "20", f"100{THIN}%", "20"]
        assert "template welcome" not in table

    def test_the_parts_are_those_of_all_its_alerts_together(self, admin, engine, deliver, now):
        for number, count in (("590238114470021", 10), ("590238114470022", 20), ("590238114470023", 40)):
            failed = [status(f"wamid.{number}.{n}", "failed", now, code=131016) for n in range(count)]
            deliver(body(*failed, number=number))
        members = [{"group": {"code": 131016, "phone_number_id": f"59023811447002{n}"}} for n in (1, 2)]
        made = store_incident(engine, now, *members, codes=[131016])
        page = admin.get(f"/incidents/{made}").text
        table = page[page.index("Where failures are concentrated") : page.index("Sample messages")]
        assert "number 590238114470022" in table
        assert "number 590238114470023" not in table
        assert re.search(r"<b>30</b> to", page)

    def test_sample_messages_link_the_contact_and_the_message(self, viewer, opened):
        page = viewer.get(f"/incidents/{opened}").text
        assert "Why it was" in page
        assert 'href="/contacts?contact=%2B491710000119"' in page
        assert 'href="/messages/wamid.119"' in page

    def test_all_failures_are_a_search_that_can_be_narrowed_and_exported(self, admin, opened):
        assert f'href="/failures?incident_id={opened}"' in admin.get(f"/incidents/{opened}").text
        page = admin.get(f"/failures?incident_id={opened}").text
        assert f"Incident: <b>{opened}</b>" in page
        assert "wamid.119" in page
        exported = admin.get(f"/failures/export?incident_id={opened}&format=csv").text
        assert exported.count("wamid.1") == 20
        assert "there is no incident 999" in admin.get("/failures?incident_id=999").text

    def test_an_old_incident_says_what_is_not_kept_any_more(self, admin, engine, now):
        old = now - 90 * DAY
        member = {"group": {"code": 131026}, "state": "resolved", "resolved_at": old, "fired_at": old}
        times = {"began_at": old, "opened_at": old, "ended_at": old + HOUR, "state": "ended"}
        made = store_incident(
            engine, now, member, codes=[131026], details={"samples": ["wamid.OLD"]}, **times
        )
        page = admin.get(f"/incidents/{made}").text
        assert "older than the retention period" in page
        assert "wamid.OLD" in page

    def test_an_incident_that_goes_on_as_another_says_so(self, admin, engine, now):
        member = {"group": {"code": 131026}, "state": "resolved", "resolved_at": now, "fired_at": now}
        times = {"began_at": now - HOUR, "opened_at": now - HOUR, "ended_at": now, "state": "ended"}
        ended = {"ended_how": "split", "details": {"samples": ["wamid.HERE"]}}
        made = store_incident(engine, now, member, codes=[131026], **times, **ended)
        with engine.begin() as connection:
            connection.execute(text("UPDATE alerts SET incident_id = NULL"))
        page = plain(admin.get(f"/incidents/{made}").text)
        assert "it goes on as another incident" in page
        assert "Its alerts belong to another incident now." in page
        assert "its failures belong to another incident now: wamid.HERE" in page
        assert "are older than the retention period." not in page


class TestTimeline:
    def test_it_shows_the_beginning_the_alerts_notifications_and_what_people_did_once(
        self, admin, engine, announced, now
    ):
        with engine.begin() as connection:
            until = now + HOUR
            actions.snooze(connection, announced, until=until, actor="kim", now=now + 2 * MINUTE)
            actions.acknowledge(connection, announced, actor="sam", now=now + 3 * MINUTE)
            claim = outbox.claim(connection, "log", now + 4 * MINUTE, now + 5 * MINUTE)
            outbox.mark_failed(connection, claim, now + 4 * MINUTE, "no such channel")
        page = admin.get(f"/incidents/{announced}").text
        timeline = page[page.index('class="timeline"') :]
        assert re.sub(r"<[^>]+>", "", timeline).count("Snoozed until") == 1
        for words in (
            "First failure",
            "Incident opened",
            "1 alert fired",
            "by kim",
            "by sam",
            "Notification to the log failed",
            "no such channel",
        ):
            assert words in timeline

    def test_a_silence_that_covers_it_is_part_of_the_timeline(self, admin, engine, now):
        with engine.begin() as connection:
            silence = actions.add_silence(
                connection, matchers={"rule": "r"}, author="kim", until=now + HOUR, comment="", now=now
            )
        page = admin.get(f"/incidents/{store_incident(engine, now, {}, silenced_by=silence.id)}").text
        assert f"Silence {silence.id} began" in page
        assert f"silence {silence.id}</a> covers it, until" in page

    def test_one_that_opened_again_shows_both_openings_and_its_end(self, admin, engine, now):
        again = {
            "again": 1,
            "opened_at": now - HOUR / 2,
            "details": {"first_opened_at": (now - HOUR).isoformat()},
        }
        made = store_incident(engine, now, {}, began_at=now - 2 * HOUR, **again)
        page = admin.get(f"/incidents/{made}").text
        assert page.index("Incident opened") < page.index("Opened again")


class TestActions:
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

    def test_the_page_says_what_was_done(self, admin, engine, opened):
        token = token_of(admin.get(f"/incidents/{opened}"))
        data = {"token": token, "for": "tomorrow"}
        done = admin.post(f"/incidents/{opened}/snooze", data=data, follow_redirects=True)
        assert "Snoozed: no reminders until" in done.text
        assert "08:00 UTC" in done.text
        admin.post(f"/incidents/{opened}/acknowledge", data={"token": token})
        with engine.connect() as connection:
            assert incidents.get(connection, opened).acknowledged_by == "ADMIN_API_KEY"
        assert 'id="acknowledge"' not in admin.get(f"/incidents/{opened}").text

    def test_an_ended_incident_has_no_buttons_and_cannot_be_changed(self, admin, engine, now):
        made = store_incident(engine, now, {"kind": "health"}, state="ended", ended_at=now)
        page = admin.get(f"/incidents/{made}")
        assert f'action="/incidents/{made}/' not in page.text
        for act in ("acknowledge", "snooze"):
            data = {"token": token_of(page), "for": "1h"}
            answer = admin.post(f"/incidents/{made}/{act}", data=data, follow_redirects=True)
            assert "Already ended" in answer.text

    def test_an_unknown_snooze_is_refused(self, admin, opened):
        token = token_of(admin.get(f"/incidents/{opened}"))
        assert (
            admin.post(f"/incidents/{opened}/snooze", data={"token": token, "for": "9y"}).status_code == 400
        )

    @pytest.mark.parametrize("data", [{}, {"token": ""}, {"token": "0" * 64}])
    @pytest.mark.parametrize("action", ["acknowledge", "snooze", "undo"])
    def test_a_form_that_is_not_ours_changes_nothing(self, admin, engine, opened, action, data):
        assert admin.post(f"/incidents/{opened}/{action}", data=data).status_code == 403
        with engine.connect() as connection:
            known = incidents.get(connection, opened)
        assert (known.acknowledged_at, known.snoozed_until) == (None, None)

    @pytest.mark.parametrize("action", ["acknowledge", "snooze"])
    def test_a_viewer_changes_nothing_and_sees_no_buttons(self, viewer, engine, opened, action):
        page = viewer.get(f"/incidents/{opened}")
        assert "<button" not in page.text[page.text.index("<main") :]
        response = viewer.post(f"/incidents/{opened}/{action}", data={"token": token_of(page)})
        assert response.status_code == 403
        with engine.connect() as connection:
            known = incidents.get(connection, opened)
        assert (known.acknowledged_at, known.snoozed_until) == (None, None)


class TestUndo:
    @pytest.fixture
    def suppressed(self, deliver, engine, now):
        """An incident that has lasted too long to explain failures, and a contact that its failures suppressed."""
        old = now - 20 * DAY
        group = {"code": 131026, "phone_number_id": NUMBER}
        member = {"group": group, "codes": [131026], "covers_from": old, "started_at": old, "fired_at": old}
        made = store_incident(engine, now, member, codes=[131026], began_at=old, opened_at=old)
        for age in (3, 2, 1):
            at = now - age * DAY
            deliver(body(status(f"wamid.{age}", "failed", at, recipient="491710000100", code=131026)))
        suppress(engine, (), Thresholds(), now)
        return made

    def listed(self, engine):
        with engine.connect() as connection:
            return suppressions.of_contacts(connection, ["491710000100"])

    def test_it_asks_first_says_how_many_and_changes_nothing_by_asking(self, admin, engine, suppressed):
        page = admin.get(f"/incidents/{suppressed}/undo")
        assert re.search(r"Lifted</dt><dd><b>1</b>", page.text)
        assert "Undo 1 suppression<" in page.text
        assert len(self.listed(engine)) == 1
        data = {"token": token_of(page)}
        done = admin.post(f"/incidents/{suppressed}/undo", data=data, follow_redirects=True).text
        assert "Undone: 1 suppression lifted" in done
        assert "Suppressions undone: 1 lifted" in done
        assert self.listed(engine) == []

    def test_when_there_is_nothing_to_undo_it_says_so(self, admin, opened):
        page = admin.get(f"/incidents/{opened}/undo")
        assert "Excuse 20 failures<" in page.text
        admin.post(f"/incidents/{opened}/undo", data={"token": token_of(page)})
        page = admin.get(f"/incidents/{opened}/undo").text
        assert "There is nothing to undo" in page
        assert 'id="undo-now"' not in page

    def test_a_viewer_neither_asks_nor_undoes(self, viewer, engine, suppressed):
        page = viewer.get(f"/incidents/{suppressed}")
        assert "/undo" not in page.text
        assert viewer.get(f"/incidents/{suppressed}/undo").status_code == 403
        assert viewer.post(f"/incidents/{suppressed}/undo", data={"token": token_of(page)}).status_code == 403
        assert len(self.listed(engine)) == 1

    def test_without_alerts_about_failures_there_is_nothing_to_undo(self, admin, engine, now):
        made = store_incident(engine, now, {"kind": "health"}, kind="health")
        assert "/undo" not in admin.get(f"/incidents/{made}").text
        assert admin.get(f"/incidents/{made}/undo").status_code == 404
