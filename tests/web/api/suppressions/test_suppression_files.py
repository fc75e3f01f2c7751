"""Whole lists in and out: each row is answered, nothing is stored twice, and an import can be undone."""

import json
from datetime import timedelta

import pytest

from webhook_app.store.suppressions import lists, suppressions
from webhook_app.store.suppressions.suppressions import Suppression

PATH = "/v1/suppressions/import"


def imported(api, text, query=""):
    response = api.post(f"{PATH}{query}", data=text.encode())
    assert response.status_code == 200, response.text
    rows = [json.loads(line) for line in response.text.splitlines()]
    return [row for row in rows if "row" in row], rows[-1]["done"]


def all_suppressions(engine):
    with engine.connect() as connection:
        return lists.list_page(connection, 10_000)


def test_a_csv_is_imported_and_answered_row_by_row(api, engine):
    text = (
        "Contact,reason,scope,until,note\r\n"
        "+1 202 555 0117,opted_out,marketing,,by phone\r\n"
        "\r\n"
        "0171 5550117,,,2099-01-31T00:00:00Z,\r\n"
        "nobody,,,,\r\n"
        "+12025550118,because,,,\r\n"
        "+12025550119,,,2001-01-01T00:00:00Z,\r\n"
        "+12025550120,,,soon,\r\n"
        "+12025550121,,,,,,\r\n"
    )
    rows, done = imported(api, text, "?region=DE&note=from+the+old+system")
    assert [(row["row"], row["result"]) for row in rows] == [
        (1, "added"),
        (2, "added"),
        *((number, "invalid") for number in range(3, 8)),
    ]
    assert [row["why"].partition(":")[0] for row in rows[2:6]] == ["contact", "reason", "until", "until"]
    assert (done["rows"], done["added"], done["invalid"]) == (7, 2, 5)
    first, second = all_suppressions(engine)
    assert (first.contact, first.reason, first.scope, first.note) == (
        "12025550117",
        "opted_out",
        "marketing",
        "by phone",
    )
    assert (second.contact, second.reason, second.scope, second.note, second.actor) == (
        "491715550117",
        "manual",
        "all",
        "from the old system",
        "admin",
    )
    assert second.until.year == 2099


def test_contacts_alone_are_enough_and_repeating_the_import_changes_nothing(api, engine):
    text = "\ufeff+12025550117\n12025550118\n12025550117\n"
    rows, _ = imported(api, text)
    assert [row["result"] for row in rows] == ["added", "added", "unchanged"]
    rows, done = imported(api, text)
    assert [row["result"] for row in rows] == ["unchanged"] * 3
    assert done["unchanged"] == 3
    assert len(all_suppressions(engine)) == 2


def test_ndjson_is_read_as_objects_or_as_contacts(api, engine):
    text = '{"contact": "+12025550117", "scope": "marketing"}\n\n"12025550118"\n[1]\n{"contact"\n'
    rows, _ = imported(api, text, "?format=ndjson&results=invalid")
    assert [(row["row"], row["why"]) for row in rows] == [(3, "not an object"), (4, "not a JSON line")]
    assert [(row.contact, row.scope) for row in all_suppressions(engine)] == [
        ("12025550117", "marketing"),
        ("12025550118", "all"),
    ]


def test_a_dry_run_says_what_would_happen_and_stores_nothing(api, engine):
    imported(api, "12025550117\n")
    rows, done = imported(api, "12025550117,\n12025550118\n", "?dry_run=true")
    assert [row["result"] for row in rows] == ["invalid", "added"]
    rows, done = imported(api, "contact,scope\n12025550117\n12025550118\n", "?dry_run=true&note=n")
    assert [row["result"] for row in rows] == ["changed", "added"]
    assert (done["dry_run"], done["batch"]) == (True, None)
    assert len(all_suppressions(engine)) == 1


def test_progress_is_reported_on_the_way(api):
    text = "".join(f"1202{n:07d}\n" for n in range(5_540_000, 5_550_500))
    response = api.post(f"{PATH}?dry_run=true&results=invalid", data=text.encode())
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [list(line) for line in lines] == [["progress"], ["done"]]
    assert lines[0]["progress"]["added"] == 10_000
    assert lines[-1]["done"]["added"] == 10_500


