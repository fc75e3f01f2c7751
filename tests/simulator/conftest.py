"""A webhook receiver on the loopback that keeps the POSTs and gives scripted answers."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


class Receiver(ThreadingHTTPServer):
    """Answers the n-th POST with the n-th code given, then 200; 0 closes the connection without an answer."""

    daemon_threads = False

    def __init__(self, codes: list[int], secret: str, token: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.codes, self.lock = codes, threading.Lock()
        self.secret, self.token = secret.encode(), token
        self.bodies: list[bytes] = []
        self.acknowledged: list[Any] = []
        self.badly_signed = 0
        self.on_post: Callable[[], None] = lambda: None
        self.on_request: Callable[[str, Message], None] = lambda _path, _headers: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/webhook"

    def take(self, body: bytes, signature: str | None) -> int:
        self.on_post()
        expected = "sha256=" + hmac.new(self.secret, body, hashlib.sha256).hexdigest()
        with self.lock:
            self.bodies.append(body)
            if signature != expected:
                self.badly_signed += 1
                return 401
            code = self.codes.pop(0) if self.codes else 200
            if code == 200:
                self.acknowledged.append(json.loads(body))
            return code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        right = query.get("hub.verify_token") == [self.server.token] and query.get("hub.mode") == [
            "subscribe"
        ]
        self.answer(200 if right else 403, query["hub.challenge"][0] if right else "no")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.on_request(self.path, self.headers)
        reported = self.path == "/v1/sends"
        code = 200 if reported else self.server.take(body, self.headers.get("X-Hub-Signature-256"))
        if code:
            self.answer(code, "")
        else:
            self.close_connection = True

    def answer(self, code: int, text: str) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None: ...


@contextmanager
def _running(server: Receiver) -> Iterator[Receiver]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    with ExitStack() as stack:

        def start(
            codes: Sequence[int] = (), secret: str = "the app secret", token: str = "let me in"
        ) -> Receiver:
            return stack.enter_context(_running(Receiver(list(codes), secret, token)))

        yield start


def statuses_in(documents: list[Any]) -> set[tuple[str, str, str, int, int]]:
    """Return the identities of all statuses in these documents, independently of the simulator's code."""
    return {
        (
            change["value"]["metadata"]["phone_number_id"],
            status["id"],
            status["status"],
            int(status["timestamp"]),
            status["errors"][0]["code"] if "errors" in status else -1,
        )
        for document in documents
        for entry in document["entry"]
        for change in entry["changes"]
        for status in change["value"].get("statuses", [])
    }


@pytest.fixture(name="statuses_in")
def _statuses_in() -> Callable[[list[Any]], set[tuple[str, str, str, int, int]]]:
    return statuses_in
