"""A real HTTP server on loopback that answers like Slack's incoming webhooks, as it is told."""

import json
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct


class Answer(Struct):
    """What to say next: with `hang` nothing until the server is closed, with `slow` nothing until `released`."""

    status: int = 200
    body: str = "ok"
    retry_after: str = ""
    hang: bool = False
    slow: bool = False


class FakeSlack:
    """Keeps what was posted; answers with what is in `answers`, then with `ok`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.posted: list[dict[str, Any]] = []
        self.answers: deque[Answer] = deque()
        self.closing = threading.Event()
        self.released = threading.Event()


@contextmanager
def fake_slack() -> Iterator[FakeSlack]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            held = self.rfile.read(int(self.headers["Content-Length"]))
            slack.posted.append(json.loads(held))
            answer = slack.answers.popleft() if slack.answers else Answer()
            if answer.hang:
                slack.closing.wait(30)
                self.close_connection = True
                return
            if answer.slow:
                slack.released.wait(30)
            body = answer.body.encode()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(body)))
            if answer.retry_after:
                self.send_header("Retry-After", answer.retry_after)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    slack = FakeSlack(f"http://127.0.0.1:{server.server_port}/services/T0/B0/secret")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield slack
    finally:
        slack.closing.set()
        slack.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
