"""The real application on a local port, and a client for it."""

import threading
from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.serving import make_server

from tests.web.conftest import app, keys, make_app, templates
from webhook_app.client import Client

__all__ = ["app", "keys", "make_app", "templates"]


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def sender(url: str, keys: dict[str, str]) -> Iterator[Client]:
    with Client(url, keys["sender"]) as made:
        yield made
