"""/v1/opt-ins: each agreement with time and channel, one record however often it is sent; it lifts no opt-out."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.factories import number_change
from webhook_app.store.suppressions import opt_ins
from webhook_app.web.api.suppressions import opt_ins as requests

ONE, OTHER = "+12025550117", "+12025550118"
AT = "2026-01-31T08:00:00Z"
PATH = f"/v1/opt-ins/{ONE}"


@pytest.fixture
def imported(api):
    def run(text, query=""):
        answer = api.post(f"/v1/opt-ins/import{query}", data=text.encode())
        rows = [json.loads(line) for line in answer.text.splitlines()]
        return [(row["result"], (row["why"] or "").partition(":")[0]) for row in rows[:-1]], rows[-1]["done"]

    return run


def test_an_opt_in_has_its_time_its_channel_and_who_recorded_it(api):
    assert api.get(PATH, role="sender").json == {"contact": ONE, "opt_ins": []}
    body = {"channel": "checkout", "opted_in_at": AT, "note": "terms of 2026"}
    for _ in range(2):
        (found,) = api.put(PATH, json=body, role="sender").json["opt_ins"]
    assert (found["channel"], found["opted_in_at"], found["note"]) == ("checkout", AT, "terms of 2026")
    assert found["actor"] == "sender"
    api.put(PATH, json={"channel": "app"}, role="sender")
    assert [each["channel"] for each in api.get(PATH).json["opt_ins"]] == ["app", "checkout"]


@pytest.mark.parametrize("body", [{}, {"channel": ""}, {"channel": "x" * 101}, {"channel": "a\0b"}])
def test_an_opt_in_without_a_channel_is_refused(api, body):
    assert api.put(PATH, json=body).status_code == 400


def test_a_key_does_not_change_the_record_of_another(api, imported):
    def put(note, role):
        body = {"channel": "shop", "opted_in_at": AT, "note": note}
        (found,) = api.put(PATH, json=body, role=role).json["opt_ins"]
        return found["note"], found["actor"], found["recorded_at"]

    first = put("contract 17", "sender")
    assert put("", "admin") == put("contract 18", "admin") == first
    assert put("", "sender") == first
    assert put("contract 17, page 2", "sender") == ("contract 17, page 2", *first[1:])
    assert imported(f"phone,opted_in_at,channel\n{ONE},{AT},shop\n")[1]["unchanged"] == 1
    assert imported(f"phone,opted_in_at,channel,note\n{ONE},{AT},shop,checked\n")[1]["changed"] == 1
    assert put("", "sender") == ("checked", *first[1:])


def test_many_opt_ins_of_one_key_hide_no_record_of_another(api, engine, monkeypatch):
    monkeypatch.setattr(opt_ins, "MOST_OF_A_PERSON", 3)
    api.put(PATH, json={"channel": "proof", "opted_in_at": AT}, role="admin")
    for day in range(1, 5):
        body = {"channel": "made up", "opted_in_at": f"2026-02-{day:02}T08:00:00Z"}
        found = api.put(PATH, json=body, role="sender").json["opt_ins"]
    assert [(each["actor"], each["opted_in_at"][:10]) for each in found] == [
        ("sender", "2026-02-04"),
        ("sender", "2026-02-03"),
        ("admin", "2026-01-31"),
    ]


def test_an_opt_in_moves_with_a_person_who_changes_their_number(api, deliver, now):
    def channels(contact):
        of_person = [each["channel"] for each in api.get(f"/v1/contacts/{contact}").json["opt_ins"]]
        assert [each["channel"] for each in api.get(f"/v1/opt-ins/{contact}").json["opt_ins"]] == of_person
        return of_person

    api.put(PATH, json={"channel": "shop", "opted_in_at": AT})
    deliver(number_change(ONE[1:], OTHER[1:], now - timedelta(days=2)))
    assert (channels(ONE), channels(OTHER)) == ([], ["shop"])
    api.put(PATH, json={"channel": "app"})
    assert (channels(ONE), channels(OTHER)) == (["app"], ["shop"])
    api.put(PATH, json={"channel": "paper", "opted_in_at": AT})
    assert (channels(ONE), channels(OTHER)) == (["app"], ["paper", "shop"])
    assert [each["channel"] for each in api.delete(PATH).json["opt_ins"]] == ["app"]
    assert (channels(ONE), channels(OTHER)) == ([], ["paper", "shop"])
    assert len(api.delete(f"/v1/opt-ins/{OTHER}").json["opt_ins"]) == 2
    assert channels(OTHER) == []


class TestCeilings:
    @pytest.fixture
    def put(self, api):
        def run(contact, channel, role="sender"):
            answer = api.put(
                f"/v1/opt-ins/{contact}", json={"channel": channel, "opted_in_at": AT}, role=role
            )
            return answer.status_code if answer.status_code == 200 else answer.json["error"]["code"]

        return run

    def test_a_key_that_recorded_very_many_for_a_contact_records_no_more_for_it(
        self, put, imported, monkeypatch
    ):
        monkeypatch.setattr(requests, "MAX_OF_CONTACT", 2)
        assert [put(ONE, channel) for channel in "abcb"] == [200, 200, "too_many_opt_ins_of_contact", 200]
        assert put(OTHER, "c") == put(ONE, "c", "admin") == put(ONE, "c") == 200
        assert imported(f"phone,opted_in_at,channel\n{ONE},{AT},d\n{ONE},{AT},e\n")[1]["added"] == 2
        assert put(ONE, "f") == "too_many_opt_ins_of_contact"

    def test_a_key_that_recorded_very_many_within_an_hour_waits_and_no_other_does(
        self, api, put, engine, monkeypatch
    ):
        monkeypatch.setattr(requests, "MAX_PER_HOUR", 2)
        assert [put(f"+1202555012{n}", "a") for n in (0, 1, 2, 1)] == [200, 200, "too_many_opt_ins", 200]
        assert put("+12025550122", "a", "admin") == 200
        answer = api.put(PATH, json={"channel": "a"}, role="sender")
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
        with engine.begin() as connection:
            connection.execute(text("UPDATE opt_ins SET recorded_at = recorded_at - interval '1 hour'"))
        assert put(ONE, "a") == 200


def test_an_opt_in_of_the_future_is_refused(api, now):
    later = (now + timedelta(days=1)).isoformat()
    assert api.put(PATH, json={"channel": "app", "opted_in_at": later}).status_code == 400


def test_an_opt_in_lifts_no_opt_out(api):
    api.post("/v1/suppressions/import?reason=opted_out", data=ONE.encode())
    api.put(PATH, json={"channel": "app"})
    assert api.get(f"/v1/check/{ONE}").json["reason"] == "opted_out"


def test_only_an_admin_deletes_and_imports(api):
    api.put(PATH, json={"channel": "app"})
    assert api.delete(PATH, role="sender").status_code == 403
    assert api.post("/v1/opt-ins/import", data=b"", role="sender").status_code == 403
    assert len(api.delete(PATH).json["opt_ins"]) == 1
    assert api.get(PATH).json["opt_ins"] == []


def test_a_list_is_imported_row_by_row_and_importing_it_again_changes_nothing(imported):
    text = (
        f"phone;opted_in_at;channel;note\n{ONE};{AT};shop;\n{OTHER};{AT};;\nnobody;{AT};;\n{ONE};soon;;\n"
        f"{ONE};2999-01-01T00:00:00Z;;\n{ONE};{AT};shop;\n"
    )
    outcomes, done = imported(text, "?channel=paper")
    refused = [("invalid", "contact"), ("invalid", "opted_in_at"), ("invalid", "opted_in_at")]
    assert outcomes == [("added", ""), ("added", ""), *refused, ("unchanged", "")]
    assert done == {"rows": 6, "added": 2, "changed": 0, "unchanged": 1, "invalid": 3}
    assert imported(text, "?channel=paper")[1]["unchanged"] == 3
    assert imported(text.replace("shop;\n", "shop;new note\n"), "?channel=paper")[1]["changed"] == 1
    assert imported(f"phone,opted_in_at\n{ONE},{AT}\n")[0] == [("invalid", "channel")]


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_list_that_goes_out_and_comes_in_again_is_unchanged(api, imported, engine, kind):
    imported(f"phone,opted_in_at,channel,note\n{ONE},{AT},shop,=1+1\n{OTHER},{AT},app,\n")
    out = api.get(f"/v1/opt-ins/export?format={kind}", role="viewer").text
    api.delete(PATH)
    _, done = imported(out)
    assert (done["added"], done["unchanged"]) == (1, 1)
    with engine.connect() as connection:
        found = [(each.contact, each.channel, each.note) for each in opt_ins.list_page(connection, 9)]
    assert found == [("12025550117", "shop", "=1+1"), ("12025550118", "app", "")]


def test_pages_of_an_export_have_every_row_once(api, engine, imported):
    imported("phone,opted_in_at,channel\n" + "".join(f"+1202555{n:04},{AT},shop\n" for n in range(1100)))
    lines = api.get("/v1/opt-ins/export").text.splitlines()
    assert len(lines) == len(set(lines)) == 1101


def test_a_workbook_is_refused(api):
    assert api.post("/v1/opt-ins/import", data=b"PK\x03\x04").status_code == 400


def test_everything_about_a_person_includes_the_opt_ins(api, viewer):
    api.put(PATH, json={"channel": "shop"})
    assert api.get(f"/v1/contacts/{ONE}").json["opt_ins"][0]["channel"] == "shop"
    assert "Opted in by shop" in viewer.get(f"/contacts?contact={ONE.replace('+', '%2B')}").text
