"""Errors as answers: what a failed request leaves behind, and the answer while the database is busy."""

import gc
import weakref

import pytest
from flask import Flask
from sqlalchemy import create_engine
from werkzeug.test import EnvironBuilder

from webhook_app.store.postgres.engine import connect
from webhook_app.web import errors

WEBSOCKET = {"HTTP_UPGRADE": "websocket", "HTTP_CONNECTION": "Upgrade"}
"""Headers that no route accepts."""
WRONG_KEY = {"HTTP_AUTHORIZATION": "Bearer wrong"}


class Mark:
    """Something in the environment of a request that a weak reference can follow."""


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", "/v1/nothing", {}, 404),
        ("DELETE", "/healthz", {}, 405),
        ("GET", "/static/nothing", {}, 404),
        ("GET", "/v1/rates", {}, 401),
        ("GET", "/v1/check/+12025550117", {}, 401),
        ("GET", "/v1/check/+12025550117", WRONG_KEY, 401),
        ("GET", "/v1/check/+12025550117", WEBSOCKET, 400),
        ("GET", "/v1/check/", {}, 404),
        ("POST", "/login", {}, 403),
        ("POST", "/slack/interactions", {}, 404),
    ],
)
def test_a_failed_request_is_freed_without_the_garbage_collector(app, method, path, headers, status):
    def ask():
        mark = Mark()
        environ = EnvironBuilder(path, method=method).get_environ() | headers | {"mark": mark}
        answers = []
        b"".join(app.wsgi_app(environ, lambda answer, *_: answers.append(answer)))
        assert answers[0].startswith(str(status))
        return weakref.ref(mark)

    ask()
    gc.collect()
    gc.disable()
    try:
        assert ask()() is None
    finally:
        gc.enable()


def test_a_request_for_which_no_connection_is_free_is_to_be_sent_again(database_url):
    busy = create_engine(
        "postgresql+psycopg://",
        creator=lambda: connect(database_url, application="tests"),
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.01,
    )
    app = Flask(__name__)
    errors.install(app)

    @app.get("/")
    def ask():
        with busy.connect():
            return ""

    with busy.connect():
        answer = app.test_client().get("/")
    busy.dispose()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json["error"]["code"] == "database_away"
