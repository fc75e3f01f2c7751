"""Sends planned POSTs in real time, signed, and repeats those not answered with 200, as Meta does.

A POST is sent when it is due, however slow the answers are (open loop). Every POST is counted.
"""

import heapq
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from queue import Empty, SimpleQueue

import httpx
from msgspec import Struct

from webhook_app.simulator.posts import Post, retry_delays
from webhook_app.simulator.report import Tally

Sign = Callable[[bytes], str]
Address = Callable[[Post], tuple[str, dict[str, str]]]
"""Returns the URL of a POST and the headers that authenticate it."""
_HEADERS = {"Content-Type": "application/json", "User-Agent": "facebookexternalua"}


class Pace(Struct, frozen=True):
    """Connections, retries and timeouts of a run."""

    connections: int = 16
    compress: float = 300.0
    """How many times faster than Meta a refused POST is repeated: at 300, Meta's hour takes 12 seconds."""
    patience_s: float = 60.0
    """How long to keep retrying after the last POST of the plan."""
    timeout_s: float = 20.0
    progress_s: float = 1.0


class _Attempt(Struct, frozen=True):
    post: Post
    number: int
    due: float
    """On the monotonic clock."""


class _Answer(Struct, frozen=True):
    attempt: _Attempt
    code: int | None
    started: float
    ended: float


def send_posts(
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
    """Send every POST until it is acknowledged, patience ends or Ctrl-C is pressed; `tally` counts the results.

    Webhooks go to `url`, signed. Reports of send calls go to `sends_url`, with the sender's `api_key`.
    """

    def address(post: Post) -> tuple[str, dict[str, str]]:
        if post.calls:
            return sends_url, {"Content-Type": "application/json", "Authorization": f"Bearer {api_key}"}
        return url, {**_HEADERS, "X-Hub-Signature-256": sign(post.body)}

    limits = httpx.Limits(max_connections=pace.connections, max_keepalive_connections=pace.connections)
    # Ignore proxies of the environment: the receiver is usually on this machine.
    with httpx.Client(limits=limits, timeout=pace.timeout_s, trust_env=False) as client:
        dispatch = _Dispatch(_Sender(client, address), pace, tally, progress)
        # Ctrl-C interrupts only the main thread, so the counting thread is never interrupted in the middle.
        with ThreadPoolExecutor(1, thread_name_prefix="simulator dispatch") as executor:
            running = executor.submit(dispatch.run, posts)
            try:
                running.result()
            except KeyboardInterrupt:
                tally.interrupted = True
                dispatch.stop()
                running.result()


class _Sender:
    def __init__(self, client: httpx.Client, address: Address) -> None:
        self.client, self.address = client, address

    def send(self, attempt: _Attempt) -> _Answer:
        url, headers = self.address(attempt.post)
        started = time.monotonic()
        try:
            code = self.client.post(url, content=attempt.post.body, headers=headers).status_code
        except httpx.RequestError:
            code = None
        return _Answer(attempt, code, started, time.monotonic())


class _StoppedError(Exception):
    """The run was asked to stop."""


class _Dispatch:
    """Decides and counts in one thread; the threads of the pool only send."""

    def __init__(self, sender: _Sender, pace: Pace, tally: Tally, progress: Callable[[str], None]) -> None:
        self.sender, self.pace, self.tally, self.progress = sender, pace, tally, progress
        self.pool = ThreadPoolExecutor(pace.connections, thread_name_prefix="simulator")
        self.delays = tuple(retry_delays(pace.compress))
        self.done: SimpleQueue[Future[_Answer] | None] = SimpleQueue()
        """Finished attempts; None asks the run to stop."""
        self.retries: list[tuple[float, int, _Attempt]] = []
        self.serial = count()
        self.open = 0
        self.started_at = self.last_progress_at = time.monotonic()

    def run(self, posts: Iterable[Post]) -> None:
        """Send all POSTs; however the run ends, wait for requests in progress and count their answers."""
        try:
            self._run(posts)
        except _StoppedError:
            pass
        finally:
            self._close()

    def stop(self) -> None:
        """Ask the run to stop; may be called from another thread."""
        self.done.put(None)

    def _run(self, posts: Iterable[Post]) -> None:
        for post in posts:
            due = self.started_at + post.due_s
            self._wait_until(due)
            self.tally.offer(post)
            self.open += 1
            self._send(_Attempt(post, 0, due))
        self._wait_until(time.monotonic() + self.pace.patience_s, or_settled=True)

    def _close(self) -> None:
        """Cancel attempts that have not started; their POSTs stay unacknowledged."""
        self.pool.shutdown(wait=True, cancel_futures=True)
        while not self.done.empty():
            if (future := self.done.get()) is not None:
                self._settle(future)

    def _wait_until(self, deadline: float, *, or_settled: bool = False) -> None:
        """Process answers and repeat refused POSTs until the deadline, or until every POST is settled."""
        while self.open or not or_settled:
            now = time.monotonic()
            self._resend(now)
            self._show_progress(now)
            next_progress_at = self.last_progress_at + self.pace.progress_s
            wake_at = min(deadline, next_progress_at, *(retry[0] for retry in self.retries[:1]))
            try:
                future = self.done.get(timeout=max(0.0, wake_at - now))
            except Empty:
                if time.monotonic() >= deadline:
                    return
                continue
            if future is None:
                raise _StoppedError
            self._settle(future)

    def _send(self, attempt: _Attempt) -> None:
        self.pool.submit(self.sender.send, attempt).add_done_callback(self.done.put)

    def _resend(self, now: float) -> None:
        while self.retries and self.retries[0][0] <= now:
            self.tally.retries += 1
            self._send(heapq.heappop(self.retries)[2])

    def _settle(self, future: Future[_Answer]) -> None:
        if future.cancelled():
            return
        answer = future.result()
        attempt = answer.attempt
        self.tally.answer(attempt.post, answer.code, answer.ended - answer.started)
        if attempt.number == 0:
            self.tally.behind_s = max(self.tally.behind_s, answer.started - attempt.due)
        if answer.code == 200 or attempt.number >= len(self.delays):
            self.open -= 1
            return
        due = answer.ended + self.delays[attempt.number]
        retry = _Attempt(attempt.post, attempt.number + 1, due)
        heapq.heappush(self.retries, (due, next(self.serial), retry))

    def _show_progress(self, now: float) -> None:
        if now - self.last_progress_at >= self.pace.progress_s:
            self.last_progress_at = now
            self.progress(self.tally.line(now - self.started_at))
