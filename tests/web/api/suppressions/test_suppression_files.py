"""Whole lists in and out: each row is answered, nothing is stored twice, and an import can be undone."""

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO, TextIOWrapper

import pytest
from msgspec.structs import replace
from sqlalchemy import text

from tests.support.factories import NUMBER, body, message, status
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.suppressions import lists, suppressions
from webhook_app.store.suppressions.changes import ChangeEvidence
from webhook_app.store.suppressions.suppressions import Suppression
from webhook_app.web.api.suppressions import suppression_files

PATH = "/v1/suppressions/import"
FIRST, LAST = "+12025550117", "+12025550119"


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
        "+12025550121,,,,,,more\r\n"
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
    rows, done = imported(api, "contact\n12025550117,x\n12025550118\n", "?dry_run=true")
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
    for data in (b"\xff\xfe\0\0\n", b'"' + b"x" * 200_000, b"\n\n", b"", b'contact\n"\n"', b"\0"):
        for kind in ("csv", "ndjson"):
            response = api.post(f"{PATH}?format={kind}", data=data)
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


@pytest.mark.parametrize("line", ["\n", " ,,\n", '"\n",'], ids=["blank", "separators", "open quotes"])
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_other_requests_are_answered_between_the_lines_of_an_import(api, turns, line, kind):
    api.post(f"{PATH}?dry_run=true&results=invalid&format={kind}", data=("contact\n" + line * 1000).encode())
    assert len(turns) >= 1000


