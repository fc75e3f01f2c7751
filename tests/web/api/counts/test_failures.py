"""The search of failures over HTTP: filters, pages, meaning and retry times."""

import json
from datetime import timedelta

import pytest

from tests.support.factories import body, message, number_change, status, utc_text

OTHER_NUMBER = "590238114470099"


def listed(api, query=""):
    return [
        failure["message_id"] for failure in api.get(f"/v1/failures{query}", role="viewer").json["failures"]
    ]


def test_a_failure_has_the_whole_error_its_meaning_and_advice(api, deliver, now):
    error = {
        "code": 131049,
        "title": "Not delivered",
        "message": "Not delivered",
        "error_data": {"details": "In order to maintain a healthy ecosystem engagement"},
        "href": "https://developers.facebook.com/",
        "odd": [1, None, {"x": 0.5}],
    }
    callback = '{"template":"offer","campaign":"autumn"}'
    deliver(body(status("wamid.F", "failed", now, errors=[error], biz_opaque_callback_data=callback)))
    (failure,) = api.get("/v1/failures", role="viewer").json["failures"]
    assert failure["errors"] == [error]
    assert (failure["code"], failure["subcode"], failure["source"]) == (131049, None, "webhook")
    assert (failure["template"], failure["campaign"], failure["country"]) == ("offer", "autumn", "US")
    assert (failure["domain"], failure["failure_class"]) == ("consent", "withheld")
    assert failure["meaning"]["mistaken_for"]
    assert failure["retry_advice"]["kind"] == "after_window"
    assert failure["retry_at"] == utc_text(now + timedelta(hours=24))
    assert (failure["contact"], failure["contact_affected"]) == ("+12025550117", True)
    assert failure["dead_letter"] is False
    assert api.get(f"/v1/failures/{failure['id']}", role="sender").json == failure


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?code=131053", ["media"]),
        ("?code=131053&code=1", None),
        ("?class=unreachable", ["gone"]),
        ("?domain=media", ["media"]),
        ("?domain=weather", None),
        ("?class=broken&template=offer", ["media"]),
        ("?contact=%2B55%2011%208765-4321", ["gone"]),
        ("?contact=nobody", None),
        (f"?phone_number_id={OTHER_NUMBER}", ["number"]),
        ("?template=", ["number", "gone"]),
        ("?campaign=autumn", ["media"]),
        ("?country=BR", ["gone"]),
        ("?text=host%20ANSWERED", ["media"]),
        ("?text=Title%20131", ["number", "media", "gone"]),
        ("?text=%25", []),
        ("?source=send", []),
        ("?dead_letter=true", ["gone"]),
        ("?subcode=-1", ["number", "media", "gone"]),
        ("?until=2001-01-01T00:00:00Z", []),
        ("?since=2001-01-01T00:00:00", None),
        ("?colour=red", None),
        ("?limit=0", None),
        ("?cursor=nonsense", None),
        ("?cursor=MQ", None),
    ],
)
def test_failures_are_found_by_every_filter(api, deliver, now, query, found):
    callback = "template=offer;campaign=autumn"
    deliver(
        body(
            status("gone", "failed", now - timedelta(seconds=3), code=131026, recipient="551187654321"),
            status(
                "media",
                "failed",
                now - timedelta(seconds=2),
                code=131053,
                details="Our host answered 503",
                biz_opaque_callback_data=callback,
            ),
        )
    )
    deliver(body(status("number", "failed", now - timedelta(seconds=1), code=131000), number=OTHER_NUMBER))
    if found is None:
        assert api.get(f"/v1/failures{query}").status_code == 400
    else:
        assert listed(api, query) == found


def test_a_person_is_found_under_every_contact_that_belongs_to_them(api, deliver, now):
    user = {"recipient_user_id": "US.13491208655302741918"}
    deliver(body(status("wamid.A", "sent", now, **user)))
    deliver(body(status("wamid.P", "failed", now - timedelta(seconds=1), code=131026)))
    deliver(body(status("wamid.U", "failed", now, code=131026, recipient="", **user)))
    for contact in ("+12025550117", "US.13491208655302741918", "(202) 555-0117".replace("(", "001 ")):
        query = {"contact": contact}
        found = api.get("/v1/failures", query_string=query).json["failures"]
        assert [failure["message_id"] for failure in found] == ["wamid.U", "wamid.P"]


