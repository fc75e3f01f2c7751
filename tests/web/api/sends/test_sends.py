"""Reports of sends: each item validated by itself, counted once with the webhooks in any order."""

import json
import random
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.support.factories import NUMBER, WABA, body, status
from webhook_app.pipeline.sends.reports import follow_up

CONTACT = "+12025550117"
TOKEN = "EAAG" + "x1Y2z3" * 20


def graph_error(code=131047, subcode=None, message="Re-engagement message", **more):
    error = {
        "message": f"(#{code}) {message}",
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": f"Details of {code}"},
        "is_transient": False,
        "fbtrace_id": "AbCdEfGhIjKlMnOp",
    }
    return error | ({} if subcode is None else {"error_subcode": subcode}) | more


@pytest.fixture
def report(api):
    def post(*sends):
        return api.post("/v1/sends", json={"sends": list(sends)}, role="sender").json

    return post


@pytest.fixture
def rates(api):
    def get(group_by="template", **more):
        found = api.get("/v1/rates", query_string={"group_by": group_by, **more}).json
        groups = {group.get(group_by): (group["attempts"], group["failures"]) for group in found["groups"]}
        return (found["attempts"], found["failures"]), groups

    return get


def all_rows(engine, statement):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def test_an_accepted_send_is_not_an_attempt(report, rates):
    answer = report({"contact": CONTACT, "message_id": "wamid.A", "template": "offer"})
    assert answer["summary"] == {"stored": 1, "duplicate": 0, "invalid": 0}
    assert answer["results"][0] == {
        "result": "stored",
        "message_id": "wamid.A",
        "contact": CONTACT,
        "reason": None,
        "meaning": None,
        "retry_advice": None,
    }
    assert rates() == ((0, 0), {})


@pytest.mark.parametrize("first", ["send", "webhooks"])
def test_a_send_gives_its_dimensions_to_webhooks_before_and_after(
    report, rates, deliver, api, engine, now, first
):
    send = {
        "contact": CONTACT,
        "message_id": "wamid.A",
        "template": "offer",
        "campaign": "autumn",
        "category": "MARKETING",
    }
    if first == "send":
        report(send)
    for kind in ("sent", "delivered", "read"):
        deliver(body(status("wamid.A", kind, now)))
    deliver(body(status("wamid.A", "failed", now, code=131026)))
    if first == "webhooks":
        report(send)
    assert rates() == ((1, 1), {"offer": (1, 1)})
    assert rates("campaign") == ((1, 1), {"autumn": (1, 1)})
    counted = all_rows(
        engine,
        "SELECT template, sum(attempts), sum(sent), sum(delivered), sum(read), sum(failed)"
        " FROM minute_counts JOIN series ON id = series_id GROUP BY 1 HAVING sum(attempts) <> 0 OR sum(sent) <> 0",
    )
    assert counted == [("offer", 1, 1, 1, 1, 1)]
    assert all_rows(engine, "SELECT DISTINCT category FROM status_events") == [("marketing",)]
    message = api.get("/v1/messages/wamid.A").json
    assert (message["template"], message["campaign"], message["category"]) == ("offer", "autumn", "marketing")


def test_values_of_meta_override_those_of_the_sender(report, rates, deliver, now):
    report({"contact": CONTACT, "message_id": "wamid.A", "template": "theirs", "campaign": "theirs"})
    deliver(body(status("wamid.A", "sent", now, biz_opaque_callback_data="template=metas")))
    assert rates()[1] == {"metas": (1, 0)}
    assert rates("campaign")[1] == {"theirs": (1, 0)}


