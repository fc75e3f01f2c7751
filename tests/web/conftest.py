"""The application on a database of the test's own, with a key for every role.

Every answer under /v1 is held against what /openapi.json says of it.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import gevent
import msgspec
import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import FileSystemBytecodeCache
from jsonschema_rs import Draft202012Validator
from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from webhook_app import event_loop
from webhook_app.app import CLOSE, create_app
from webhook_app.settings import Settings
from webhook_app.store.operations import api_keys
from webhook_app.whatsapp.receiving.signature import sign

SECRET = b"an app secret for tests"
VERIFY_TOKEN = "a verify token for tests"
ADMIN_KEY = "an operator's key for tests"

Deliver = Callable[[bytes], TestResponse]


class Document:
    """What an /openapi.json says of answers; each schema is compiled once for all tests."""

    def __init__(self, data: bytes) -> None:
        document = msgspec.json.decode(data)
        self._components = document["components"]
        self._responses = {
            f"api.{operation['operationId']}": operation["responses"]
            for methods in document["paths"].values()
            for operation in methods.values()
        }
        self._validators: dict[tuple[str, int], Draft202012Validator] = {}

    def check(self, endpoint: str, response: TestResponse) -> None:
        """Fail unless the answer is one that the endpoint may give."""
        described = self._responses[endpoint][str(response.status_code)]
        if response.status_code == 304:
            assert not response.data
            return
        assert response.mimetype in described["content"]
        if response.mimetype != "application/json":
            return
        key = endpoint, response.status_code
        if key not in self._validators:
            schema = described["content"]["application/json"]["schema"]
            self._validators[key] = Draft202012Validator(schema | {"components": self._components})
        self._validators[key].validate(response.json)


read_document = lru_cache(maxsize=8)(Document)


class Api:
    """The test client with a key: `api.get("/v1/rates", role="viewer")`."""

    def __init__(self, client: FlaskClient, keys: dict[str, str]) -> None:
        self.client = client
        self.keys = keys
        self.document = read_document(client.get("/openapi.json").data)

    def ask(self, method: str, path: str, *, role: str = "admin", **more: Any) -> TestResponse:
        headers = {"Authorization": f"Bearer {self.keys[role]}"} if role else {}
        response = self.client.open(path, method=method, headers=headers, **more)
        self._hold_against_document(response)
        return response

    def _hold_against_document(self, response: TestResponse) -> None:
        routes = self.client.application.url_map.bind("localhost")
        try:
            endpoint, _ = routes.match(response.request.path, response.request.method)
        except HTTPException:
            return
        self.document.check(endpoint, response)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.ask("GET", path, **more)

    def post(self, path: str, **more: Any) -> TestResponse:
        return self.ask("POST", path, **more)

    def put(self, path: str, **more: Any) -> TestResponse:
        return self.ask("PUT", path, **more)

    def delete(self, path: str, **more: Any) -> TestResponse:
        return self.ask("DELETE", path, **more)


@pytest.fixture(scope="session", autouse=True)
def compile_rules_once() -> Iterator[None]:
    """Werkzeug compiles every rule anew for each application, which is half of what making one takes."""
    compiled: dict[tuple[str, bool], Callable[..., Any]] = {}
    original = Rule._compile_builder

    def compile_builder(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
        key = rule.rule, append_unknown
        if key not in compiled:
            compiled[key] = original(rule, append_unknown)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compile_builder)
        yield


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> FileSystemBytecodeCache:
    """What Jinja made of our templates, for every application of the run."""
    return FileSystemBytecodeCache(str(tmp_path_factory.mktemp("templates")))


@pytest.fixture
def make_app(database_url: str, templates: FileSystemBytecodeCache) -> Iterator[Callable[..., Flask]]:
    """Builds the application with these settings over the plain ones."""
    made: list[Flask] = []

    def make(**changed: Any) -> Flask:
        plain = {
            "database_url": database_url,
            "meta_app_secret": (SECRET,),
            "meta_verify_token": VERIFY_TOKEN,
            "admin_api_key": ADMIN_KEY,
        }
        made.append(create_app(Settings(**(plain | changed))))
        made[-1].jinja_env.bytecode_cache = templates
        return made[-1]

    yield make
    for app in made:
        app.extensions[CLOSE]()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def operator() -> dict[str, str]:
    """The headers of a request with ADMIN_API_KEY."""
    return {"Authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
def keys(engine: Engine, now: Any) -> dict[str, str]:
    """A key of each role, named after it."""
    with engine.begin() as connection:
        return {
            role: api_keys.create(connection, role, role, now).secret
            for role in ("sender", "viewer", "admin")
        }


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


def token_of(response: TestResponse) -> str:
    """What the forms of this page carry."""
    found = re.search(r'name="token" value="([0-9a-f]+)"', response.text)
    assert found is not None, "a page without a form"
    return found[1]


def sign_in(client: FlaskClient, key: str, **form: str) -> TestResponse:
    """The answer to signing in with this key."""
    page = client.get("/login")
    return client.post("/login", data={"token": token_of(page), "key": key} | form)


class Checkouts:
    """The connections that were taken from any pool: how many in all, and how many at once at most."""

    def __init__(self) -> None:
        self.taken = self.most = self._open = 0

    def take(self, *_: object) -> None:
        self.taken += 1
        self._open += 1
        self.most = max(self.most, self._open)

    def give_back(self, *_: object) -> None:
        self._open -= 1


@pytest.fixture
def checkouts() -> Iterator[Checkouts]:
    """The connections that the test takes from the pools."""
    counted = Checkouts()
    event.listen(Pool, "checkout", counted.take)
    event.listen(Pool, "checkin", counted.give_back)
    yield counted
    event.remove(Pool, "checkout", counted.take)
    event.remove(Pool, "checkin", counted.give_back)


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[None]]:
    """Has an entry for each time that another connection ran: whatever gives way to others does so at once."""
    taken: list[None] = []

    def other() -> None:
        while True:
            taken.append(None)
            gevent.sleep(0)

    monkeypatch.setattr(event_loop, "TURN_S", -1.0)
    running = gevent.spawn(other)
    yield taken
    running.kill()


@pytest.fixture
def admin(client: FlaskClient) -> FlaskClient:
    """A browser signed in with ADMIN_API_KEY."""
    assert sign_in(client, ADMIN_KEY).status_code == 303
    return client


@pytest.fixture
def viewer(client: FlaskClient, keys: dict[str, str]) -> FlaskClient:
    """A browser signed in with a viewer's key."""
    assert sign_in(client, keys["viewer"]).status_code == 303
    return client
