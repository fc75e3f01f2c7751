"""The id that Meta answered to a send is found under the number written to, in checks of the key that reported it."""

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER, body, message
from webhook_app.pipeline.people.erase import erase
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.operations import api_keys
from webhook_app.store.postgres.engine import connect

TYPED, META = "16315550134", "9116315550134"
"""Without a plus sign Meta reads the number as one of the business's own country."""


@pytest.fixture(autouse=True)
def senders(api, engine, now):
    with engine.begin() as connection:
        for name in ("shop", "other"):
            api.keys[name] = api_keys.create(connection, name, "sender", now).secret


@pytest.fixture
def ask(api):
    def verdict(contact=TYPED, role="shop"):
        few = api.post("/v1/check", json={"contacts": [contact]}, role=role).json["results"][0]
        assert api.get(f"/v1/check/{contact}", role=role).json["verdict"] == few["verdict"]
        return few["verdict"]

    return verdict


@pytest.fixture
def report(api):
    def post(role="shop", **fields):
        send = {"contact": f"+{TYPED}", "phone_number_id": NUMBER, "message_id": "wamid.A"} | fields
        return api.post("/v1/sends", json={"sends": [send]}, role=role).json["results"][0]

    return post


@pytest.fixture
def stop(deliver, engine, now):
    def said(sender=META):
        deliver(body(messages=[message("wamid.STOP", now, sender=sender, text="STOP")]))
        suppress(engine, (), Thresholds(), now)

    return said


def test_a_stop_of_the_recipient_is_found_under_the_number_written_to(ask, report, stop):
    stop()
    assert ask() == "send"
    assert report(wa_id=META)["contact"] == f"+{META}"
    assert ask() == "suppressed", "at once in the process that took the report"


def test_input_may_be_named_apart_and_in_the_sender_s_own_form(ask, report, stop):
    stop()
    report(contact=f"+{META}", input="1 (631) 555-0134", wa_id=META)
    assert ask() == "suppressed"


def test_a_recipient_that_no_numbering_plan_knows_is_taken_from_meta(ask, report, stop):
    stop("1234567890")
    assert report(contact="1234567", wa_id="1234567890")["result"] == "stored"
    assert (ask("1234567"), ask("1234567890")) == ("suppressed", "suppressed")


def test_the_latest_answer_of_meta_counts(ask, report, stop, now):
    stop()
    report(wa_id=META, sent_at="2026-11-01T00:00:00Z")
    report(wa_id="447700900123", message_id="wamid.B", sent_at="2026-11-02T00:00:00Z")
    assert ask() == "send"


def test_it_means_nothing_for_other_keys_and_lifts_and_erases_nothing(
    ask, report, stop, api, engine, now, database_url
):
    stop()
    report(wa_id=META)
    assert ask(role="other") == "send"
    assert api.get(f"/v1/suppressions/+{TYPED}").json["suppressions"] == []
    assert api.delete(f"/v1/suppressions/+{TYPED}?note=n").json["lifted"] == []
    erase(engine, lambda: connect(database_url, application="test"), TYPED, actor="test", now=now)
    assert ask(META) == "suppressed"


def test_a_sender_cannot_opt_out_or_lift_anybody_for_others(ask, report, stop):
    stop(META)
    victim = "12025550117"
    report(contact=f"+{victim}", wa_id=META)
    assert ask(victim, role="other") == "send"
    report(contact=f"+{META}", wa_id=victim, message_id="wamid.B")
    assert ask(META) == ask(META, role="other") == "suppressed"


def test_a_failed_call_or_the_same_id_makes_no_alias(report, engine):
    report(wa_id=TYPED)
    report(wa_id=META, message_id="wamid.B", error={"code": 131026, "message": "no"})
    report(wa_id="nobody", message_id="wamid.C")
    with engine.connect() as connection:
        assert set(connection.execute(text("SELECT given FROM sends")).scalars()) == {""}


def test_erasing_the_person_erases_the_alias(report, engine, now, database_url):
    report(wa_id=META)
    erase(engine, lambda: connect(database_url, application="test"), TYPED, actor="test", now=now)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT given, contact FROM sends")).all() == [("", "")]
