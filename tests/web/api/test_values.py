"""Times, cursors and bodies at the edge of what Python and Postgres can hold: 400, in every endpoint."""

from base64 import urlsafe_b64encode

import msgspec
import pytest

from webhook_app.web.api import ENDPOINTS
from webhook_app.web.api.values import has_times

EXTREME = (
    *("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00", "9999-01-01T00:00:00Z"),
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"),
)
READS = [
    (endpoint.path, name)
    for endpoint in ENDPOINTS
    for name, kind in endpoint.query_fields.items()
    if endpoint.method == "GET" and has_times(kind)
]


def cursor(*position):
    return urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def test_some_queries_take_times():
    assert ("/v1/failures", "until") in READS
    assert ("/v1/rates", "until") in READS
    assert len(READS) > 6


@pytest.mark.parametrize(("path", "name"), READS)
def test_every_time_of_a_query_is_bounded(api, path, name):
    for time in EXTREME:
        response = api.get(path, query_string={name: time})
        assert (response.status_code, response.json["error"]["code"]) == (400, "bad_parameter"), time
        assert response.json["error"]["message"].startswith(f"{name}: ")
    allowed = api.get(path, query_string={name: "9998-12-31T23:59:59-14:00"})
    assert allowed.status_code in (200, 400)


@pytest.mark.parametrize("time", EXTREME)
class TestCursors:
    def test_of_failures(self, api, viewer, time):
        position = cursor(time, "", "", "", 0)
        response = api.get("/v1/failures", query_string={"cursor": position})
        assert (response.status_code, response.json["error"]["code"]) == (400, "bad_cursor")
        assert api.get(f"/v1/failures/{position}").status_code in (400, 404)
        assert viewer.get("/failures", query_string={"cursor": position}).status_code == 400
        assert viewer.get(f"/failures/{position}").status_code in (400, 404)

    def test_of_a_contact(self, api, time):
        position = cursor(time, "", "", "", 0)
        response = api.get("/v1/contacts/12025550117", query_string={"cursor": position})
        assert (response.status_code, response.json["error"]["code"]) == (400, "bad_cursor")

    def test_of_health(self, api, time):
        position = cursor(time, "", "", "", "")
        response = api.get("/v1/health/history", query_string={"cursor": position})
        assert (response.status_code, response.json["error"]["code"]) == (400, "bad_cursor")


@pytest.mark.parametrize("time", EXTREME)
class TestBodies:
    def test_of_a_suppression(self, api, time):
        response = api.put("/v1/suppressions/12025550117", json={"until": time})
        assert (response.status_code, response.json["error"]["code"]) == (400, "bad_body")
        assert response.json["error"]["message"].startswith("until: ")

    def test_of_a_silence(self, api, time):
        response = api.post("/v1/silences", json={"matchers": {"code": 1}, "until": time})
        assert response.status_code == 400

    def test_of_an_undo(self, api, time):
        for name in ("since", "until"):
            assert api.post("/v1/suppressions/undo", json={"key": "shop", name: time}).status_code == 400

    def test_of_a_send(self, api, time):
        response = api.post("/v1/sends", json={"sends": [{"contact": "+12025550117", "sent_at": time}]})
        assert response.status_code == 200
        assert response.json["results"][0]["result"] in ("stored", "invalid")


class TestPages:
    @pytest.mark.parametrize("time", EXTREME)
    def test_the_search_says_which_time_it_cannot_use(self, viewer, time):
        response = viewer.get("/failures", query_string={"until": time})
        assert (response.status_code, "Before: expected a time" in response.text) == (400, True)


@pytest.mark.parametrize("nested", [b"[" * 5000 + b"]" * 5000, b'{"a":' * 5000 + b"1" + b"}" * 5000])
@pytest.mark.parametrize(
    "endpoint",
    [each for each in ENDPOINTS if each.body and "{" not in each.path],
    ids=lambda endpoint: endpoint.name,
)
def test_deeply_nested_json_is_refused(client, operator, endpoint, nested):
    for body in (nested, b'{"sends": [' + nested + b"]}", b'{"matchers": ' + nested + b"}"):
        answer = client.open(endpoint.path, method=endpoint.method, data=body, headers=operator)
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("depth", [50, 200, 400, 800, 900, 950, 980, 990, 1000, 1100, 2000])
@pytest.mark.parametrize("name", ["error", "request", "x"])
def test_sends_nested_to_any_depth_are_answered(client, operator, name, depth):
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    body = b'{"sends": [{"contact": "+12025550117", "%b": %b}]}' % (name.encode(), nested)
    assert client.post("/v1/sends", data=body, headers=operator).status_code in (200, 400)
