"""Direct answers equal those of the Flask route, to the last header."""

from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from tests.support.suppressions import store_suppression
from webhook_app.pipeline.suppressions.checks.checks import Checks
from webhook_app.web.api import direct

FREE, HELD, LOWER = "12025550117", "5511961234567", "de.abc1"
GIVEN = "5f0c1b1e-6f1d-4c55-9a7e-0e5a0b7a2c11"


@pytest.fixture
def asked(api, engine, now, monkeypatch):
    """Asks twice, directly and by the route, and gives both answers as comparable."""
    until = now + timedelta(days=30)
    store_suppression(
        engine, now, contact=HELD, reason="unreachable", code=131026, until=until, phone_number_id="pn1"
    )

    def ask(path, role="sender", method="GET", **headers):
        headers = {"X-Request-Id": GIVEN, "Authorization": f"Bearer {api.keys[role]}"} | headers
        answers = []
        for most in (direct._MAX_QUERY, -1):
            monkeypatch.setattr(direct, "_MAX_QUERY", most)
            response = api.client.open(path, method=method, headers=headers)
            found = dict(response.json) if response.is_json and response.data else {}
            found.pop("retry_after", None)
            shown = {
                name: value for name, value in response.headers if name not in ("Content-Length", "Date")
            }
            answers.append((response.status_code, found, shown))
        monkeypatch.undo()
        return answers

    return ask


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (f"/v1/check/{FREE}", 200),
        (f"/v1/check/%2B{HELD}?phone_number_id=pn1&category=utility", 200),
        ("/v1/check/551161234567?phone_number_id=pn2", 200),
        (f"/v1/check/{LOWER}?probe=false", 200),
        ("/v1/check/(0171)%201234567?region=de", 200),
        ("/v1/check/%EF%BC%8B12025550117", 200),  # a full-width plus
        ("/v1/check/nobody", 200),
        ("/v1/check/%00", 404),
        ("/v1/check/", 404),
        ("/v1/check/a/b", 200),
        ("/v1/check//12025550117", 404),
        (f"/v1/check/{FREE}?category=", 200),
        (f"/v1/check/{FREE}?category", 200),
        (f"/v1/check/{FREE}?&", 200),
        (f"/v1/check/{FREE}?region=XX", 400),
        (f"/v1/check/{FREE}?region=DEU", 400),
        (f"/v1/check/{FREE}?probe=maybe", 400),
        (f"/v1/check/{FREE}?colour=blue", 400),
        (f"/v1/check/{FREE}?category=utility&category=marketing", 400),
        (f"/v1/check/{FREE}?category=%FF", 200),
        (f"/v1/check/{FREE}?category={'a' * 2000}", 400),
        ("/v1/check/" + "1" * 300, 200),
    ],
)
def test_direct_and_routed_answers_are_equal(asked, path, code):
    directly, by_route = asked(path)
    assert directly == by_route
    assert directly[0] == code


@pytest.mark.parametrize(
    ("given", "code"),
    [("", 401), ("Bearer", 401), ("Bearer wrong", 401), ("Basic YTpi", 401), ("bearer  {key} ", 200)],
)
def test_a_key_is_required_directly_and_by_route(asked, api, given, code):
    directly, by_route = asked(f"/v1/check/{FREE}", Authorization=given.replace("{key}", api.keys["sender"]))
    assert directly == by_route
    assert directly[0] == code


def test_a_known_etag_is_304_directly_and_by_route(asked):
    tag = asked(f"/v1/check/{FREE}")[0][2]["ETag"]
    for known, code in ((tag, 304), (f'"other", W/{tag}', 304), ('"other"', 200), ("", 200)):
        directly, by_route = asked(f"/v1/check/{FREE}", **{"If-None-Match": known})
        assert directly == by_route
        assert directly[0] == code


@pytest.mark.parametrize("method", ["HEAD", "POST", "OPTIONS"])
def test_other_methods_are_left_to_the_route(asked, method):
    directly, by_route = asked(f"/v1/check/{FREE}", method=method)
    assert directly == by_route


def test_a_check_is_counted_once(api):
    def counted(status):
        labels = {"endpoint": "api.check_contact", "status": status}
        return REGISTRY.get_sample_value("webhook_app_http_requests_total", labels) or 0

    before = counted("200"), counted("401")
    api.get(f"/v1/check/{FREE}", role="sender")
    api.client.get(f"/v1/check/{FREE}")
    assert (counted("200"), counted("401")) == (before[0] + 1, before[1] + 1)


def test_the_route_does_not_repeat_a_failed_direct_request(api, monkeypatch):
    times = []

    def fail(*_):
        times.append(1)
        raise RuntimeError

    monkeypatch.setattr(Checks, "facts", fail)
    answer = api.client.get(f"/v1/check/{FREE}", headers={"Authorization": f"Bearer {api.keys['sender']}"})
    assert (answer.status_code, answer.json["error"]["code"], len(times)) == (500, "internal", 1)