@pytest.mark.parametrize("dead_letter", [False, True])
def test_a_contact_finds_the_failures_of_its_present_holder_under_former_numbers_too(
    api, deliver, now, dead_letter
):
    old, new, minute = "12025550117", "12025550118", timedelta(minutes=1)
    deliver(body(status("wamid.OLD", "failed", now - 3 * minute, code=131026, recipient=old)))
    deliver(body(status("wamid.OTHERS", "failed", now - 3 * minute, code=131026, recipient=new)))
    deliver(number_change(old, new, now - 2 * minute))
    deliver(body(status("wamid.NEW", "failed", now - minute, code=131026, recipient=new)))
    deliver(body(status("wamid.NEXT", "failed", now - minute, code=131026, recipient=old)))
    query = "&dead_letter=true" if dead_letter else ""
    for contact, found in ((new, ["wamid.NEW", "wamid.OLD"]), (old, ["wamid.NEXT"])):
        assert listed(api, f"?contact={contact}{query}") == found
        exported = api.get(f"/v1/failures/export?contact={contact}&format=ndjson{query}").text.splitlines()
        assert [json.loads(line)["message_id"] for line in exported] == found
        timeline = api.get(f"/v1/contacts/{contact}").json["timeline"]
        assert [each["message_id"] for each in timeline if each["what"] == "failed"] == found


def test_pages_follow_each_other_without_gap_or_repetition_while_failures_arrive(api, deliver, now):
    deliver(
        body(*(status(f"wamid.{n}", "failed", now - timedelta(seconds=n // 3), code=1) for n in range(10)))
    )
    everything = listed(api)
    seen, query = [], "?limit=3"
    while query:
        answer = api.get(f"/v1/failures{query}").json
        seen += [failure["message_id"] for failure in answer["failures"]]
        query = f"?limit=3&cursor={answer['next_cursor']}" if answer["next_cursor"] else ""
        deliver(body(status(f"wamid.new{len(seen)}", "failed", now + timedelta(seconds=5), code=1)))
    assert seen == everything
    assert len(set(seen)) == 10


def test_a_message_whose_tries_are_used_up_is_a_dead_letter(api, deliver, now):
    noon = now.replace(hour=12) - timedelta(days=1)
    for n in range(9):
        deliver(body(status(f"wamid.try{n}", "failed", noon + timedelta(seconds=n), code=131016)))
    failures = api.get("/v1/failures").json["failures"]
    assert [failure["tries"] for failure in failures] == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert [failure["dead_letter"] for failure in failures] == [True, True] + [False] * 7
    assert listed(api, "?dead_letter=true") == ["wamid.try8", "wamid.try7"]
    third = failures[6]
    assert third["retry_advice"]["waits_seconds"] == [4, 8, 16, 32, 64]
    assert third["retry_at"] == utc_text(noon + timedelta(seconds=2 + 4))
    assert failures[0]["retry_at"] is None


def test_a_failed_group_message_counts_against_no_contact(api, deliver, now):
    group = {"recipient_type": "group", "recipient_participant_id": "12025550117"}
    deliver(body(status("wamid.G", "failed", now, code=131026, recipient="1203630", **group)))
    (failure,) = api.get("/v1/failures").json["failures"]
    assert (failure["participant"], failure["contact_affected"]) == ("12025550117", False)


def test_a_failure_without_a_code_is_explained_and_found(api, deliver, now):
    deliver(body(status("wamid.F", "failed", now)))
    (failure,) = api.get("/v1/failures?code=-1").json["failures"]
    assert (failure["code"], failure["errors"], failure["meaning"]["title"]) == (None, None, "No error code")


@pytest.mark.parametrize("message_id", ["wamid.HBgL/MT+IwMjU1==", "späß", "x" * 500])
def test_a_failure_with_an_odd_message_id_can_be_read_by_its_id(api, deliver, now, message_id):
    deliver(
        body(status(message_id, "failed", now, code=131026), status("wamid.B", "failed", now, code=131026))
    )
    failures = api.get("/v1/failures").json["failures"]
    (chosen,) = [failure for failure in failures if failure["message_id"] == message_id]
    assert api.get(f"/v1/failures/{chosen['id']}").json["message_id"] == message_id
    first = api.get("/v1/failures?limit=1").json
    (second,) = api.get("/v1/failures", query_string={"cursor": first["next_cursor"]}).json["failures"]
    assert {first["failures"][0]["message_id"], second["message_id"]} == {message_id, "wamid.B"}


@pytest.mark.parametrize("given", ["nonsense", "MQ", "W10", "a/b", "%00", "x" * 3000])
def test_an_unknown_id_is_404(api, given):
    assert api.get(f"/v1/failures/{given}").status_code == 404


def test_an_inbound_message_is_no_failure(api, deliver, now):
    deliver(body(messages=[message("wamid.IN", now)]))
    assert listed(api) == []


def test_a_sender_reads_single_failures_but_no_lists(api):
    assert api.get("/v1/failures", role="sender").status_code == 403
    assert api.get("/v1/failures", role="").status_code == 401
