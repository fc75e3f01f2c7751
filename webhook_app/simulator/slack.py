"""A local stand-in for Slack's incoming webhook: prints each message as plain text and answers "ok".

Tests can script other answers. It knows Slack's message format and nothing about alerts.
"""

import html
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

_LINK = re.compile(r"<([^<>|]+)\|([^<>]*)>")
_BARE = re.compile(r"<((?:https?|mailto):[^<>|]+|[@#!][^<>|]+)>")
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")


class Reply(Struct, frozen=True):
    """One answer of the stand-in. With `hang_s` it waits without answering, then closes the connection."""

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


_show = partial(print, flush=True)  # a piped output is buffered otherwise


class SlackReceiver:
    """Listens during its `with` block. Its answers follow `script`; after that, each is "ok"."""

    def __init__(
        self, script: Iterable[Reply] = (), *, port: int = 0, show: Callable[[str], object] = _show
    ) -> None:
        self.script = deque(script)
        self.messages: list[dict[str, Any]] = []
        """Messages that Slack would have shown, in order."""
        self.requests: list[dict[str, Any]] = []
        """All messages received, including refused ones."""
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
        """Keep one message and return the answer to it."""
        with self._lock:
            reply = self.script.popleft() if self.script else OK
            self.requests.append(message)
            if reply.accepts:
                self.messages.append(message)
                self._show(plain_text(message) + "\n")
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for requests in progress

    def __init__(self, address: tuple[str, int], receiver: SlackReceiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 5.0  # an idle connection must not delay the end

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
        """Log no requests: the messages themselves are printed."""


def plain_text(message: dict[str, Any]) -> str:
    """Return everything a reader would see, a block per line; the fallback text only without blocks."""
    lines = list(_blocks(message.get("blocks")))
    if not lines and message.get("text"):
        lines.append(_unmarked(message["text"]))
    for attachment in message.get("attachments") or ():
        inner = list(_blocks(attachment.get("blocks")))
        fallback = attachment.get("text") or attachment.get("fallback")
        lines += inner or ([_unmarked(fallback)] if fallback else [])
    return "\n".join(lines)


def _blocks(blocks: Any) -> Iterator[str]:
    for block in blocks or ():
        kind = block.get("type")
        if kind == "divider":
            yield "-" * 40
        elif kind == "actions":
            yield " ".join(f"[{_text(element.get('text'))}]" for element in block.get("elements", ()))
        elif kind == "context":
            yield " · ".join(filter(None, map(_text, block.get("elements", ()))))
        else:
            yield from _section(block)


def _section(block: dict[str, Any]) -> Iterator[str]:
    parts = [block.get("text"), *(block.get("fields") or ())]
    yield from filter(None, map(_text, parts))
    accessory = block.get("accessory")
    if accessory and (label := _text(accessory.get("text"))):
        yield f"[{label}]"


def _text(part: Any) -> str:
    """Return the text of a text object; those of type plain_text contain no markup."""
    if not isinstance(part, dict):
        return ""
    text = str(part.get("text") or part.get("alt_text") or "")
    return text if part.get("type") == "plain_text" else _unmarked(text)


def _unmarked(mrkdwn: str) -> str:
    text = _LINK.sub(r"\2 (\1)", mrkdwn)
    text = _BARE.sub(r"\1", text)
    return html.unescape(_EMPHASIS.sub(r"\1", text))