def test_a_status_without_a_contact_gets_that_of_the_sender(report, deliver, api, now):
    deliver(body(status("wamid.A", "sent", now, recipient="")))
    report({"contact": "+49 171 2345678", "message_id": "wamid.A"})
    deliver(body(status("wamid.A", "delivered", now, recipient="")))
    message = api.get("/v1/messages/wamid.A").json
    assert (message["contact"], message["country"]) == ("+491712345678", "DE")


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_failed_call_is_a_failed_message_with_its_trace_and_subcode(
    report, rates, api, engine, deliver, now, wrapped
):
    deliver(body(status("wamid.before", "sent", now)))
    error = graph_error(190, 463, "Error validating access token")
    send = {"contact": CONTACT, "phone_number_id": NUMBER, "template": "offer"}
    (result,) = report(send | {"error": {"error": error} if wrapped else error})["results"]
    assert result["message_id"].startswith("send:")
    assert result["meaning"]["title"] == "Expired"
    assert result["meaning"]["domain"] == "auth"
    assert rates() == ((2, 1), {"": (1, 0), "offer": (1, 1)})
    assert rates("code", waba_id=WABA)[1] == {190: (2, 1)}
    stored = all_rows(engine, "SELECT error_code, error_subcode, fbtrace_id, source, errors FROM failures")
    assert stored == [(190, 463, "AbCdEfGhIjKlMnOp", "send", [error])]


@pytest.mark.parametrize("first", ["send", "webhook"])
@pytest.mark.parametrize("error", [None, graph_error()])
@pytest.mark.parametrize(
    "person",
    [
        {"recipient_user_id": "US.7041abc"},
        {"recipient_parent_user_id": "US.ENT.7041abc"},
        {"recipient_type": "group", "recipient_participant_user_id": "US.7041abc"},
    ],
)
def test_a_report_links_no_number_with_a_user_id(report, deliver, engine, now, first, error, person):
    send = {"contact": CONTACT, "message_id": "wamid.A"} | ({"error": error} if error else {})
    webhook = body(status("wamid.A", "sent", now, recipient="", **person))
    for each in ("send", "webhook", "send") if first == "send" else ("webhook", "send"):
        _ = report(send) if each == "send" else deliver(webhook)
    deliver(body(status("wamid.A", "delivered", now, recipient="", **person)))
    follow_up(engine, now + timedelta(minutes=2))
    assert all_rows(engine, "SELECT * FROM contact_links") == []


def test_the_books_and_the_archive_hold_deliveries_alone(report, api, engine):
    report({"contact": CONTACT, "error": graph_error()})
    assert api.get("/v1/books").json["received"] == 0
    assert all_rows(engine, "SELECT count(*) FROM deliveries") == [(0,)]


def test_a_repeated_report_is_a_duplicate_and_another_call_is_not(report, rates, now):
    send = {"contact": CONTACT, "sent_at": now.isoformat(), "error": graph_error()}
    assert [r["result"] for r in report(send, send)["results"]] == ["stored", "duplicate"]
    assert report(send)["summary"]["duplicate"] == 1
    other = send | {"error": graph_error(fbtrace_id="another call")}
    later = send | {"sent_at": (now - timedelta(seconds=5)).isoformat()}
    assert report(other, later)["summary"]["stored"] == 2
    assert rates() == ((3, 3), {"": (3, 3)})


def test_a_report_without_time_or_trace_counts_once_in_a_day(report):
    send = {"contact": CONTACT, "error": graph_error(fbtrace_id="")}
    assert report(send)["summary"]["stored"] == 1
    assert report(send)["summary"]["duplicate"] == 1


@pytest.mark.parametrize("number", [NUMBER, ""])
@pytest.mark.parametrize("first", ["send", "webhook"])
@pytest.mark.parametrize("apart", [0, 90])
def test_a_failure_that_both_report_counts_once_and_has_the_trace(
    report, rates, api, engine, deliver, now, number, first, apart
):
    at = now - timedelta(minutes=5)
    send = {
        "contact": CONTACT,
        "message_id": "wamid.F",
        "phone_number_id": number,
        "template": "offer",
        "sent_at": (at - timedelta(seconds=apart)).isoformat(),
        "error": graph_error(131026, 2655007),
    }
    webhook = body(status("wamid.F", "failed", at, code=131026, details="from the webhook"))
    if first == "send":
        report(send)
        deliver(webhook)
    else:
        deliver(webhook)
        report(send)
    assert rates() == ((1, 1), {"offer": (1, 1)})
    assert rates("phone_number_id")[1] == {NUMBER: (1, 1)}
    assert all_rows(engine, "SELECT message_id, phone_number_id FROM messages") == [("wamid.F", NUMBER)]
    assert all_rows(
        engine, "SELECT occurred_at, source, details, error_subcode, fbtrace_id FROM failures"
    ) == [(at, "webhook", "from the webhook", 2655007, "AbCdEfGhIjKlMnOp")]
    assert len(api.get("/v1/messages/wamid.F").json["events"]) == 1
    deliver(webhook)
    report(send)
    assert rates() == ((1, 1), {"offer": (1, 1)})


