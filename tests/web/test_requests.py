"""Every answer but the webhook's has a request id, and what is logged meanwhile carries it."""

import io
import json
import logging
import sys
from functools import partial

import pytest
import structlog
from prometheus_client import REGISTRY

from tests.support.factories import body, status
from webhook_app import logs
from webhook_app.web import requests

GIVEN = "5f0c1b1e-6f1d-4c55-9a7e-0e5a0b7a2c11"


@pytest.fixture
def logged(monkeypatch):
    into = io.StringIO()
    monkeypatch.setattr(sys, "stderr", into)
    before = structlog.get_config()
    logs.configure("json")
    yield lambda: [json.loads(line) for line in into.getvalue().splitlines()]
    structlog.configure(**before)


@pytest.mark.parametrize(
    ("path", "code"), [("/v1/books", 401), ("/login", 200), ("/", 303), ("/nowhere", 404), ("/healthz", 200)]
)
def test_every_answer_has_an_id_of_its_own(client, path, code):
    first, second = (client.get(path) for _ in range(2))
    assert first.status_code == code
    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]
    assert len(first.headers["X-Request-Id"]) == 32


def test_an_id_that_is_given_is_kept(client):
    assert client.get("/v1/books", headers={"X-Request-Id": GIVEN}).headers["X-Request-Id"] == GIVEN


@pytest.mark.parametrize(
    "given", ["12025550117", "wamid.HBgLMTIwMjU1NTAxMTcVAgAR", "a" * 65, "two words of it", ""]
)
def test_what_could_name_a_person_or_is_no_id_is_not_kept(client, given):
    assert client.get("/healthz", headers={"X-Request-Id": given}).headers["X-Request-Id"] != given


def test_what_a_request_logs_carries_its_id_and_what_comes_next_does_not(
    logged, client, api, engine, deliver, now
):
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE alerts RENAME TO elsewhere")
    headers = {"Authorization": f"Bearer {api.keys['viewer']}", "X-Request-Id": GIVEN}
    response = client.get("/v1/alerts", headers=headers)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO alerts")
    assert (response.status_code, response.headers["X-Request-Id"]) == (500, GIVEN)
    assert [(line["event"], line["request_id"]) for line in logged()] == [("a request failed", GIVEN)]
    client.post("/webhook", data=b"x", headers={"X-Hub-Signature-256": "sha256=" + "0" * 64})
    deliver(body(status("wamid.A", "sent", now)))
    logging.getLogger("somebody else's").warning("said %s", "so")
    assert [line["event"] for line in logged()[1:]] == ["deliveries refused", "said so"]
    assert all("request_id" not in line for line in logged()[1:])


def test_what_libraries_log_has_the_same_form(logged):
    logging.getLogger("gunicorn.error.test").error("Error handling request", exc_info=OSError("gone"))
    (line,) = logged()
    assert (line["event"], line["level"]) == ("Error handling request", "error")
    assert line["timestamp"].endswith("Z")
    assert "OSError: gone" in line["exception"]


def test_requests_are_counted_by_endpoint_and_status_and_deliveries_are_not(client, deliver, now):
    def counted(endpoint, code):
        labels = {"endpoint": endpoint, "status": code}
        return REGISTRY.get_sample_value("webhook_app_http_requests_total", labels) or 0

    before = counted("health.alive", "200"), counted("none", "404")
    client.get("/healthz")
    client.get("/12025550117")
    assert (counted("health.alive", "200"), counted("none", "404")) == (before[0] + 1, before[1] + 1)
    assert REGISTRY.get_sample_value("webhook_app_http_request_seconds_count", {"endpoint": "none"}) >= 1
    assert "X-Request-Id" not in deliver(body(status("wamid.A", "sent", now))).headers
    assert counted("receive.take", "200") == 0


@pytest.mark.parametrize(
    ("method", "path", "queue"),
    [
        ("GET", "/login", "REQUEST_TURNS"),
        ("GET", "/nothing", "REQUEST_TURNS"),
        ("POST", "/webhook", "REQUEST_TURNS"),  # without a signature
        ("GET", "/healthz", "PROBE_TURNS"),
    ],
)
def test_requests_wait_for_their_turn_and_a_probe_only_for_other_probes(
    client, monkeypatch, method, path, queue
):
    waited = []
    for name in ("REQUEST_TURNS", "PROBE_TURNS"):
        monkeypatch.setattr(getattr(requests, name), "wait", partial(waited.append, name))
    client.open(path, method=method)
    assert waited == [queue]


def test_a_delivery_that_is_stored_waits_for_no_other_request(deliver, monkeypatch):
    monkeypatch.setattr(requests.REQUEST_TURNS, "wait", pytest.fail)
    deliver(body(status()))
