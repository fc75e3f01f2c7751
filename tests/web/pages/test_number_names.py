"""Pages name business numbers and accounts by what people know, wherever Meta's ids would be."""

import pytest

from tests.support.factories import NUMBER, WABA, body, message, status
from tests.support.suppressions import store_suppression
from webhook_app.store.accounts import numbers
from webhook_app.store.accounts.numbers import ListedNumber

PERSON, NAMED = "12025550117", f'<span title="{NUMBER}">Acme &lt;b&gt; +1 312-555-0199</span>'


@pytest.fixture
def facts(deliver, engine, now):
    """A failed message, one from the person, and a suppression on a number with a name."""
    deliver(body(status("wamid.F", "failed", now, code=131026)))
    deliver(body(messages=[message("wamid.IN", now, sender=PERSON)]))
    store_suppression(engine, now, contact=PERSON, phone_number_id=NUMBER, reason="hard", code=131021)
    described = ListedNumber(
        phone_number_id=NUMBER, waba_id=WABA, account_name="Acme EU", verified_name="Acme <b>",
        display_phone_number="+1 312-555-0199", read_at=now,
    )  # fmt: skip
    with engine.begin() as connection:
        numbers.save(connection, [described])


@pytest.mark.parametrize(
    ("path", "times"),
    [
        (f"/contacts?contact={PERSON}", 4), ("/messages/wamid.F", 1), ("/failures", 1), ("/codes/131026", 1),
        ("/suppressions", 1), ("/suppressions/changes", 1),
    ],
)  # fmt: skip
def test_a_number_has_its_name(viewer_browser, facts, path, times):
    assert viewer_browser.see(path).count(NAMED) == times


def test_a_failure_names_number_and_account(viewer_browser, api, facts):
    (failure,) = api.get("/v1/failures").json["failures"]
    page = viewer_browser.see(f"/failures/{failure['id']}")
    assert NAMED in page
    assert f'<span title="{WABA}">Acme EU</span>' in page


def test_a_number_without_a_name_keeps_its_id(viewer_browser, engine, now):
    store_suppression(engine, now, contact=PERSON, phone_number_id="590238114470099")
    assert "from number 590238114470099" in viewer_browser.see("/suppressions")
