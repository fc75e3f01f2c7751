"""Every answer, whatever it is, forbids a browser to guess, frame, run or keep it."""

import pytest

CALLS = [
    (
        "GET",
        "/webhook?hub.mode=subscribe&hub.verify_token=a+verify+token+for+tests&hub.challenge=%3Cscript%3E",
    ),
    ("GET", "/webhook"),
    ("POST", "/webhook"),
    ("PUT", "/webhook"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/v1/rates"),
    ("GET", "/v1/nothing"),
    ("GET", "/nothing"),
    ("GET", "/"),
    ("GET", "/../../etc/passwd"),
    ("TRACE", "/webhook"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_an_answer_carries_the_strict_headers(client, method, path):
    headers = client.open(path, method=method).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "Strict-Transport-Security" not in headers
    for name in ("Content-Security-Policy", "X-Content-Type-Options", "Cache-Control"):
        assert len(headers.getlist(name)) <= 1


def test_an_answer_without_a_body_is_not_kept_or_guessed(client, deliver):
    for answer in (deliver(b"{}"), client.options("/webhook")):
        assert answer.status_code == 200
        assert answer.data == b""
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


def test_what_a_caller_gets_is_never_kept_by_a_cache(client):
    for path in ("/webhook", "/v1/rates", "/nothing", "/readyz"):
        assert client.get(path).headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/webhook", "/docs", "/healthz", "/nothing"])
def test_a_service_that_is_reached_by_https_says_so_for_a_year(make_app, path):
    headers = make_app(public_url="https://alerts.example.org").test_client().get(path).headers
    assert headers["Strict-Transport-Security"] == "max-age=31536000"


def test_an_answer_to_an_error_of_ours_is_as_strict(app):
    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("ours")

    answer = app.test_client().get("/broken")
    assert answer.status_code == 500
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "ours" not in answer.text
