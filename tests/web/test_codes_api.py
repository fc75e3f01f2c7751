"""The catalogue over HTTP: what every code means, and how often it was seen."""

from datetime import timedelta

from tests.factories import body, status
from webhook_app.whatsapp.error_codes import catalogue


def test_the_whole_catalogue_is_listed_in_order_with_class_advice_and_misreadings(api):
    codes = api.get("/v1/codes", role="viewer").json["codes"]
    assert len(codes) == len(catalogue())
    places = [(code["code"], code["code_to"]) for code in codes]
    assert places == sorted(places)
    entry = next(code for code in codes if code["code"] == 131026)
    assert (entry["failure_class"], entry["contact_effect"], entry["known"]) == ("unreachable", "soft", True)
    assert entry["retry_advice"]["words"]
    assert any(code["mistaken_for"] for code in codes)


def test_failures_of_the_last_day_are_counted_by_message(api, deliver, now):
    deliver(body(*(status(f"wamid.{n}", "failed", now, code=131026) for n in range(3))))
    deliver(body(status("wamid.0", "failed", now - timedelta(minutes=1), code=131026)))
    deliver(body(status("wamid.old", "failed", now - timedelta(hours=25), code=131026)))
    codes = api.get("/v1/codes").json["codes"]
    assert {code["code"]: code["failures_24h"] for code in codes if code["failures_24h"]} == {131026: 3}
    assert api.get("/v1/codes/131026", role="sender").json["failures_24h"] == 3


def test_codes_of_a_range_are_counted_in_the_range_and_alone(api, deliver, now):
    wide = next(entry for entry in catalogue() if entry.code_to > entry.code)
    inside = next(n for n in range(wide.code, wide.code_to) if all(n != entry.code for entry in catalogue()))
    deliver(
        body(status("wamid.A", "failed", now, code=inside), status("wamid.B", "failed", now, code=inside + 1))
    )
    listed = [
        c
        for c in api.get("/v1/codes").json["codes"]
        if (c["code"], c["code_to"]) == (wide.code, wide.code_to)
    ]
    assert [code["failures_24h"] for code in listed] == [2]
    one = api.get(f"/v1/codes/{inside}").json
    assert (one["code"], one["code_to"], one["known"]) == (wide.code, wide.code_to, True)


def test_a_code_nobody_knows_is_listed_once_it_is_seen_and_explained_before(api, deliver, now):
    one = api.get("/v1/codes/987654").json
    assert (one["known"], one["contact_effect"], one["failures_24h"]) == (False, "none", 0)
    deliver(body(status("wamid.A", "failed", now, code=987654), status("wamid.B", "failed", now)))
    seen = {c["code"]: c["failures_24h"] for c in api.get("/v1/codes").json["codes"] if not c["known"]}
    assert seen == {987654: 1, -1: 1}
    assert api.get("/v1/codes/987654").json["failures_24h"] == 1


def test_a_subcode_has_its_own_meaning_and_no_count_of_ours(api):
    entry = next(each for each in catalogue() if each.subcode is not None)
    found = api.get(f"/v1/codes/{entry.code}?subcode={entry.subcode}").json
    assert (found["subcode"], found["title"], found["failures_24h"]) == (entry.subcode, entry.title, None)
    plain = api.get(f"/v1/codes/{entry.code}?subcode=1").json
    assert plain["subcode"] is None
