"""Adding, reading and lifting by hand, and the feed from which a sender keeps a copy."""

from datetime import timedelta

from tests.support.factories import body, status
from tests.support.suppressions import store_suppression
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds

CONTACT = "/v1/suppressions/+12025550117"


def test_a_manual_suppression_has_scope_number_end_note_and_the_name_of_the_key(api, now):
    until = (now + timedelta(days=3)).isoformat().replace("+00:00", "Z")
    asked = {"scope": "marketing", "phone_number_id": "1", "until": until, "note": "asked by letter"}
    answer = api.put(CONTACT, json=asked)
    assert answer.status_code == 200
    (row,) = answer.json["suppressions"]
    assert {name: row[name] for name in asked} == asked
    assert (row["reason"], row["actor"], row["review"], row["active"]) == ("manual", "admin", False, True)
    assert (row["contact"], row["seen_as"]) == ("+12025550117", "+12025550117")
    assert [change["action"] for change in answer.json["history"]] == ["suppress"]


def test_the_spelling_used_is_kept_if_it_is_a_variant_of_the_person(api):
    for asked, seen_as in (
        ("+55 11 8765-4321", "+551187654321"),
        ("0055 11 98765 4321", "+5511987654321"),
        ("+44 (0)20 7946 0018", "+442079460018"),
        ("us.13491208655302741918", "US.13491208655302741918"),
    ):
        (row,) = api.put(f"/v1/suppressions/{asked}").json["suppressions"]
        assert row["seen_as"] == seen_as


def test_without_a_body_all_messages_are_suppressed_until_lifted(api):
    (row,) = api.put(CONTACT).json["suppressions"]
    assert (row["scope"], row["phone_number_id"], row["until"], row["note"]) == ("all", "", None, "")


def test_putting_twice_changes_the_row_and_putting_the_same_changes_nothing(api):
    for note in ("first", "second", "second"):
        answer = api.put(CONTACT, json={"note": note}).json
    assert [row["note"] for row in answer["suppressions"]] == ["second"]
    assert [change["action"] for change in answer["history"]] == ["extend", "suppress"]


def test_an_invalid_contact_is_refused_with_the_reason(api):
    for method in ("GET", "PUT", "DELETE"):
        error = api.ask(method, "/v1/suppressions/0171 5550117").json["error"]
        assert error["code"] == "bad_contact"
        assert "country code" in error["message"]


def test_an_unknown_contact_gives_empty_lists(api):
    assert api.get(CONTACT).json == {"contact": "+12025550117", "suppressions": [], "history": []}


def test_one_contact_is_read_with_its_evidence_and_history(api, deliver, engine, now):
    deliver(body(status("wamid.F", "failed", now, code=131049)))
    suppress(engine, (), Thresholds(), now)
    answer = api.get(CONTACT).json
    (row,) = answer["suppressions"]
    assert (row["reason"], row["code"], row["review"]) == ("unreachable", 131049, False)
    assert [event["message_id"] for event in row["evidence"]] == ["wamid.F"]
    assert [(change["action"], change["actor"]) for change in answer["history"]] == [("suppress", "system")]


def test_a_person_is_read_under_any_of_their_contacts(api, deliver, now):
    deliver(body(status(at=now, recipient_user_id="US.13491208655302741918")))
    api.put("/v1/suppressions/US.13491208655302741918", json={"note": "by id"})
    by_number = api.get(CONTACT).json
    assert [row["note"] for row in by_number["suppressions"]] == ["by id"]
    assert by_number["suppressions"][0]["contact"] == "+12025550117"
    assert api.delete("/v1/suppressions/US.13491208655302741918").json["lifted"]
    assert api.get(CONTACT).json["suppressions"] == []


def test_lifting_ends_matching_suppressions_only(api, engine, now):
    store_suppression(engine, now, contact="12025550117", reason="hard", code=131021)
    store_suppression(engine, now, contact="12025550117", reason="unreachable", phone_number_id="1")
    store_suppression(engine, now, contact="12025550117", reason="unreachable", scope="marketing")

    def suppressions_left():
        return [(row["reason"], row["scope"]) for row in api.get(CONTACT).json["suppressions"]]

    assert len(suppressions_left()) == 3
    lifted = api.delete(f"{CONTACT}?reason=unreachable&phone_number_id=1").json["lifted"]
    assert [(row["reason"], row["scope"]) for row in lifted] == [("unreachable", "all")]
    api.delete(f"{CONTACT}?scope=marketing")
    assert suppressions_left() == [("hard", "all")]
    api.delete(CONTACT)
    assert suppressions_left() == []
    assert api.delete(CONTACT).json == {"contact": "+12025550117", "lifted": []}


