"""The error-code catalogue over HTTP, with the counts of each code."""

from datetime import timedelta

from sqlalchemy import text

from tests.support.factories import body, status
from webhook_app.store.postgres.partitions import ensure
from webhook_app.whatsapp.errors.catalogue import catalogue


def test_the_whole_catalogue_is_listed_in_order_with_class_and_advice(api):
    codes = api.get("/v1/codes", role="viewer").json["codes"]
    assert len(codes) == len(catalogue())
    places = [(code["code"], code["code_to"]) for code in codes]
    assert places == sorted(places)
    entry = next(code for code in codes if code["code"] == 131026)
    assert (entry["failure_class"], entry["contact_effect"], entry["known"]) == ("unreachable", "soft", True)
    assert entry["retry_advice"]["words"]
    assert any(code["mistaken_for"] for code in codes)


def counted(code):
    return tuple(code["seen"].values())


def test_failed_messages_of_the_last_hour_day_and_30_days_are_counted(api, deliver, engine, now):
    with engine.begin() as connection:
        ensure(connection, now, days_back=40)
    for what, minutes in (("minutes", 5), ("hours", 180), ("days", 12 * 1440), ("too long", 31 * 1440)):
        for n in range(2):
            at = now - timedelta(minutes=minutes)
            deliver(body(status(f"wamid.{what}{n}", "failed", at, code=131026)))
    deliver(body(status("wamid.minutes0", "failed", now - timedelta(minutes=9), code=131026)))  # failed again
    deliver(body(status("wamid.hours1", "failed", now - timedelta(minutes=9), code=131026)))
    codes = api.get("/v1/codes").json["codes"]
    assert {code["code"]: counted(code) for code in codes if any(counted(code))} == {131026: (3, 4, 6)}
    assert counted(api.get("/v1/codes/131026", role="sender").json) == (3, 4, 6)


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
    assert [counted(code) for code in listed] == [(2, 2, 2)]
    one = api.get(f"/v1/codes/{inside}").json
    assert (one["code"], one["code_to"], one["known"]) == (wide.code, wide.code_to, True)
    assert counted(one) == (1, 1, 1)


def test_an_unknown_code_is_explained_always_and_listed_once_it_occurs(api, deliver, now):
    one = api.get("/v1/codes/987654").json
    assert (one["known"], one["contact_effect"], counted(one)) == (False, "none", (0, 0, 0))
    deliver(body(status("wamid.A", "failed", now, code=987654), status("wamid.B", "failed", now)))
    seen = {c["code"]: counted(c) for c in api.get("/v1/codes").json["codes"] if not c["known"]}
    assert seen == {987654: (1, 1, 1), -1: (1, 1, 1)}
    assert counted(api.get("/v1/codes/987654").json) == (1, 1, 1)


def test_unknown_codes_are_listed_up_to_a_limit_those_with_most_failures(api, deliver, now):
    made_up = [987_000 + n for n in range(120)]
    deliver(body(*(status(f"wamid.{code}", "failed", now, code=code) for code in made_up)))
    deliver(body(status("wamid.A", "failed", now, code=987_110)))

    def unknown(query=""):
        return [code["code"] for code in api.get(f"/v1/codes{query}").json["codes"] if not code["known"]]

    assert unknown("?limit=1") == [987_110]
    assert unknown() == [*made_up[:99], 987_110]
    assert unknown("?limit=1000") == made_up
    assert api.get("/v1/codes?limit=1001").status_code == 400
    assert unknown("?limit=0") == []


def test_a_subcode_has_its_own_meaning_and_counts(api, deliver, engine, now):
    deliver(body(*(status(f"wamid.{n}", "failed", now, code=190) for n in range(3))))
    with engine.begin() as connection:  # as a sender's report of a failed call leaves it
        connection.execute(text("UPDATE failures SET error_subcode = 463 WHERE message_id <> 'wamid.0'"))
    found = api.get("/v1/codes/190?subcode=463").json
    assert (found["subcode"], found["title"], counted(found)) == (463, "Expired", (2, 2, 2))
    listed = {c["subcode"]: counted(c) for c in api.get("/v1/codes").json["codes"] if c["code"] == 190}
    assert (listed[None], listed[463], listed[460]) == ((3, 3, 3), (2, 2, 2), (0, 0, 0))
    assert api.get("/v1/codes/190?subcode=1").json["subcode"] is None


def test_a_subcode_can_stand_in_the_path(api):
    found = api.get("/v1/codes/190/463", role="sender").json
    assert (found["code"], found["subcode"], found["attention"]) == (190, 463, "page")
    assert found == api.get("/v1/codes/190?subcode=463").json
    assert api.get("/v1/codes/190/987654").json["subcode"] is None
    assert api.get("/v1/codes/190/many").status_code == 404


def test_a_code_lists_the_rules_that_count_it(make_app, api, keys, tmp_path):
    assert "failure-rate-per-code" in api.get("/v1/codes/131026").json["watched_by"]
    rule = '[[rule]]\nname = "{}"\nkind = "rate"\nthreshold = 0.1\ncodes = [{}]\n'
    file = tmp_path / "rules.toml"
    file.write_text(rule.format("one", "131026, 250") + rule.format("other", "131026"))
    headers = {"Authorization": f"Bearer {keys['viewer']}"}
    client = make_app(rules_file=file).test_client()
    codes = client.get("/v1/codes", headers=headers).json["codes"]
    watched = {code["code"]: code["watched_by"] for code in codes if code["watched_by"]}
    assert watched == {131026: ["one", "other"], 200: ["one"]}


def test_an_invalid_rules_file_does_not_hide_the_meaning_of_a_code(make_app, keys, tmp_path):
    headers = {"Authorization": f"Bearer {keys['viewer']}"}
    client = make_app(rules_file=tmp_path / "gone.toml").test_client()
    found = client.get("/v1/codes/131026", headers=headers).json
    assert (found["watched_by"], found["domain"]) == (None, "recipient")
