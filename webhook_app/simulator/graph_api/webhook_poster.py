"""Posts webhooks when they are due, signed, and repeats those not answered with 200, as Meta does but faster."""

import heapq
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import count
from types import TracebackType
from typing import Self

import httpx
from msgspec import Struct

from webhook_app.simulator.payloads import TimedChange, envelope, wire
from webhook_app.simulator.posts import retry_delays
from webhook_app.whatsapp.receiving.signature import sign

_COMPRESS = 300.0  # Meta's hour between two attempts takes 12 seconds
_CONNECTIONS = 8
_TIMEOUT_S = 20.0


class _Due(Struct, frozen=True):
    body: bytes
    attempt: int = 0


class WebhookPoster:
    """Posts during its `with` block; what is not acknowledged at its end is dropped."""

    def __init__(
        self, url: str, app_secret: str, *, show: Callable[[str], object], compress: float = _COMPRESS
    ) -> None:
        self._url, self._secret, self._show = url, app_secret.encode(), show
        self._delays = tuple(retry_delays(compress))
        self._queue: list[tuple[float, int, _Due]] = []
        self._serial = count()
        self._changed = threading.Condition()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="webhook poster", daemon=True)
        self._pool = ThreadPoolExecutor(_CONNECTIONS, thread_name_prefix="webhook poster")
        # Ignore proxies of the environment: the receiver is usually on this machine.
        self._client = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_ending = True
            self._changed.notify()
        self._thread.join()
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def add(self, changes: Iterable[TimedChange], now: datetime) -> None:
        """Queue each change as a webhook of its own, due at its time."""
        for each in changes:
            self._add(_Due(wire(envelope([each]))), (each.at - now).total_seconds())

    def _add(self, due: _Due, wait_s: float) -> None:
        with self._changed:
            heapq.heappush(self._queue, (time.monotonic() + wait_s, next(self._serial), due))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._is_ending and (wait_s := self._wait_s()) != 0:
                    self._changed.wait(wait_s)
                if self._is_ending:
                    return
                due = heapq.heappop(self._queue)[2]
            self._pool.submit(self._post, due)

    def _wait_s(self) -> float | None:
        return max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else None

    def _post(self, due: _Due) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "facebookexternalua"}
        headers["X-Hub-Signature-256"] = sign(due.body, self._secret)
        try:
            code = self._client.post(self._url, content=due.body, headers=headers).status_code
        except httpx.RequestError as fault:
            said = type(fault).__name__
        else:
            if code == 200:
                return
            said = str(code)
        if due.attempt >= len(self._delays):
            self._show(f"webhook: {said}; given up")
            return
        wait_s = self._delays[due.attempt]
        self._show(f"webhook: {said} instead of 200; again in {wait_s:.1f} s")
        self._add(_Due(due.body, due.attempt + 1), wait_s)
