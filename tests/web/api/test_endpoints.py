"""Rules of all endpoints: malformed input is refused with its name, and never causes a 500."""

from typing import Any

import pytest
from msgspec import Struct

from webhook_app.web.api import cursor
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.errors import ApiError

BAD_QUERIES = [
    ("/v1/rates?widow_minutes=5", "widow_minutes"),
    ("/v1/books?days=1&colour=red&size=2", "colour, size"),
    ("/v1/alerts/1?x=1", "x"),
    ("/v1/rates?window_minutes=soon", "window_minutes"),
    ("/v1/rates?window_minutes=0", "window_minutes"),
    ("/v1/rates?window_minutes=5&window_minutes=6", "window_minutes"),
    ("/v1/rates?group_by=code,colour", "group_by[1]"),
    ("/v1/rates?until=2026-11-21T10:00:00", "until"),
    ("/v1/rates?until=0001-01-01T00:00:00Z", "until"),
    ("/v1/rates?template=%00", "template"),
    ("/v1/rates?code=99999999999999999999", "code"),
    ("/v1/series?step_minutes=1&window_minutes=100000", "step_minutes"),
    ("/v1/alerts?limit=0", "limit"),
    ("/v1/alerts?limit=1001", "limit"),
    ("/v1/alerts?state=open", "state"),
    ("/v1/alerts?cursor=nonsense", "cursor"),
    ("/v1/alerts?cursor=%C3%A9", "cursor"),
    ("/v1/quarantine?open=perhaps", "open"),
    (f"/v1/quarantine?cursor={cursor.encode(2**63)}", "cursor"),
    (f"/v1/suppressions?cursor={cursor.encode(['a', 'b'])}", "cursor"),
    (f"/v1/suppressions?cursor={cursor.encode(['a', 'b', 'c', chr(0)])}", "cursor"),
    ("/v1/changes?since=-1", "since"),
    (f"/v1/changes?since={2**63}", "since"),
]

BAD_BODIES: list[tuple[str, str, Any, str]] = [
    ("POST", "/v1/check", b"{", "bad_json"),
    ("POST", "/v1/check", b"\xff", "bad_json"),
    ("POST", "/v1/check", b'{"contacts":["\\ud800"]}', "bad_json"),
    ("POST", "/v1/check", b"[" * 100_000, "bad_body"),
    ("POST", "/v1/check", b"", "bad_body"),
    ("POST", "/v1/check", b"[]", "bad_body"),
    ("POST", "/v1/check", b'{"contacts":[12025550117]}', "bad_body"),
    ("POST", "/v1/check", b'{"contacts":null}', "bad_body"),
    ("POST", "/v1/check", b'{"contacts":[],"colour":1}', "bad_body"),
    ("POST", "/v1/check", b'{"contacts":[],"category":"\\u0000"}', "bad_body"),
    ("POST", "/v1/alerts/1/snooze", b'{"minutes":0}', "bad_body"),
    ("POST", "/v1/alerts/1/snooze", b'{"minutes":10.5}', "bad_body"),
    ("PUT", "/v1/suppressions/12025550117", b'{"scope":"some"}', "bad_body"),
    ("PUT", "/v1/suppressions/12025550117", b'{"until":"2020-01-01T00:00:00Z"}', "bad_body"),
    ("PUT", "/v1/suppressions/12025550117", b'{"until":"2099-01-01T00:00:00"}', "bad_body"),
    ("PUT", "/v1/suppressions/12025550117", b'{"note":"\\u0000"}', "bad_body"),
]


def test_a_bad_parameter_is_refused_by_name(api):
    for path, named in BAD_QUERIES:
        response = api.get(path)
        assert response.status_code == 400, path
        assert set(response.json["error"]) == {"code", "message", "details"}
        assert named in response.json["error"]["message"], path


def test_an_unknown_parameter_is_answered_with_the_known_ones(api):
    error = api.get("/v1/books?colour=red").json["error"]
    assert error["code"] == "unknown_parameter"
    assert error["details"] == {"unknown": ["colour"], "known": ["days"]}


def test_a_bad_body_is_refused_with_the_location(api):
    for method, path, body, code in BAD_BODIES:
        response = api.ask(method, path, data=body)
        assert (response.status_code, response.json["error"]["code"]) == (400, code), body[:40]
    error = api.post("/v1/check", json={"contacts": ["1", 2]}).json["error"]
    assert error["message"].startswith("contacts[1]: ")
    error = api.post("/v1/check", json={"contacts": [], "colour": 1}).json["error"]
    assert "colour" in error["message"]


def test_a_body_over_the_limit_is_413(api):
    assert api.post("/v1/check", data=b" " * (5 * 2**20)).status_code == 413


@pytest.mark.parametrize(
    "path", ["/v1/messages/a%00b", f"/v1/alerts/{2**63}", "/v1/nothing", "/v1/alerts/one"]
)
def test_an_id_that_cannot_exist_is_404(api, path):
    response = api.get(path)
    assert (response.status_code, response.json["error"]["code"]) == (404, "not_found")


def test_the_wrong_method_is_405_and_names_the_right_ones(api):
    response = api.delete("/v1/books")
    assert response.status_code == 405
    assert "GET" in response.headers["Allow"]


def test_responses_forbid_caching_sniffing_and_framing(api):
    for response in (api.get("/v1/books"), api.get("/v1/messages/x"), api.get("/v1/books", role="")):
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert response.content_type == "application/json"


def test_a_refused_write_leaves_nothing_behind(api):
    api.put("/v1/suppressions/12025550117", json={"note": "by hand"})
    assert api.get("/v1/changes").json["version"] == 1
    assert api.put("/v1/suppressions/nobody", json={}).status_code == 400
    assert api.get("/v1/changes").json["version"] == 1


def test_without_the_database_the_answer_is_503(make_app):
    away = make_app(database_url="postgresql://127.0.0.1:1/nothing").test_client()
    response = away.get("/v1/books", headers={"Authorization": "Bearer wa_" + "A" * 43})
    assert (response.status_code, response.json["error"]["code"]) == (503, "database_away")
    assert response.headers["Retry-After"]


def test_a_cursor_decodes_to_its_position_and_anything_else_is_refused():
    assert cursor.decode_id(cursor.encode(17)) == 17
    assert cursor.decode_id(None) is None
    assert cursor.decode_texts(cursor.encode(("491715550117", "", "all")), 3) == ("491715550117", "", "all")
    for odd in ("", "!", cursor.encode("x"), cursor.encode(-1), cursor.encode(None)):
        with pytest.raises(ApiError) as refused:
            cursor.decode_id(odd)
        assert refused.value.status == 400


def test_the_signature_of_a_view_is_its_declaration():
    class Things(Struct):
        names: list[str]

    class ThingsQuery(Struct):
        colour: str = ""

    def get_things(call: Call, number: int, kind: str, query: ThingsQuery) -> Things:
        return Things([query.colour])

    get_things.__annotations__ = {
        "call": Call,
        "number": int,
        "kind": str,
        "query": ThingsQuery,
        "return": Things,
    }
    endpoint = Endpoint("GET", "/v1/rooms/{number}/things/{kind}", get_things, "viewer")
    assert endpoint.rule == "/v1/rooms/<int(signed=True):number>/things/<path:kind>"
    assert (endpoint.query, endpoint.body, endpoint.answer) == (ThingsQuery, None, Things)
    assert endpoint.path_parameters == {"number": int, "kind": str}
