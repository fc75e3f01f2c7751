"""The page of findings, apart from incidents, and the count on the first page."""

from datetime import timedelta

import pytest

from tests.support.findings import store_finding
from tests.web.pages.conftest import HOSTILE, main_of
from webhook_app.store.incidents import findings

DAY = timedelta(days=1)


def test_open_findings_come_first_with_impact_advice_and_their_incidents(viewer_browser, engine, now):
    fixed = store_finding(engine, now, key="over", title="This is over")
    with engine.begin() as connection:
        findings.fix(connection, [fixed], now)
    opened = store_finding(engine, now)
    page = main_of(viewer_browser.see("/findings"))
    assert page.index(f'id="finding-{opened}"') < page.index(f'id="finding-{fixed}"')
    assert "fails every day, business number n0" in page
    assert "Clean the list." in page
    assert 'href="/incidents/3"' in page
    assert "This is over" in page


def test_a_page_without_findings_says_what_they_are(viewer_browser):
    assert "A finding is a state that lasts" in viewer_browser.see("/findings")


def test_fixed_findings_have_pages(viewer_browser, engine, now):
    ids = [store_finding(engine, now, key=str(place)) for place in range(51)]
    with engine.begin() as connection:
        findings.fix(connection, ids, now)
    page = viewer_browser.see("/findings")
    assert f'id="finding-{ids[0]}"' not in page
    following = page.split('href="/findings?')[1].split('"')[0]
    assert f'id="finding-{ids[0]}"' in viewer_browser.see(f"/findings?{following}")


@pytest.mark.parametrize(("count", "words"), [(0, None), (1, "1 open finding<"), (2, "2 open findings<")])
def test_the_first_page_counts_open_findings(viewer_browser, engine, now, count, words):
    for place in range(count):
        store_finding(engine, now, key=str(place))
    page = viewer_browser.see("/")
    assert ("open finding" in page) == bool(words)
    assert words is None or words in page


def test_what_webhooks_wrote_is_escaped(viewer_browser, engine, now):
    store_finding(engine, now, title=HOSTILE, advice=HOSTILE)
    assert HOSTILE not in viewer_browser.see("/findings")
