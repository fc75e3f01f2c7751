"""One item of a report: values that a sender may not make up, and those that are too large."""

import time

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER
from webhook_app.web.api.sends.send_items import parse_send

CONTACT = "+12025550117"
SEND = {"contact": CONTACT, "phone_number_id": NUMBER, "message_id": "wamid.A"}


@pytest.fixture
def result(api):
    def post(**more):
        [found] = api.post("/v1/sends", json={"sends": [SEND | more]}, role="sender").json["results"]
        return found["result"], found["reason"]

    return post


def test_an_id_of_the_form_that_the_service_generates_is_refused(result):
    outcome, reason = result(message_id="send:mine", error={"code": 131000})
    assert outcome == "invalid"
    assert reason.startswith("message_id: ")


def test_a_failed_call_without_a_contact_names_no_message_of_meta(result, engine):
    """Else any key could be the first to name the template of a message whose id it knows."""
    outcome, reason = result(contact="nobody", error={"code": 131000}, template="made up")
    assert outcome == "invalid"
    assert reason.startswith("contact: ")
    assert result(contact="nobody", message_id=None, error={"code": 131000})[0] == "stored"
    with engine.connect() as connection:
        ids = connection.execute(text("SELECT message_id FROM sends")).scalars().all()
    assert [each.partition(":")[0] for each in ids] == ["send"]


@pytest.mark.parametrize("category", ["tel 12025551234", "promo", "marketing 1"])
def test_a_category_that_meta_does_not_have_is_refused_and_not_stored(result, engine, category):
    outcome, reason = result(category=category)
    assert outcome == "invalid"
    assert reason.startswith("category: ")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM sends")).scalar_one() == 0


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("MARKETING", "marketing"),
        ("authentication-international", "authentication_international"),
        ("", ""),
        (None, ""),
    ],
)
def test_meta_s_categories_are_stored_in_the_spelling_of_webhooks(result, engine, given, stored):
    assert result(category=given) == ("stored", None)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT category FROM sends")).scalar_one() == stored


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("request", {"a": [1] * 2_000_000}),
        ("error", {"code": 1, "a": [[]] * 1_300_000}),
        ("error", {"code": 1, "message": "1 " * 2_000_000}),
        ("error", {"code": 1, "message": "1" * 4_000_000}),
    ],
    ids=["numbers", "lists", "words", "digits"],
)
def test_what_is_too_large_is_refused_before_it_is_read(value, key, now):
    begin = time.process_time()
    found, reason = parse_send(SEND | {key: value}, now)
    assert time.process_time() - begin < 0.5, (
        "a tenth of it on a machine at rest; reading them took up to 3 s"
    )
    assert found is None
    assert reason == f"{key}: larger than {8192 if key == 'error' else 65536} bytes"


def test_a_number_that_no_column_holds_does_not_hide_how_large_an_error_is(now):
    found, _ = parse_send(SEND | {"error": {"code": 1, "a": 10**30}}, now)
    assert found is not None
    assert parse_send(SEND | {"error": {"code": 1, "a": [10**30] * 3_000}}, now)[0] is None