def test_odd_bytes_and_endless_quotes_are_invalid_rows(api):
    for body in (b"\xff\xfe\0\0\n", b'"' + b"x" * 200_000, b"\n\n", b"", b'contact\n"\n"', b"\0"):
        for kind in ("csv", "ndjson"):
            response = api.post(f"{PATH}?format={kind}", data=body)
            assert response.status_code == 200
            assert json.loads(response.text.splitlines()[-1])["done"]["added"] == 0


def test_an_import_is_undone_except_for_later_decisions(api, engine, now):
    with engine.begin() as connection:
        suppressions.put(connection, "12025550117", note="before", actor="ops", now=now)
    _, done = imported(api, "12025550117\n12025550118\n12025550119\n", "?note=wrong+list")
    api.put("/v1/suppressions/+12025550119", json={"note": "but this one is right"})
    undone = api.post("/v1/suppressions/undo", json={"batch": done["batch"], "note": "wrong file"})
    assert {row["contact"]: row["result"] for row in undone.json["results"]} == {
        "+12025550117": "restored",
        "+12025550118": "lifted",
        "+12025550119": "changed_since",
    }
    assert undone.json["next_before"] is None
    assert [row.contact for row in all_suppressions(engine)] == ["12025550117", "12025550119"]
    again = api.post(
        "/v1/suppressions/undo", json={"batch": undone.json["batch"], "note": "no, it was right"}
    )
    assert {row["result"] for row in again.json["results"]} == {"restored"}
    assert [row.contact for row in all_suppressions(engine)] == ["12025550117", "12025550118", "12025550119"]


def test_an_export_can_be_imported(api, engine, now):
    rows = [
        Suppression(
            contact="12025550117", reason="hard", code=131021, since=now, actor="system", review=True
        ),
        Suppression(contact="491715550117", scope="marketing", since=now, actor="ops", note='=cmd, "a"\nb'),
        Suppression(contact="US.1", phone_number_id="7", since=now, until=now + timedelta(days=1), actor="o"),
        Suppression(contact="12025550118", since=now, until=now - timedelta(days=1), actor="ops"),
    ]
    with engine.begin() as connection:
        suppressions.apply(connection, rows, [], now)
    for kind in ("csv", "ndjson"):
        exported = api.get(f"/v1/suppressions/export?format={kind}", role="viewer")
        assert exported.headers["X-Version"] == "4"
        answered, _ = imported(api, exported.text, f"?format={kind}&dry_run=true")
        assert [row["result"] for row in answered] == ["changed", "changed", "changed"]
    assert "'=cmd" in api.get("/v1/suppressions/export").text
    waiting = api.get("/v1/suppressions/export?review=true&format=ndjson").text.splitlines()
    assert [json.loads(line)["contact"] for line in waiting] == ["+12025550117"]


@pytest.mark.parametrize(
    "note", ["=cmd", "'=cmd", " =1", "\t-1", "+1", "two\nlines", "@x", "'quoted'", "＝1"]
)
def test_a_note_and_a_phone_number_come_back_as_they_were(api, engine, now, note):
    with engine.begin() as connection:
        suppressions.put(connection, "12025550117", actor="ops", note=note, now=now)
    exported = api.get("/v1/suppressions/export").text
    assert exported.splitlines()[1].startswith("+12025550117,")
    with engine.begin() as connection:
        suppressions.lift(connection, "12025550117", None, None, None, actor="ops", now=now)
    imported(api, exported)
    assert [(row.contact, row.note) for row in all_suppressions(engine)] == [("12025550117", note)]


def test_imports_need_an_admin_and_a_list_of_a_known_region(api):
    assert api.post(PATH, data=b"1", role="viewer").status_code == 403
    assert api.post(f"{PATH}?region=QX", data=b"1").json["error"]["code"] == "bad_region"
    assert api.post(f"{PATH}?format=xml", data=b"1").status_code == 400