@pytest.mark.parametrize("line", ["1" * 2_000_000, '"' + "1" * 2_000_000 + '"'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_that_is_too_long_is_read_in_parts_and_is_one_invalid_row(api, line, end):
    rows, _ = imported(api, end.join([f'"{FIRST}"', line, f'"{LAST}"']), "?format=ndjson")
    assert [row["result"] for row in rows] == ["added", "invalid", "added"]
    rows, _ = imported(api, end.join(["contact", line, LAST]), "?format=csv")
    assert [row["result"] for row in rows] == ["invalid", "unchanged"]
    read = suppression_files._lines(TextIOWrapper(BytesIO(line.encode() + b"\n2\n")))
    assert [len(part) for part in read] == [1_000_001, 2]


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_other_requests_are_answered_between_the_rows_of_an_export(api, engine, now, turns, kind):
    rows = [Suppression(contact=f"120255501{n}", since=now, actor="ops") for n in range(10, 30)]
    with engine.begin() as connection:
        suppressions.apply(connection, rows, [], now)
    assert len(api.get(f"/v1/suppressions/export?format={kind}").text.splitlines()) >= len(rows)
    assert len(turns) >= len(rows)


def test_every_page_of_an_export_is_in_the_file_once(api, engine, now, monkeypatch):
    monkeypatch.setattr(suppression_files, "_PAGE", 2)
    rows = [Suppression(contact=f"1202555011{n}", since=now, actor="ops") for n in range(5)]
    with engine.begin() as connection:
        suppressions.apply(connection, rows, [], now)
    lines = api.get("/v1/suppressions/export?format=ndjson").text.splitlines()
    assert [json.loads(line)["contact"] for line in lines] == [f"+{row.contact}" for row in rows]


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
        assert [row["result"] for row in answered] == ["unchanged", "unchanged", "unchanged"]
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


def understood(api, engine, text, query="", media="text/csv"):
    data = text if isinstance(text, bytes) else text.encode()
    response = api.post(f"{PATH}{query}", data=data, content_type=media)
    assert response.status_code == 200, response.text
    return [(row.contact, row.reason, row.scope, row.note) for row in all_suppressions(engine)]


@pytest.mark.parametrize(
    "text",
    [
        "contact;reason;note\n+12025550117;opted_out;by phone\n",
        "sep=;\ncontact;reason;note\n+12025550117;opted_out;by phone\n",
        '"sep=;"\r\n"contact";"reason";"note"\r\n"+12025550117";"opted_out";"by phone"\r\n',
        "phone,reason,note\n+12025550117,opted_out,by phone\n",
        "Phone Number\tReason\tNote\n+12025550117\topted_out\tby phone\n",
        "id|MSISDN|reason|note\n7|12025550117|opted_out|by phone\n",
        "name;Teléfono;reason;note\nAnna;12025550117;opted_out;by phone\n",
        "\ufeffnumber,reason,note,list\n12025550117.0,opted_out,by phone,a\n",
        "contact,reason,note\n12025550117@c.us,opted_out,by phone,,,\n",
        "\n\ncontact,reason,note\n\n+12025550117,opted_out,by phone\n\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_what_spreadsheets_and_other_systems_write_is_understood(api, engine, text, encoding):
    data = text.lstrip("\ufeff").encode(encoding)
    assert understood(api, engine, data) == [("12025550117", "opted_out", "all", "by phone")]


def test_letters_of_windows_and_quoted_line_ends_are_kept(api, engine):
    text = 'contact;note\r\n+12025550117;"Münchner;\r\nStraße"\r\n+12025550118;é\r\n'
    assert [row[3] for row in understood(api, engine, text.encode("cp1252"))] == ["Münchner;\r\nStraße", "é"]


@pytest.mark.parametrize(
    "media", ["application/x-ndjson", "application/ndjson; charset=utf-8", "application/jsonl"]
)
def test_ndjson_is_known_by_its_content_type(api, engine, media):
    text = '"12025550117"\n{"Phone-Number": 12025550118}\n{"msisdn": 12025550119.0}\n12025550120\n'
    contacts = [row[0] for row in understood(api, engine, text, media=media)]
    assert contacts == ["12025550117", "12025550118", "12025550119", "12025550120"]


def test_ndjson_is_known_by_its_first_character(api, engine):
    assert len(understood(api, engine, '{"contact": "12025550117"}\n')) == 1
    response = api.post(f"{PATH}?format=csv", data=b'{"contact": "12025550117", "scope": "all"}\n')
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("name,reason\nAnna,manual\n", "Line 1: no column is called contact"),
        ("\n\nname;reason\nAnna;manual\n", "Line 3: no column is called contact"),
        ("sep=;\nname;reason\nAnna;manual\n", "Line 2: no column is called contact"),
        ("12025550117;opted_out\n12025550118;manual\n", "separated by commas, semicolons or tabs"),
        ("phone;mobile\n12025550117;12025550118\n", "phone and mobile may both hold the contact"),
        ('[{"contact": "1"},\n{"contact": "2"}]', "JSON array"),
        ("PK\x03\x04\x14\0", "workbook"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused_once_with_line_and_reason(api, engine, data, reason):
    refused = api.post(PATH, data=data.encode())
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "bad_file")
    assert reason in refused.json["error"]["message"]
    assert all_suppressions(engine) == []


def test_a_number_of_no_plan_is_imported_only_if_it_is_stored(api, engine, deliver, now):
    assert imported(api, "1234567890\n")[0][0]["why"] == "contact: too short for a number of +1"
    deliver(body(status("wamid.A", "sent", now, recipient="1234567890")))
    assert imported(api, "1234567890\n")[0][0]["result"] == "added"


def test_spreadsheet_forms_never_add_another_person(api, engine):
    rows, _ = imported(api, 'contact\n4915112345678.0\n4.91512E+12\n4915112345678.5\n"4915112345678,0"\n')
    assert [row["result"] for row in rows] == ["added", "invalid", "invalid", "unchanged"]
    assert [row.contact for row in all_suppressions(engine)] == ["4915112345678"]


EVIDENCE = ChangeEvidence(
    datetime(2026, 11, 1, 8, 0, 0, 123, tzinfo=UTC), "wamid.A", 131026, campaign="=a", reported_by="k"
)


def stored_rows(now):
    common = {
        "since": now - timedelta(days=40),
        "actor": "system",
        "review": True,
        "evidence": (EVIDENCE,) * 3,
    }
    return [
        Suppression(contact="12025550117", reason="hard", code=130403, seen_as="12025550117", **common),
        Suppression(
            contact="12025550117",
            reason="unreachable",
            code=131026,
            times=3,
            until=now + timedelta(days=9),
            **common,
        ),
        Suppression(
            contact="12025550118",
            reason="unreachable",
            code=131026,
            half_open_at=now,
            probe_until=now,
            **common,
        ),
        Suppression(contact="12025550119", reason="unreachable", until=now - timedelta(seconds=1), **common),
        Suppression(
            contact="12025550120",
            reason="unreachable",
            scope="marketing",
            code=131049,
            phone_number_id="7",
            until=now + timedelta(hours=2),
            **common,
        ),
        Suppression(
            contact="1234567890",
            reason="opted_out",
            since=now,
            actor="person",
            note="'=1+1\n",
            seen_as="1234567890",
        ),
        Suppression(
            contact="2250707123456",
            reason="opted_out",
            scope="marketing",
            since=now,
            actor="person",
            seen_as="22507123456",
        ),
        Suppression(contact="4401212345678", since=now, actor="ops", note="", until=now + timedelta(days=1)),
        Suppression(
            contact="US.70411938265500174423", since=now.replace(microsecond=5), actor="@ops", note="-"
        ),
    ]


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_an_exported_list_comes_back_row_for_row_with_every_column(api, engine, now, kind):
    with engine.begin() as connection:
        suppressions.apply(connection, stored_rows(now), [], now, restoring=True)
    before = all_suppressions(engine)
    assert len(before) == len(stored_rows(now))
    exported = api.get(f"/v1/suppressions/export?format={kind}").data
    media = "text/csv" if kind == "csv" else "application/x-ndjson"
    rows, done = imported(api, exported.decode(), f"?format={kind}")
    assert [row for row in rows if row["result"] != "unchanged"] == []
    assert done["unchanged"] == done["rows"] == len(before)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM suppressions"))
        connection.execute(text("DELETE FROM suppression_changes"))
    response = api.post(f"{PATH}?note=other&phone_number_id=9", data=exported, content_type=media)
    assert json.loads(response.text.splitlines()[-1])["done"]["added"] == len(before), response.text
    assert all_suppressions(engine) == before
    assert api.get(f"/v1/suppressions/export?format={kind}").data == exported
    with engine.connect() as connection:  # a file cannot name another person as the one who imports
        actors = connection.execute(text("SELECT DISTINCT action, actor FROM suppression_changes"))
        assert [tuple(row) for row in actors] == [("restore", "admin")]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("evidence", "{"),
        ("evidence", '[{"what": 1}]'),
        ("evidence", '[{"occurred_at": "2026-09-01T00:00:00"}]'),
        ("evidence", "[" * 200_000 + "]" * 200_000),
        ("evidence", '[{"occurred_at": "2026-09-01T00:00:00Z", "what": "\\u0000"}]'),
        ("evidence", f'[{{"occurred_at": "2026-09-01T00:00:00Z", "code": {2**64 - 1}}}]'),
        ("since", "yesterday"),
        ("times", "0"),
        ("review", "perhaps"),
    ],
)
def test_an_exported_row_that_was_damaged_is_invalid(api, engine, now, column, value):
    with engine.begin() as connection:
        suppressions.apply(connection, stored_rows(now)[:1], [], now)
    row = json.loads(api.get("/v1/suppressions/export?format=ndjson").text) | {column: value}
    (answer,), _ = imported(api, json.dumps(row), "?format=ndjson")
    assert answer["result"] == "invalid"
    assert answer["why"].startswith("not as exported: ")


def test_an_import_does_not_reopen_what_somebody_confirmed(api, engine, now):
    with engine.begin() as connection:
        suppressions.apply(connection, stored_rows(now)[:1], [], now)
    exported = api.get("/v1/suppressions/export").text
    api.post("/v1/suppressions/review", json={"action": "confirm", "items": [{"contact": "+12025550117"}]})
    rows, _ = imported(api, exported)
    assert [row["result"] for row in rows] == ["unchanged"]
    assert [row.review for row in all_suppressions(engine)] == [False]


class TestRestored:
    """Suppressions that went out and came in again end as they did before."""

    @pytest.fixture
    def restore(self, api, engine, now):
        def restored(*rows):
            with engine.begin() as connection:
                suppressions.apply(connection, rows, [], now, restoring=True)
            exported = api.get("/v1/suppressions/export").text
            with engine.begin() as connection:
                connection.execute(text("DELETE FROM suppressions"))
            imported(api, exported)
            assert all_suppressions(engine) == sorted(rows, key=lambda row: row.key)
            return all_suppressions(engine)

        return restored

    def run(self, engine, now):
        suppress(engine, (), Thresholds(), now)
        return [row.reason for row in all_suppressions(engine)]

    def test_nothing_new_ends_nothing(self, restore, engine, now):
        rows = restore(*stored_rows(now)[:2])
        assert self.run(engine, now) == [row.reason for row in rows]

    def test_a_delivery_releases_what_rules_made(self, restore, engine, deliver, now):
        restore(*(replace(row, phone_number_id=NUMBER) for row in stored_rows(now)[:2]))
        deliver(body(status("wamid.D", "delivered", now, recipient="12025550117")))
        assert self.run(engine, now) == []

    def test_a_delivery_does_not_release_what_people_decided(self, restore, engine, deliver, now):
        since = now - timedelta(days=1)
        restore(Suppression(contact="12025550117", reason="opted_out", since=since, actor="person"))
        deliver(body(status("wamid.D", "delivered", now, recipient="12025550117")))
        assert self.run(engine, now) == ["opted_out"]

    def test_a_start_lifts_a_stop(self, restore, engine, deliver, now):
        since = now - timedelta(days=1)
        restore(
            Suppression(
                contact="12025550117", reason="opted_out", since=since, actor="person", phone_number_id=NUMBER
            )
        )
        deliver(body(messages=[message("wamid.S", now, text="START")]))
        assert self.run(engine, now) == []

    def test_a_start_from_before_the_stop_lifts_nothing(self, restore, engine, deliver, now):
        restore(
            Suppression(
                contact="12025550117", reason="opted_out", since=now, actor="person", phone_number_id=NUMBER
            )
        )
        deliver(body(messages=[message("wamid.S", now - timedelta(days=1), text="START")]))
        assert self.run(engine, now) == ["opted_out"]

    def test_somebody_lifts_one_by_hand_and_it_stays_lifted(self, restore, api, engine, deliver, now):
        since = now - timedelta(days=1)
        restore(
            Suppression(
                contact="12025550117", reason="opted_out", since=since, actor="person", phone_number_id=NUMBER
            )
        )
        assert api.delete("/v1/suppressions/+12025550117?note=asked").json["lifted"]
        deliver(body(messages=[message("wamid.S", now, text="hello")]))
        assert self.run(engine, now) == []