@pytest.mark.parametrize("first", ["send", "webhook"])
def test_a_failed_call_without_a_number_joins_the_number_its_webhooks_name(
    report, rates, engine, deliver, now, first
):
    send = {
        "contact": CONTACT,
        "message_id": "wamid.F",
        "sent_at": (now - timedelta(minutes=3)).isoformat(),
        "error": graph_error(131000),
    }
    delivered = body(status("wamid.F", "delivered", now))
    if first == "send":
        report(send)
        assert rates("phone_number_id")[1] == {"": (1, 1)}
        deliver(delivered)
    else:
        deliver(delivered)
        report(send)
    assert rates("phone_number_id") == ((1, 1), {NUMBER: (1, 1)})
    assert all_rows(engine, "SELECT phone_number_id, status FROM status_events ORDER BY 2") == [
        (NUMBER, "delivered"),
        (NUMBER, "failed"),
    ]


def test_two_codes_of_one_message_are_one_failed_message(report, rates, deliver, now):
    deliver(body(status("wamid.F", "failed", now, code=131026)))
    report({"contact": CONTACT, "message_id": "wamid.F", "error": graph_error(131000)})
    assert rates("code") == ((1, 1), {131026: (1, 1), 131000: (1, 1)})


def test_an_invalid_item_affects_no_other(report):
    good = {"contact": CONTACT, "message_id": "wamid.A"}
    bad = [
        None,
        7,
        [],
        {},
        {"contact": 5},
        {"contact": "nobody"},
        {"contact": CONTACT, "colour": "red"},
        {"contact": CONTACT, "message_id": "a\0b"},
        {"contact": CONTACT, "message_id": "x" * 600},
        {"contact": CONTACT, "message_id": "語" * 200},
        {"contact": CONTACT, "message_id": "wamid.B", "phone_number_id": "😀" * 17},
        {"contact": CONTACT, "message_id": "wamid.B", "template": "x" * 201},
        {"contact": CONTACT, "sent_at": "yesterday"},
        {"contact": CONTACT, "sent_at": "1999-01-01T00:00:00Z"},
        {"contact": CONTACT, "error": "timed out"},
        {"contact": CONTACT, "error": {}},
        {"contact": CONTACT, "error": {"code": 1, "message": "x" * 70_000}},
    ]
    answer = report(*bad, good)
    assert answer["summary"] == {"stored": 1, "duplicate": 0, "invalid": len(bad)}
    assert all(result["reason"] for result in answer["results"][:-1])
    assert answer["results"][6]["reason"] == "Object contains unknown field `colour`"
    assert answer["results"][4]["reason"] == "contact: Expected `str`, got `int`"


def test_the_longest_values_that_are_accepted_fit_into_every_index(report, deliver, engine, now):
    letters = random.Random(1)
    longest = {name: "".join(chr(letters.randint(0x20000, 0x2A000)) for _ in range(200)) for name in
               ("template", "campaign")}  # fmt: skip
    longest["category"] = "authentication_international"
    ids = ["".join(chr(letters.randint(0x20000, 0x2A000)) for _ in range(128)) for _ in range(2)]
    number, account = (
        "".join(chr(letters.randint(0x20000, 0x2A000)) for _ in range(size)) for size in (64, 64)
    )
    deliver(body(status(ids[0], "sent", now), number=number, waba=account))
    sends = [
        {"contact": CONTACT, "message_id": each, "phone_number_id": number[:16]} | longest for each in ids
    ]
    answer = report(*sends, *(send | {"error": graph_error()} for send in sends))
    assert answer["summary"]["stored"] == 4
    deliver(body(status(ids[0], "delivered", now), number=number, waba=account))
    follow_up(engine, now + timedelta(minutes=2))
    campaigns = all_rows(engine, "SELECT DISTINCT campaign FROM series WHERE campaign <> ''")
    assert campaigns == [(longest["campaign"],)]


