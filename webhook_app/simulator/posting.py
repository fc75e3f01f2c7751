"""Sends planned POSTs in real time, signed, and repeats what is not answered with 200, as Meta does.

Open loop: a POST goes out when it is due, however slow the answers are. None is dropped uncounted.
"""

import heapq
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from queue import Empty, SimpleQueue

import httpx
from msgspec import Struct

from webhook_app.simulator.delivery import Post, retry_delays
from webhook_app.simulator.report import Tally

Sign = Callable[[bytes], str]
Address = Callable[[Post], tuple[str, dict[str, str]]]
"""Where a POST goes and the headers that show who sends it."""
_HEADERS = {"Content-Type": "application/json", "User-Agent": "facebookexternalua"}


class Pace(Struct, frozen=True):
    """How hard and how long to try."""

    connections: int = 16
    compress: float = 300.0
    """How many times faster than Meta a refused POST is tried again: at 300 Meta's hour is 12 seconds."""
    patience_s: float = 60.0
    """How long to go on trying after the last POST of the plan."""
    timeout_s: float = 20.0
    progress_s: float = 1.0


class _Try(Struct, frozen=True):
    post: Post
    number: int
    due: float
    """On the monotonic clock."""


class _Answer(Struct, frozen=True):
    tried: _Try
    code: int | None
    started: float
    ended: float


def deliver(
    posts: Iterable[Post],
    url: str,
    sign: Sign,
    pace: Pace,
    tally: Tally,
    progress: Callable[[str], None],
    *,
    sends_url: str = "",
    api_key: str = "",
) -> None:
    """Send every POST until it is acknowledged, or patience ends, or Ctrl-C; the tally tells which.

    Webhooks go to `url`, signed; reports of send calls to `sends_url`, with the sender's `api_key`.
    """

    def address(post: Post) -> tuple[str, dict[str, str]]:
        if post.calls:
            return sends_url, {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
        return url, {**_HEADERS, "X-Hub-Signature-256": sign(post.body)}

    limits = httpx.Limits(max_connections=pace.connections, max_keepalive_connections=pace.connections)
    # No proxy from the environment: it would stand between the simulator and a receiver on this machine.
    with httpx.Client(limits=limits, timeout=pace.timeout_s, trust_env=False) as client:
        dispatch = _Dispatch(_Sender(client, address), pace, tally, progress)
        # Ctrl-C reaches the main thread alone: what counts is never cut in two.
        with ThreadPoolExecutor(1, thread_name_prefix="simulator dispatch") as apart:
            running = apart.submit(dispatch.run, posts)
            try:
                running.result()
            except KeyboardInterrupt:
                tally.interrupted = True
                dispatch.stop()
                running.result()


class _Sender:
    def __init__(self, client: httpx.Client, address: Address) -> None:
        self.client, self.address = client, address

    def send(self, tried: _Try) -> _Answer:
        url, headers = self.address(tried.post)
        started = time.monotonic()
        try:
            code = self.client.post(url, content=tried.post.body, headers=headers).status_code
        except httpx.RequestError:
            code = None
        return _Answer(tried, code, started, time.monotonic())


class _StoppedError(Exception):
    """The run is to end."""


class _Dispatch:
    """One thread decides and counts; the pool's threads only send."""

    def __init__(self, sender: _Sender, pace: Pace, tally: Tally, progress: Callable[[str], None]) -> None:
        self.sender, self.pace, self.tally, self.progress = sender, pace, tally, progress
        self.pool = ThreadPoolExecutor(pace.connections, thread_name_prefix="simulator")
        self.delays = tuple(retry_delays(pace.compress))
        self.done: SimpleQueue[Future[_Answer] | None] = SimpleQueue()
        """None: somebody wants the run to end."""
        self.retries: list[tuple[float, int, _Try]] = []
        self.serial = count()
        self.open = 0
        self.begun = self.told = time.monotonic()

    def run(self, posts: Iterable[Post]) -> None:
        """Send them all; let what is under way end, and count its answers, however the run ends."""
        try:
            self._run(posts)
        except _StoppedError:
            pass
        finally:
            self._close()

    def stop(self) -> None:
        """Send no more; for another thread."""
        self.done.put(None)

    def _run(self, posts: Iterable[Post]) -> None:
        for post in posts:
            due = self.begun + post.due_s
            self._until(due)
            self.tally.offer(post)
            self.open += 1
            self._send(_Try(post, 0, due))
        self._until(time.monotonic() + self.pace.patience_s, or_settled=True)

    def _close(self) -> None:
        """What has not begun is left unacknowledged."""
        self.pool.shutdown(wait=True, cancel_futures=True)
        while not self.done.empty():
            if (future := self.done.get()) is not None:
                self._settle(future)

    def _until(self, moment: float, *, or_settled: bool = False) -> None:
        """Take answers and repeat refused POSTs until the moment has come."""
        while self.open or not or_settled:
            now = time.monotonic()
            self._resend(now)
            self._tell(now)
            wakes = [moment, self.told + self.pace.progress_s, *(retry[0] for retry in self.retries[:1])]
            try:
                future = self.done.get(timeout=max(0.0, min(wakes) - now))
            except Empty:
                if time.monotonic() >= moment:
                    return
                continue
            if future is None:
                raise _StoppedError
            self._settle(future)

    def _send(self, tried: _Try) -> None:
        self.pool.submit(self.sender.send, tried).add_done_callback(self.done.put)

    def _resend(self, now: float) -> None:
        while self.retries and self.retries[0][0] <= now:
            self.tally.retries += 1
            self._send(heapq.heappop(self.retries)[2])

    def _settle(self, future: Future[_Answer]) -> None:
        if future.cancelled():
            return
        answer = future.result()
        tried = answer.tried
        self.tally.answer(tried.post, answer.code, answer.ended - answer.started)
        if tried.number == 0:
            self.tally.behind_s = max(self.tally.behind_s, answer.started - tried.due)
        if answer.code == 200 or tried.number >= len(self.delays):
            self.open -= 1
            return
        again = answer.ended + self.delays[tried.number]
        heapq.heappush(self.retries, (again, next(self.serial), _Try(tried.post, tried.number + 1, again)))

    def _tell(self, now: float) -> None:
        if now - self.told >= self.pace.progress_s:
            self.told = now
            self.progress(self.tally.line(now - self.begun))
