"""A client with one keep-alive connection, which can sign in as a browser, and the measurement of its requests."""

import http.client
import re
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

KEY = "benchmark-admin-key"
_TOKEN = re.compile(rb'name="token"[^>]*value="([^"]+)"')


@dataclass
class Answer:
    status: int
    seconds: float
    content: bytes
    is_page: bool = False


class Client:
    """Sends requests with a key, or with cookies after `sign_in`."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = {"Authorization": f"Bearer {KEY}"}

    def sign_in(self) -> None:
        """Sign in as an operator's browser does, and use its cookies from then on."""
        self._headers = {}
        form = self._take("GET", "/login")
        token = _TOKEN.search(form.content)
        if token is None:
            raise RuntimeError("the sign-in page has no token")
        body = urlencode({"token": token[1].decode(), "key": KEY})
        self._headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self._take("POST", "/login", body)
        if answer.status != 303:
            raise RuntimeError(f"sign-in: {answer.status} {answer.content[-300:]!r}")
        del self._headers["Content-Type"]

    def send(self, path: str, body: str | None = None, allowed: Sequence[int] = (200,)) -> Answer:
        """Send a POST with a body, else a GET. Raises RuntimeError for a status that is not allowed."""
        answer = self._take("POST" if body else "GET", path, body)
        if answer.status not in allowed:
            raise RuntimeError(f"{path}: {answer.status} {answer.content[:500]!r}")
        return answer

    def _take(self, method: str, path: str, body: str | None = None) -> Answer:
        begin = time.perf_counter()
        self._connection.request(method, path, body, self._headers)
        response = self._connection.getresponse()
        content = response.read()
        seconds = time.perf_counter() - begin
        for cookie in response.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            cookies = dict(
                pair.split("=", 1) for pair in filter(None, self._headers.get("Cookie", "").split("; "))
            )
            self._headers["Cookie"] = "; ".join(f"{n}={v}" for n, v in (cookies | {name: value}).items())
        return Answer(response.status, seconds, content, response.headers.get_content_type() == "text/html")


@dataclass
class Measurement:
    """Milliseconds of one kind of request; `share` of them must stay within the target."""

    name: str
    target_ms: float | None
    share: float = 0.95
    times: list[tuple[float, str]] = field(default_factory=list)

    def add(self, answer: Answer, what: str) -> Answer:
        self.times.append((1000 * answer.seconds, what))
        return answer

    def at(self, share: float) -> float:
        ordered = sorted(each for each, _ in self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def is_met(self) -> bool:
        return self.target_ms is None or self.at(self.share) <= self.target_ms

    def __str__(self) -> str:
        slowest, what = max(self.times)
        goal = ""
        if self.target_ms is not None:
            goal = f"p{100 * self.share:.0f} <= {self.target_ms:g} ms {'met' if self.is_met else 'MISSED'}"
        return (
            f"{self.name:34} {len(self.times):6}  p50 {self.at(0.5):7.1f}  p95 {self.at(0.95):7.1f}"
            f"  max {slowest:7.1f}  {goal:22}  {what if len(what) < 90 else what[:87] + '...'}"
        )


def print_all(measured: Iterable[Measurement]) -> None:
    for each in measured:
        print(each, flush=True)