def test_unusual_error_objects_are_stored(report, engine):
    odd = [
        {"code": "131047", "message": "a\0b \ud83d\ude00"},
        {"code": 10**30, "error_subcode": -5, "fbtrace_id": 7},
        {"code": None, "message": None},
        {"message": {"deep": [[[[1]]]]}, "code": 1.5},
        {"code": 4, "error_data": "in words"},
    ]
    answer = report(*({"contact": CONTACT, "error": error} for error in odd))
    assert answer["summary"]["stored"] == len(odd)
    codes = all_rows(engine, "SELECT error_code FROM failures ORDER BY 1")
    assert codes == [(-1,), (-1,), (-1,), (4,), (131047,)]
    assert all_rows(engine, "SELECT details FROM failures WHERE error_code = 4") == [("in words",)]


def test_a_failure_with_an_invalid_contact_counts_and_the_answer_says_so(report, rates):
    (result,) = report({"contact": "12", "error": graph_error(131009)})["results"]
    assert (result["result"], result["contact"]) == ("stored", None)
    assert result["reason"].startswith("contact: ")
    assert rates() == ((1, 1), {"": (1, 1)})


def test_credentials_and_texts_are_never_stored(report, engine):
    error = graph_error(
        190,
        None,
        f"Malformed access token {TOKEN} or 1234567890123|AbCdEfGhIjKlMnOpQrSt",
        debug={"Authorization": f"Bearer {TOKEN}", "url": f"https://graph/?access_token={TOKEN}&x=1"},
    )
    request = {
        "messaging_product": "whatsapp",
        "to": "12025550117",
        "type": "template",
        "access_token": TOKEN,
        "template": {
            "name": "offer",
            "language": {"code": "en_US"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": "Dear Anna"}]}],
        },
    }
    endpoint = f"https://graph.facebook.com/v23.0/1/messages?access_token={TOKEN}"
    report({"contact": CONTACT, "error": error, "request": request, "endpoint": endpoint})
    ((kept_error, kept_request, kept_endpoint),) = all_rows(
        engine, "SELECT error, request, endpoint FROM sends"
    )
    everything = json.dumps(
        [kept_error, kept_request, kept_endpoint, *all_rows(engine, "SELECT title, errors FROM failures")[0]]
    )
    assert TOKEN not in everything
    assert "AbCdEfGhIjKlMnOpQrSt" not in everything
    assert "Anna" not in everything
    assert "12025550117" not in everything
    assert kept_request["template"]["name"] == "offer"
    assert kept_request["template"]["components"][0]["parameters"] == [
        {"type": "text", "text": "[9 characters]"}
    ]


def test_the_shape_of_an_accepted_call_takes_two_kilobytes_and_no_key_of_the_sender(report, engine):
    texts = [{"type": "text", "text": f"{number}"} for number in range(50)]
    template = {"name": "offer", "components": [{"type": "body", "parameters": texts}]}
    request = {"template": template, **{f"Anna {number}": 4915112345678 for number in range(1_000)}}
    for error in ({}, {"error": graph_error(131008)}):
        report({"contact": CONTACT, "request": request, **error})
    sizes = "SELECT length(request::text), request->'template'->>'name' FROM sends ORDER BY failed"
    (accepted, _), (failed, _) = rows = all_rows(engine, sizes)
    assert accepted < 2_100 < failed < 8_200
    assert {name for _, name in rows} == {"offer"}
    shown = "SELECT count(*) FROM sends WHERE request::text ~ 'Anna|49151' OR NOT request ? '[unknown keys]'"
    assert all_rows(engine, shown) == [(0,)]


def test_a_body_that_is_not_a_list_of_at_most_1000_is_refused(api):
    for wrong in ({}, {"sends": {}}, {"sends": [{"contact": CONTACT}] * 1001}, {"sends": [], "x": 1}):
        assert api.post("/v1/sends", json=wrong, role="sender").status_code == 400
    assert api.post("/v1/sends", json={"sends": []}, role="sender").json["results"] == []


def test_a_thousand_sends_at_once_are_taken(report, rates):
    sends = [
        {"contact": f"+1202555{i:04}", "error": graph_error(131000), "template": f"t{i % 3}"}
        for i in range(1000)
    ]
    assert report(*sends)["summary"]["stored"] == 1000
    assert rates()[0] == (1000, 1000)


def test_sends_without_webhooks_are_checked_until_meta_gives_up(report, engine, deliver, now):
    report({"contact": CONTACT, "message_id": "wamid.A"}, {"contact": CONTACT, "message_id": "wamid.B"})
    deliver(body(status("wamid.A", "delivered", now)))
    minute = timedelta(minutes=1)
    assert follow_up(engine, now).checked == 0
    first = follow_up(engine, now + 2 * minute)
    assert (first.checked, first.confirmed) == (2, 1)
    assert follow_up(engine, now + 3 * minute).checked == 0
    assert follow_up(engine, now + 6 * minute).checked == 1
    for days in (1, 2, 9, 10):
        last = follow_up(engine, now + timedelta(days=days))
    assert last.checked == 0
    assert all_rows(engine, "SELECT count(*) FROM sends WHERE check_at IS NOT NULL") == [(0,)]


@pytest.mark.parametrize(
    ("code", "subcode", "title", "domain", "retry"),
    [
        (190, 460, "Password Changed", "auth", "after_fix"),
        (190, 463, "Expired", "auth", "after_fix"),
        (190, 467, "Invalid Access Token", "auth", "after_fix"),
        (100, 33, None, "sender_config", "after_fix"),
        (4, None, "API Too Many Calls", "rate_limit", "backoff"),
        (17, None, "API User Too Many Calls", "rate_limit", "backoff"),
        (32, None, None, "rate_limit", "backoff"),
        (80007, None, "Rate limit issues", "rate_limit", "backoff"),
        (131047, None, "Re-engagement message", "sender_config", "after_fix"),
        (132000, None, "Template Param Count Mismatch", "template", "after_fix"),
    ],
)
def test_errors_that_only_calls_report_are_listed_explained_and_counted(
    report, api, rates, code, subcode, title, domain, retry
):
    report({"contact": CONTACT, "phone_number_id": NUMBER, "error": graph_error(code, subcode)})
    (failure,) = api.get(f"/v1/failures?code={code}&source=send").json["failures"]
    assert (failure["code"], failure["subcode"]) == (code, subcode)
    assert failure["fbtrace_id"] == "AbCdEfGhIjKlMnOp"
    assert failure["errors"] == [graph_error(code, subcode)]
    assert (failure["domain"], failure["meaning"]["retry"]) == (domain, retry)
    assert title is None or failure["meaning"]["title"] == title
    assert rates("code") == ((1, 1), {code: (1, 1)})


def test_a_report_beyond_the_limit_of_its_message_is_invalid_and_the_answer_says_why(report, rates):
    calls = [{"contact": CONTACT, "message_id": "wamid.A", "error": graph_error(code)} for code in range(22)]
    answer = report(*calls, {"contact": CONTACT, "message_id": "wamid.B"})
    assert answer["summary"] == {"stored": 21, "duplicate": 0, "invalid": 2}
    assert answer["results"][21]["result"] == "invalid"
    assert "20 reports" in answer["results"][21]["reason"]
    assert answer["results"][22]["result"] == "stored"
    assert rates()[0] == (1, 1)