def test_lifting_records_who_and_why(api, engine, now):
    store_suppression(engine, now, contact="12025550117", reason="hard", code=131021)
    api.delete(f"{CONTACT}?note=number is in use again")
    change = api.get(CONTACT).json["history"][0]
    assert (change["action"], change["actor"], change["note"]) == ("lift", "admin", "number is in use again")


def test_an_opt_out_is_lifted_only_with_a_note(api, engine, now):
    store_suppression(engine, now, contact="12025550117", reason="opted_out")
    store_suppression(engine, now, contact="12025550117", reason="hard", code=131021)
    for query in ("", "?reason=opted_out", "?note=%20", "?scope=all"):
        refused = api.delete(CONTACT + query)
        assert (refused.status_code, refused.json["error"]["code"]) == (409, "opted_out"), query
    assert len(api.get(CONTACT).json["suppressions"]) == 2
    assert api.delete(f"{CONTACT}?reason=hard").status_code == 200
    assert len(api.delete(f"{CONTACT}?note=they wrote to us").json["lifted"]) == 1
    assert api.get(CONTACT).json["suppressions"] == []


def test_the_list_is_paged_without_loss_or_repetition(api, engine, now):
    for n in range(7):
        scope, reason = ("all", "hard") if n % 2 else ("marketing", "manual")
        store_suppression(engine, now, contact=f"1202555011{n}", scope=scope, reason=reason)
    seen, cursor = [], ""
    for _ in range(10):
        page = api.get(f"/v1/suppressions?limit=3{cursor}").json
        seen += [row["contact"] for row in page["suppressions"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [f"+1202555011{n}" for n in range(7)]
    assert api.get("/v1/suppressions?limit=7").json["next_cursor"] is None


def test_the_list_can_be_filtered(api, engine, now):
    store_suppression(engine, now, contact="12025550117", reason="hard", phone_number_id="1")
    store_suppression(engine, now, contact="12025550118", reason="manual", scope="marketing")
    store_suppression(engine, now, contact="12025550119", reason="hard", until=now - timedelta(days=1))

    def listed(query):
        return [row["contact"][-1] for row in api.get(f"/v1/suppressions?{query}").json["suppressions"]]

    assert listed("reason=hard") == ["7", "9"]
    assert listed("scope=marketing") == ["8"]
    assert listed("phone_number_id=1") == ["7"]
    assert listed("phone_number_id=") == ["8", "9"]
    rows = api.get("/v1/suppressions").json["suppressions"]
    assert [row["active"] for row in rows] == [True, True, False]


def test_a_copy_can_follow_the_feed(api):
    copy: dict[tuple[str, ...], str] = {}
    reached = 0

    def follow():
        nonlocal reached
        while True:
            page = api.get(f"/v1/changes?since={reached}&limit=2", role="sender").json
            for change in page["changes"]:
                key = tuple(change[name] for name in ("contact", "phone_number_id", "scope", "reason"))
                if change["action"] in ("suppress", "extend"):
                    copy[key] = change["note"]
                else:
                    del copy[key]
            reached = page["next_since"]
            if page["next_cursor"] is None:
                return page["version"]

    for n in range(3):
        api.put(f"/v1/suppressions/1202555011{n}", json={"note": "first"})
    assert follow() == 3
    api.put("/v1/suppressions/12025550110", json={"note": "second"})
    api.delete("/v1/suppressions/12025550111")
    assert follow() == 5
    assert copy == {
        ("+12025550110", "", "all", "manual"): "second",
        ("+12025550112", "", "all", "manual"): "first",
    }
    assert reached == 5
    assert follow() == 5


def test_the_feed_can_be_read_by_cursor_and_has_no_gaps(api):
    for n in range(5):
        api.put(f"/v1/suppressions/1202555011{n}")
    first = api.get("/v1/changes?limit=3").json
    second = api.get(f"/v1/changes?limit=3&cursor={first['next_cursor']}").json
    assert [change["seq"] for change in first["changes"] + second["changes"]] == [1, 2, 3, 4, 5]
    assert second["next_cursor"] is None
    ahead = api.get("/v1/changes?since=99").json
    assert (ahead["version"], ahead["next_since"], ahead["changes"]) == (5, 99, [])
