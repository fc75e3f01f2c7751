"""A simulated Graph API, and calls to it as a sender makes them."""

import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tests.web.conftest import app, keys, make_app, templates
from webhook_app.simulator.graph_api.account import TOKEN, SimulatedAccount, example_templates
from webhook_app.simulator.graph_api.graph import GraphCall, SimulatedGraph

__all__ = ["app", "keys", "make_app", "templates"]

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
NUMBER = "590238114470021"
TO = "4915112345678"


class Sender:
    """Calls a simulated Graph API at times of its own."""

    def __init__(self, **options):
        self.account = SimulatedAccount(
            templates=example_templates(), callback_url="https://hooks.example/webhook"
        )
        self.graph = SimulatedGraph(self.account, **options)
        self.now = NOW

    def post(self, body, *, path=f"{NUMBER}/messages", token=TOKEN, **more):
        call = GraphCall(method="POST", path=path, token=token, body=body, **more)
        return self.graph.answer(call, self.now)

    def get(self, path, token=TOKEN, **query):
        return self.graph.answer(
            GraphCall(method="GET", path=path, token=token, query=query), self.now
        ).answer

    def text(self, to=TO, **more):
        body = {"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": "Hello"}}
        return self.post(body | more)

    def template(self, name, *components, to=TO, language="en_US", **more):
        part = {"name": name, "language": {"code": language}, "components": list(components)}
        body = {"messaging_product": "whatsapp", "to": to, "type": "template", "template": part}
        return self.post(body | more)

    def inbound(self, sender=TO, **more):
        return self.graph.inbound({"from": sender, "text": "Hi"} | more, self.now)


def component(kind, *values, **more):
    """A component of a template message; a value is a text or a parameter."""
    parameters = [{"type": "text", "text": each} if isinstance(each, str) else each for each in values]
    return {"type": kind, "parameters": parameters} | more


@pytest.fixture
def sender():
    return Sender()


@pytest.fixture(name="component")
def _component():
    return component


@pytest.fixture
def make_sender():
    return Sender


@contextmanager
def running(server):
    """Serve in a thread; returns the address."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(name="running")
def _running():
    return running
