"""The page of silences: what holds, adding one by a form that says what is wrong, ending one; admins only."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.alerts import make_alert
from tests.support.incidents import store_incident
from tests.web.conftest import token_of
from webhook_app.pipeline.incidents import actions
from webhook_app.store.incidents import silences
from webhook_app.web.pages.incidents.silence_form import NOTHING, SilenceRequest, for_alerts, read_form

NOW = datetime(2026, 9, 30, 12, 0, tzinfo=UTC)
PATH = "/alerts/silences"


@pytest.fixture
def held(engine):
    def read(now):
        with engine.connect() as connection:
            return silences.active(connection, now)

    return read


@pytest.fixture
def open_incident(engine, now):
    """An incident with two alerts that have a code, a template and no country in common."""
    shared = {"code": 131026, "template": "order_update", "country": ""}
    members = [{"rule": "failures", "group": shared}, {"rule": "severe", "group": shared | {"campaign": "x"}}]
    return store_incident(engine, now, *members)


class TestForm:
    def test_what_is_filled_in_becomes_matchers_and_the_rest_matches_everything(self):
        typed = {"rule": "failures", "code": " 131026 ", "template": "", "country": NOTHING, "span": "8h"}
        meant = {"rule": "failures", "code": 131026, "country": ""}
        assert read_form(typed | {"comment": "known"}, NOW) == SilenceRequest(
            meant, NOW + timedelta(hours=8), "known"
        )

    def test_a_time_of_one_s_own_is_utc_and_goes_before_the_span(self):
        typed = {"rule": "r", "span": "1h", "until": "2026-10-02T09:30"}
        assert read_form(typed, NOW).until == datetime(2026, 10, 2, 9, 30, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("typed", "fault"),
        [
            ({"span": "1h"}, "Fill in at least one field"),
            ({"code": "13x", "span": "1h"}, "is not a number"),
            ({"code": "9" * 5000, "span": "1h"}, "is not a number"),
            ({"kind": "weather", "span": "1h"}, "kind must be one of"),
            ({"template": "x" * 513, "span": "1h"}, "up to 512"),
            ({"rule": "r\0", "span": "1h"}, "up to 512"),
            ({"rule": "r"}, "Choose a duration"),
            ({"rule": "r", "span": "9y"}, "Choose a duration"),
            ({"rule": "r", "until": "tomorrow"}, "is not a time"),
            ({"rule": "r", "until": "2026-09-30T11:00"}, "has passed"),
            ({"rule": "r", "until": "2028-01-01T00:00"}, "at most a year"),
            ({"rule": "r", "until": "9999-12-31T23:59:59-14:00"}, "is not a time"),
            ({"rule": "r", "until": "0001-01-01T00:00:00+14:00"}, "is not a time"),
            ({"rule": "r", "span": "1h", "comment": "x" * 501}, "at most 500"),
        ],
    )
    def test_every_fault_has_a_message(self, typed, fault):
        assert fault in read_form(typed, NOW)

    def test_an_incident_fills_it_with_what_its_alerts_share(self, now):
        group = {"template": "order_update", "country": "", "aspect": "status"}
        one, other = (
            make_alert(now, rule="a", group=group),
            make_alert(now, rule="b", group=group | {"code": 1}),
        )
        assert for_alerts([one, other]).typed == {"template": "order_update", "country": NOTHING}
        everything = make_alert(now, rule="a", group={})
        assert for_alerts([everything]).typed == {"rule": "a"}
        assert for_alerts([everything, other]).typed == {}


class TestPage:
    def test_without_silences_it_says_that_every_incident_is_notified(self, viewer):
        page = viewer.get(PATH).text
        assert "every incident is notified" in page
        assert "needs an admin key" in page

    def test_from_an_incident_to_a_silence_that_covers_it_and_back(self, admin, held, open_incident, now):
        form = admin.get(f"{PATH}/new?incident={open_incident}")
        assert 'value="order_update"' in form.text
        assert f'href="/incidents/{open_incident}"' in form.text
        data = {"token": token_of(form), "code": "131026", "span": "1h", "comment": "known"}
        page = admin.post(PATH, data=data, follow_redirects=True)
        assert "it covers 2 open alerts." in page.text
        assert "error code 131026" in page.text
        assert 'href="/alerts/1"' in page.text
        [silence] = held(now + timedelta(minutes=1))
        assert (silence.author, silence.comment) == ("ADMIN_API_KEY", "known")
        ended = admin.post(
            f"{PATH}/{silence.id}/end", data={"token": token_of(page)}, follow_redirects=True
        ).text
        assert f"Silence {silence.id} has ended" in ended
        assert "ended by ADMIN_API_KEY" in ended
        assert held(now + timedelta(minutes=1)) == []

    def test_a_faulty_form_is_shown_again_as_it_was_typed(self, admin, held, now):
        data = {"token": token_of(admin.get(f"{PATH}/new")), "template": '"<b>', "code": "x", "span": "4h"}
        answer = admin.post(PATH, data=data)
        assert answer.status_code == 400
        assert "is not a number" in answer.text
        assert 'value="&#34;&lt;b&gt;"' in answer.text
        assert '<option value="4h" selected>' in answer.text
        assert held(now) == []

    def test_viewers_see_silences_and_change_none(self, viewer, engine, held, now):
        with engine.begin() as connection:
            made = actions.add_silence(
                connection,
                matchers={"rule": "r"},
                author="kim",
                until=now + timedelta(hours=1),
                comment="",
                now=now,
            )
        page = viewer.get(PATH)
        assert "rule r" in page.text
        assert "End now" not in page.text
        assert "needs an admin key" in viewer.get(f"{PATH}/new").text
        data = {"token": token_of(page), "rule": "r", "span": "1h"}
        assert viewer.post(PATH, data=data).status_code == 403
        assert viewer.post(f"{PATH}/{made.id}/end", data=data).status_code == 403
        assert len(held(now + timedelta(minutes=1))) == 1

    @pytest.mark.parametrize("number", [404, 2**63])
    def test_a_silence_or_incident_that_is_not_there_is_not_found(self, admin, number):
        data = {"token": token_of(admin.get(PATH))}
        assert admin.post(f"{PATH}/{number}/end", data=data).status_code == 404
        assert admin.get(f"{PATH}/new?incident=404").status_code == 404

    def test_older_ones_are_on_the_next_page(self, admin, engine, now):
        with engine.begin() as connection:
            for number in range(60):
                silences.add(
                    connection,
                    matchers={"rule": f"rule-{number}"},
                    author="kim",
                    comment="",
                    since=now - timedelta(days=2),
                    until=now - timedelta(days=1),
                )
        page = admin.get(PATH).text
        assert "rule rule-59" in page
        assert "rule rule-9<" not in page
        following = page[page.index('href="/alerts/silences?cursor=') + 6 :].partition('"')[0]
        assert "rule rule-9<" in admin.get(following).text
