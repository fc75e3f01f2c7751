"""A real HTTP server on loopback with given answers, or else those of Slack's incoming webhooks."""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

from msgspec import Struct


class Answer(Struct):
    """The next answer.

    With `hang` nothing until the server is closed, with `slow` nothing until `released`, with `drop` nothing at all;
    with `unread` not even the body is read.
    """

    status: int = 200
    body: str = "ok"
    retry_after: str = ""
    hang: bool = False
    slow: bool = False
    drop: bool = False
    unread: bool = False

    @property
    def accepts(self) -> bool:
        """Whether the message is shown to people."""
        return self.status == 200 and self.body == "ok" and not (self.hang or self.drop or self.unread)


class Asked(Struct):
    """One received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class FakeSlack:
    """Keeps what was posted. Answers from `answers`, then with what `usual` returns for the request."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.url = f"{base}/services/T0/B0/secret"
        self.asked: list[Asked] = []
        self.usual: Callable[[Asked], Answer] = lambda _: Answer()
        self.unread = 0
        """Requests whose body was left where it was."""
        self.posted: list[dict[str, Any]] = []
        self.exchanged: list[tuple[dict[str, Any], Answer]] = []
        self.times: list[float] = []
        """When each was posted, by `stopwatch`."""
        self.stopwatch: Callable[[], float] = monotonic
        self.answers: deque[Answer] = deque()
        self.closing = threading.Event()
        self.released = threading.Event()


@contextmanager
def fake_slack() -> Iterator[FakeSlack]:
    """Serve until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            if slack.answers and slack.answers[0].unread:
                slack.answers.popleft()
                slack.unread += 1
                slack.closing.wait(30)
                self.close_connection = True
                return
            held = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, held)
            slack.asked.append(asked)
            if "json" in asked.headers.get("content-type", ""):
                slack.posted.append(json.loads(held))
            slack.times.append(slack.stopwatch())
            answer = slack.answers.popleft() if slack.answers else slack.usual(asked)
            slack.exchanged.append((slack.posted[-1] if slack.posted else {}, answer))
            if answer.drop:
                self.close_connection = True
                return
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
    slack = FakeSlack(f"http://127.0.0.1:{server.server_port}")
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
