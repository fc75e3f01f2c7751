"""Errors as answers: what a failed request leaves behind, and the answer while the database is busy."""

import gc
import weakref

import pytest
from werkzeug.test import EnvironBuilder

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
