"""A real gunicorn on loopback for tests, with the service's own settings, and plain sockets to talk to it."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil

from tests.support.waiting import wait_for
from webhook_app.whatsapp.receiving.signature import sign

SECRET = b"a secret for the fault tests"
CONFIG = "webhook_app.serving"


class WebServer:
    """A running gunicorn: its port, its processes, and what it wrote to standard error."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def ask(self, *pieces: bytes, half_close: bool = False) -> list[int]:
        """Every status the server answers to these bytes, read until it closes or has said all it will say."""
        with closing(self.connect()) as wire:
            for piece in pieces:
                wire.sendall(piece)
            if half_close:
                wire.shutdown(socket.SHUT_WR)
            return statuses(read_all(wire))

    def metrics(self) -> dict[str, float]:
        """Every figure of /metrics by its name and labels as they stand there."""
        with closing(self.connect()) as wire:
            wire.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            text = read_all(wire).partition(b"\r\n\r\n")[2].decode()
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, _, value in lines}

    def post(self, raw: bytes, *headers: str) -> int:
        return self.ask(request(raw, "Connection: close", *headers))[-1]


def request(raw: bytes, *headers: str, signed: bytes | None = None, path: str = "/webhook") -> bytes:
    """A POST to /webhook as Meta sends it."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Content-Length: {len(raw)}",
        f"X-Hub-Signature-256: {sign(raw if signed is None else signed, SECRET)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def read_all(wire: socket.socket) -> bytes:
    """What comes until the server closes; a reset ends it too."""
    found = b""
    try:
        while piece := wire.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def read_one(wire: socket.socket) -> bytes:
    """One answer of a connection that stays open."""
    found = b""
    while b"\r\n\r\n" not in found and (piece := wire.recv(65536)):
        found += piece
    head, _, rest = found.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    while length and len(rest) < int(length[1]):
        rest += wire.recv(65536)
    return head + b"\r\n\r\n" + rest


def statuses(answers: bytes) -> list[int]:
    """The status codes in a stream of answers, 100 Continue left out."""
    found = [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answers)]
    return [code for code in found if code != 100]


@contextmanager
def web_server(
    database_url: str, folder: Path, *, config: str = CONFIG, workers: int = 1, **environment: str
) -> Iterator[WebServer]:
    """Start gunicorn, wait until it answers, stop it as a platform does, and see that it ends well."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    surroundings = os.environ | {
        "DATABASE_URL": database_url,
        "META_APP_SECRET": SECRET.decode(),
        "META_VERIFY_TOKEN": "a token of the test",
        "PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "WEB_CONCURRENCY": str(workers),
    }
    command = ["gunicorn", "--config", f"python:{config}", "webhook_app.app:create_app()"]
    log = folder / f"gunicorn-{port}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=surroundings | environment,
            stderr=output,
            start_new_session=True,
        )
    server = WebServer(process, port, log)
    try:
        wait_for(lambda: server.ask(b"GET /healthz HTTP/1.0\r\n\r\n") == [200] or process.poll() is not None)
        yield server
    finally:
        process.terminate()
        ended = process.wait(40)
    assert ended == 0, server.log
