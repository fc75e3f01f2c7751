"""The application on a database of the test's own, with a key for every role."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Engine
from werkzeug.test import TestResponse

from webhook_app.app import create_app
from webhook_app.settings import Settings
from webhook_app.store import api_keys
from webhook_app.whatsapp.signature import sign

SECRET = b"an app secret for tests"
ADMIN_KEY = "an operator's key for tests"

Deliver = Callable[[bytes], TestResponse]


class Api:
    """The test client with a key: `api.get("/v1/rates", role="viewer")`."""

    def __init__(self, client: FlaskClient, keys: dict[str, str]) -> None:
        self.client = client
        self.keys = keys

    def ask(self, method: str, path: str, *, role: str = "admin", **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        return self.client.open(path, method=method, headers=headers, **more)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        return self.ask("POST", path, **more)

    def put(self, path: str, **more: Any) -> TestResponse:
        return self.ask("PUT", path, **more)

    def delete(self, path: str, **more: Any) -> TestResponse:
        return self.ask("DELETE", path, **more)


@pytest.fixture
def make_app(database_url: str) -> Iterator[Callable[..., Flask]]:
    """Builds the application with these settings over the plain ones."""
    made: list[Flask] = []

    def make(**changed: Any) -> Flask:
        plain = {
            "database_url": database_url,
            "meta_app_secret": (SECRET,),
            "meta_verify_token": "token",
            "admin_api_key": ADMIN_KEY,
        }
        made.append(create_app(Settings(**(plain | changed))))
        return made[-1]

    yield make
    for app in made:
        app.extensions["engine"].dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def keys(engine: Engine, now: Any) -> dict[str, str]:
    """A key of each role, named after it."""
    with engine.begin() as connection:
        return {role: api_keys.create(connection, role, role, now).secret for role in ("sender", "viewer", "admin")}


@pytest.fixture
def api(client: FlaskClient, keys: dict[str, str]) -> Api:
    return Api(client, keys)


@pytest.fixture
def deliver(client: FlaskClient) -> Deliver:
    """Posts a body to /webhook as Meta does."""

    def post(body: bytes) -> TestResponse:
        response = client.post("/webhook", data=body, headers={"X-Hub-Signature-256": sign(body, SECRET)})
        assert response.status_code == 200, response.text
        return response

    return post
