"""Whatever number Meta sends is found under its own digits by every call, whatever a numbering plan says."""

import itertools
from datetime import timedelta
from urllib.parse import quote

import pytest

from tests.support.factories import body, message, status
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.suppressions.suppressions import Suppression, apply

ODD = [
    "1234567890",
    "12025550117123",
    "99912345",
    "4401212345678",
    "01712345678",
    "7",
    "5215512",
    "123456789012345678",
]
"""No number of any plan, or digits that a plan reads as another number."""


@pytest.fixture
def say(deliver, engine, now):
    serial = itertools.count()

    def said(sender, text):
        number = next(serial)
        at = now - timedelta(hours=1) + timedelta(minutes=number)
        deliver(body(messages=[message(f"wamid.S{number}", at, sender=sender, text=text)]))
        suppress(engine, (), Thresholds(), now)

    return said


def checked(api, *contacts):
    return api.post("/v1/check", json={"contacts": list(contacts)}, role="sender").json["results"]


@pytest.mark.parametrize("number", ODD)
def test_a_stop_from_an_odd_number_is_found_shown_and_lifted_under_it(api, say, number):
    assert checked(api, f"+{number}")[0]["verdict"] != "suppressed"
    say(number, "STOP")
    path = quote(f"+{number}")
    for asked in (number, f"+{number}", f" {number} "):
        (result,) = checked(api, asked)
        assert (result["verdict"], result["reason"], result["contact"]) == (
            "suppressed",
            "opted_out",
            f"+{number}",
        )
    assert api.get(f"/v1/check/{path}", role="sender").json["verdict"] == "suppressed"
    shown = api.get(f"/v1/suppressions/{path}").json
    assert [row["contact"] for row in shown["suppressions"]] == [f"+{number}"]
    assert api.get(f"/v1/contacts/{path}").json["timeline"][0]["what"] == "stop"
    assert api.get(f"/v1/failures?contact={path}").status_code == 200
    assert api.put(f"/v1/suppressions/{path}", json={"note": "by hand too"}).status_code == 200
    lifted = api.delete(f"/v1/suppressions/{path}?note=they+asked+for+it").json["lifted"]
    assert {row["reason"] for row in lifted} == {"opted_out", "manual"}
    assert checked(api, f"+{number}")[0]["verdict"] == "send", "Meta writes to this number"


@pytest.mark.parametrize("number", ODD)
def test_an_odd_number_is_erased_and_its_opt_out_still_refused_and_lifted(api, say, number):
    say(number, "STOP")
    assert api.delete(f"/v1/contacts/+{number}").json["opted_out"]
    assert checked(api, f"+{number}")[0]["verdict"] == "suppressed"
    assert api.delete(f"/v1/suppressions/+{number}?note=n").status_code == 200
    assert checked(api, f"+{number}")[0]["verdict"] != "suppressed"


@pytest.mark.parametrize("number", ["1234567890", "12025550117123"])
def test_a_number_of_no_plan_that_nothing_is_stored_about_is_refused_with_the_reason(api, number):
    assert checked(api, number)[0]["verdict"] == "invalid"
    for ask in (api.get, api.delete):
        refused = ask(f"/v1/suppressions/+{number}")
        assert (refused.status_code, refused.json["error"]["code"]) == (400, "bad_contact")
    assert api.delete(f"/v1/contacts/+{number}").status_code == 400


def test_a_status_is_enough_for_a_number_to_be_known(api, deliver, now):
    deliver(body(status("wamid.A", "sent", now, recipient="1234567890")))
    assert checked(api, "+1 234 567 890")[0]["verdict"] == "send"
    assert api.get("/v1/contacts/+1234567890").json["timeline"][0]["what"] == "sent"


def test_one_odd_number_changes_nothing_for_the_others_of_a_check(api, say):
    say("1234567890", "STOP")
    asked = ["+1234567890", "+1234567891", "12025550117", "nobody"]
    assert [each["verdict"] for each in checked(api, *asked)] == ["suppressed", "invalid", "send", "invalid"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("22507123456", "2250707123456"), ("22990123456", "2290190123456"), ("553188887777", "5531988887777")],
)
def test_old_and_new_spellings_of_a_number_are_one_person_everywhere(api, say, old, new):
    say(old, "STOP")
    for asked in (old, new):
        result = api.get(f"/v1/check/+{asked}", role="sender").json
        assert (result["verdict"], result["contact"]) == ("suppressed", f"+{new}")
        assert result["matched_on"] == {"kind": "number" if asked == new else "variant", "contact": f"+{new}"}
        assert len(api.get(f"/v1/suppressions/+{asked}").json["suppressions"]) == 1
    say(new, "START")
    assert [each["verdict"] for each in checked(api, old, new)] == ["send", "send"]
    say(new, "STOP")
    assert api.delete(f"/v1/suppressions/+{old}?note=n").json["lifted"]
    assert api.delete(f"/v1/contacts/+{old}").status_code == 200
    assert api.get(f"/v1/contacts/+{new}").json["timeline"] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("24106123456", "24166123456"), ("841621234567", "84321234567"), ("970599123456", "972599123456")],
)
def test_a_hint_widens_a_stop_but_neither_a_lift_nor_an_erasure(api, say, one, other):
    for stopped, asked in ((one, other), (other, one)):
        say(stopped, "STOP")
        (result,) = checked(api, asked)
        assert (result["verdict"], result["reason"]) == ("suppressed", "opted_out")
        assert result["matched_on"] == {"kind": "variant", "contact": f"+{stopped}"}
        say(asked, "START")
        assert api.delete(f"/v1/suppressions/+{asked}?note=n").json["lifted"] == []
        assert api.delete(f"/v1/contacts/+{asked}").status_code == 200
        assert checked(api, stopped)[0]["verdict"] == "suppressed"
        assert api.delete(f"/v1/suppressions/+{stopped}?note=n").json["lifted"]
        assert checked(api, asked)[0]["verdict"] == "send"


def test_a_hint_says_nothing_about_failures(api, engine, now):
    hard = Suppression(
        contact="24106123456", reason="hard", code=130403, since=now, actor="system", review=True
    )
    with engine.begin() as connection:
        apply(connection, [hard], [], now)
    assert [each["verdict"] for each in checked(api, "24106123456", "24166123456")] == ["suppressed", "send"]


@pytest.mark.parametrize(
    "text", ["4915112345678.0", "4915112345678@c.us", "whatsapp:+4915112345678", "wa.me/4915112345678"]
)
def test_dressed_numbers_are_answered_as_the_person_and_never_as_another(api, say, text):
    say("4915112345678", "STOP")
    assert checked(api, text)[0]["verdict"] == "suppressed"
    assert [
        row["contact"] for row in api.get(f"/v1/suppressions/{quote(text, safe='')}").json["suppressions"]
    ] == ["+4915112345678"]
