"""A stand-in for Slack's incoming webhook on this machine: shows each message and answers "ok".

For tests it can be told to answer otherwise. Knows Slack's message format, nothing of alerts.
"""

import json
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from webhook_app.simulator.slack.text import plain_text


class Reply(Struct, frozen=True):
    """One answer of the stand-in. `hang_s` waits without answering, then closes the connection."""

    status: int = 200
    body: str = "ok"
    retry_after_s: int | None = None
    hang_s: float = 0.0

    @property
    def accepts(self) -> bool:
        """Whether Slack would have shown the message."""
        return self.status == 200 and self.body == "ok" and not self.hang_s


OK = Reply()
RATE_LIMITED = Reply(429, "rate_limited", retry_after_s=1)
SERVER_ERROR = Reply(500, "server_error")
ERROR_IN_BODY = Reply(200, '{"ok": false, "error": "invalid_blocks"}')
NO_SERVICE = Reply(404, "no_service")
HANGS = Reply(hang_s=30.0)


_show = partial(print, flush=True)  # the output is often a pipe, and people wait for the message


class SlackReceiver:
    """Listens while the `with` block lasts; answers follow `script`, then all are "ok"."""

    def __init__(
        self, script: Iterable[Reply] = (), *, port: int = 0, show: Callable[[str], object] = _show
    ) -> None:
        self.script = deque(script)
        self.messages: list[dict[str, Any]] = []
        """What Slack would have shown, in order."""
        self.requests: list[dict[str, Any]] = []
        """Everything received, refused or not."""
        self.closing = threading.Event()
        self._show = show
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/services/T0/B0/simulated"

    @property
    def texts(self) -> list[str]:
        """The shown messages as plain text."""
        return [plain_text(message) for message in self.messages]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, message: dict[str, Any]) -> Reply:
        """Keep one message and say how to answer it."""
        with self._lock:
            reply = self.script.popleft() if self.script else OK
            self.requests.append(message)
            if reply.accepts:
                self.messages.append(message)
                self._show(plain_text(message) + "\n")
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for answers under way

    def __init__(self, address: tuple[str, int], receiver: SlackReceiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5.0  # an idle connection must not hold up the end

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            message = json.loads(body)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self._answer(Reply(400, "invalid_payload"))
            return
        reply = self.server.receiver.take(message)
        if reply.hang_s:
            self.server.receiver.closing.wait(reply.hang_s)
            return
        self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        body = reply.body.encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if reply.retry_after_s is not None:
            self.send_header("Retry-After", str(reply.retry_after_s))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the base class' name
        """Say nothing: the messages themselves are shown."""
