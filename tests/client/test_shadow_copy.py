"""A local copy follows the service into shadow mode and back."""

import threading
from datetime import timedelta

import pytest
from werkzeug.serving import make_server

from tests.support.suppressions import store_suppression
from webhook_app.client import Client, LocalCopy

GONE, STOPPED = "12025550117", "12025550118"


@pytest.fixture
def connect(make_app, keys):
    """Returns a client of a service with this mode."""
    opened = []

    def open_client(mode):
        server = make_server("127.0.0.1", 0, make_app(suppress=mode), threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        client = Client(f"http://127.0.0.1:{server.server_port}", keys["sender"])
        opened.append((client, server, thread))
        return client

    yield open_client
    for client, server, thread in opened:
        client.close()
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_copy_allows_what_the_service_allows_in_either_mode(connect, engine, now, tmp_path):
    until = now + timedelta(days=30)
    store_suppression(engine, now, contact=GONE, reason="unreachable", code=131026, until=until, review=True)
    store_suppression(engine, now, contact=STOPPED, reason="opted_out")
    clients = {mode: connect(mode) for mode in ("on", "shadow")}
    copy = LocalCopy()
    for mode in ("shadow", "on", "shadow"):
        copy.sync(clients[mode], now)
        answers = [each.verdict for each in copy.check([GONE, STOPPED], category="marketing", now=now)]
        assert answers == ["send" if mode == "shadow" else "suppressed", "suppressed"]
        assert answers == [
            each.verdict for each in clients[mode].check([GONE, STOPPED], category="marketing")
        ]
    copy.save(tmp_path / "copy")
    again = LocalCopy()
    again.load(tmp_path / "copy")
    assert again.check([GONE], now=now)[0].allowed
