"""The catalogue of codes and one code with our own history."""

import re
from datetime import timedelta

import pytest

from tests.support.factories import body, status
from tests.web.pages.conftest import HOSTILE
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.store.counts.code_counts import per_day


@pytest.fixture
def seen(deliver, now):
    deliver(
        body(
            status("wamid.1", "failed", now, code=131026, details=HOSTILE),
            status("wamid.2", "failed", now - timedelta(days=2), code=131026),
            status("wamid.3", "failed", now - timedelta(days=2), code=131026),
        )
    )


class TestCatalogue:
    def test_codes_seen_here_come_first_with_their_counts(self, admin_browser, seen):
        page = admin_browser.see("/codes")
        assert page.index('href="/codes/131026"') < page.index('href="/codes/0"')

    def test_codes_seen_that_the_catalogue_lacks_are_marked(self, admin_browser, deliver, now):
        deliver(body(status("wamid.1", "failed", now, code=999123)))
        assert "not in the catalogue" in admin_browser.see("/codes", text="999123")

    def test_it_is_searched_by_number_and_by_words(self, admin_browser):
        assert 'href="/codes/131049"' in admin_browser.see("/codes", text="131049")
        assert 'href="/codes/190?subcode=463"' in admin_browser.see("/codes", text="190/463")
        page = admin_browser.see("/codes", text="no code says this")
        assert "No code in the catalogue matches" in page


class TestOneCode:
    def test_it_explains_warns_names_its_sources_and_the_rules_that_watch_it(self, admin_browser):
        page = admin_browser.see("/codes/131049")
        assert "Often misread" in page
        assert "What to do" in page
        assert "marketing" in page
        assert "<dt>Confidence</dt>" in page
        assert re.search(r"against Meta(&#39;|')s page of 20\d\d", page)
        assert 'href="/rules#' in admin_browser.see("/codes/131026")
        assert "No message failed with this code" in page

    def test_it_shows_our_own_history_and_the_latest_failures(self, admin_browser, seen, now):
        page = admin_browser.see("/codes/131026")
        bars = dict(re.findall(r"<title>(\S+): (\d+)</title>", page))
        assert bars[f"{now:%Y-%m-%d}"] == "1"
        assert bars[f"{now - timedelta(days=2):%Y-%m-%d}"] == "2"
        assert len(bars) == 30
        assert page.count('href="/messages/') == 3
        assert HOSTILE not in page

    def test_a_subcode_has_its_own_page(self, admin_browser):
        assert "with any subcode" in admin_browser.see("/codes/190", subcode="463")

    @pytest.mark.parametrize("path", ["/codes/-1", "/codes/999123", f"/codes/{10**40}", "/codes/-5"])
    def test_an_unknown_code_is_explained_as_unknown(self, admin_browser, path):
        admin_browser.see(path)

    def test_a_subcode_that_is_no_number_is_refused(self, admin_browser):
        assert "expected a number" in admin_browser.see("/codes/190", status=400, subcode="x")


class TestPerDay:
    def test_summed_hours_and_the_running_one_together_are_what_failed(self, engine, connection, seen, now):
        def days():
            found = per_day(connection, 131026, 131026, 3, now)
            connection.rollback()
            return list(found.values())

        assert days() == [2, 0, 1]
        sum_hours(engine, now)
        assert days() == [2, 0, 1]

    def test_a_message_that_failed_twice_counts_once_in_its_hour(self, deliver, connection, now):
        noon = now.replace(hour=0, minute=30) - timedelta(days=1)
        twice = [status("wamid.1", "failed", noon + timedelta(minutes=n), code=131026) for n in (0, 5)]
        deliver(body(*twice))
        assert list(per_day(connection, 131026, 131026, 2, now).values()) == [1, 0]

    def test_other_codes_are_not_counted(self, connection, seen, now):
        assert sum(per_day(connection, 131027, 131049, 30, now).values()) == 0
        assert sum(per_day(connection, 131000, 131049, 30, now).values()) == 3
