"""Group commit: concurrent deliveries of one worker share one transaction, and each is answered after it.

`submit` parses the body and adds it to the open batch, if the queue has room; a large body is parsed in a thread and
stored in parts, so that other deliveries do not wait for it. Few large bodies wait parsed, which takes memory. One
writer stores the whole batch in one transaction while the next fills. The commit wakes all callers of the batch; none
returns before it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial

import structlog
from prometheus_client import Counter, Gauge, Histogram

from webhook_app.logs import RateLimitedLog
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.byte_limit import ByteLimit
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.postgres.errors import DriverError
from webhook_app.whatsapp.people.keywords import DEFAULT, Keywords

log = structlog.get_logger()

_GATHER_S = 0.002  # under load, let received requests be parsed and join: batches double, commits halve
_ROWS_PER_BATCH = 3_000  # measured: smaller batches cost a fifth of the throughput, larger ones gain nothing
_BYTES_PER_BATCH = 4 * 2**20  # of bodies and of large texts beside them; 3 000 usual statuses take half of it
_MAX_WHOLE_ROWS = 1_000  # of a delivery that is stored in one transaction; Meta sends up to 1 000 items
_ROWS_PER_PART = 500  # of larger ones: another delivery waits for one part at most
_LARGE_BODY = 2**17  # bytes; smaller ones are parsed within 0.1 s whatever they hold
_BYTES_WAITING = 64 * 2**20  # of bodies
_BYTES_PARSED = (
    4 * 2**20
)  # of large bodies, for two batches at least; parsed they take about six times as much memory

DELIVERIES = Counter("webhook_app_deliveries", "Deliveries stored, repeats included")
ITEMS = Counter("webhook_app_items", "Items in stored deliveries")
BATCHES = Counter("webhook_app_batches", "Ingest transactions committed")
QUEUE = Gauge(
    "webhook_app_ingest_queue_ratio",
    "How full the fullest worker's ingest queue was at its last commit or refusal; from 1 on it refuses",
    multiprocess_mode="livemax",
)
COMMIT_SECONDS = Histogram(
    "webhook_app_commit_seconds",
    "Time to store one batch, commit included",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)


QUEUE_FULL, AWAY, FAILED = "the queue is full", "the database is away", "storing failed"


class NotStoredError(Exception):
    """The delivery was not stored; Meta should send it again after `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class _Batch:
    __slots__ = ("bytes", "deliveries", "done", "fault", "items", "rows")

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.items = 0
        self.rows = 0
        self.bytes = 0
        self.done = threading.Event()
        self.fault: NotStoredError | None = None


class GroupCommit:
    """The writer of one process. `connect` opens a driver connection; `clock` returns the time of receipt.

    `in_thread` runs a call elsewhere and waits for it: what takes long there does not hold up other callers.
    `await_turn` is called before a body is parsed here, so that many at once do not hold up others.
    """

    def __init__(
        self,
        connect: Callable[[], DriverConnection],
        clock: Callable[[], datetime],
        *,
        slot: int,
        max_waiting: int = 2_000,
        words: Keywords = DEFAULT,
        in_thread: Callable[[Callable[[], Delivery]], Delivery] = lambda parse: parse(),
        await_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._writer = BatchWriter(connect, slot)
        self._clock = clock
        self._max_waiting = max_waiting
        self._words = words
        self._in_thread = in_thread
        self._await_turn = await_turn
        self._waiting = 0
        self._bytes_waiting = 0
        self._large = ByteLimit(_BYTES_PARSED)
        self._open = [_Batch()]
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._rejected: dict[str, int] = {}
        self._closing = False
        self._log_away = RateLimitedLog(log.error, "deliveries not stored")

    def submit(self, body: bytes) -> None:
        """Return once the delivery is committed. Raises NotStoredError if it cannot be stored."""
        if (full := self.fullness()) >= 1:
            QUEUE.set(full)
            raise NotStoredError(QUEUE_FULL, retry_after=1)
        parse = partial(Delivery, body, words=self._words)
        if len(body) < _LARGE_BODY:
            self._await_turn()
            self._store_parts(parse())
            return
        with ExitStack() as stack:
            with self._waiting_bytes(len(body)):
                stack.enter_context(self._large.hold(len(body)))
                delivery = self._in_thread(parse)
            self._store_parts(delivery)

    @contextmanager
    def _waiting_bytes(self, size: int) -> Iterator[None]:
        with self._lock:
            self._bytes_waiting += size
        try:
            yield
        finally:
            with self._lock:
                self._bytes_waiting -= size

    def _store_parts(self, delivery: Delivery) -> None:
        if max(delivery.rows, len(delivery.parsed.links), len(delivery.parsed.numbers)) <= _MAX_WHOLE_ROWS:
            self._store(delivery)
        else:
            for part in delivery.split(_ROWS_PER_PART):
                self._store(part)

    def _store(self, delivery: Delivery) -> None:
        with self._lock:
            batch = self._batch_with_room(delivery)
            batch.deliveries.append(delivery)
            batch.items += delivery.parsed.received
            batch.rows += delivery.rows
            batch.bytes += delivery.bytes
            self._waiting += 1
            self._bytes_waiting += delivery.bytes
            if self._thread is None:
                self._start()
        self._wake.set()
        batch.done.wait()
        if batch.fault is not None:
            raise batch.fault

    def fullness(self) -> float:
        """The share of the queue in use, by number or by bytes: deliveries are refused from 1 on."""
        return max(self._waiting / self._max_waiting, self._bytes_waiting / _BYTES_WAITING)

    def reject(self, kind: str) -> None:
        """Count a delivery refused for its signature or origin; the writer stores the counts every few seconds."""
        with self._lock:
            self._rejected[kind] = self._rejected.get(kind, 0) + 1
            if self._thread is None:
                self._start()

    def close(self) -> None:
        """Store waiting deliveries and the counts of rejections, then stop. Nothing may be submitted afterwards."""
        with self._lock:
            self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._writer.close()

    def _batch_with_room(self, delivery: Delivery) -> _Batch:
        """The batch that is filling. A full one is left to the writer, so that each commit stays short."""
        batch = self._open[-1]
        is_full = (
            batch.rows + delivery.rows > _ROWS_PER_BATCH or batch.bytes + delivery.bytes > _BYTES_PER_BATCH
        )
        if batch.deliveries and is_full:
            batch = _Batch()
            self._open.append(batch)
        return batch

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._write_forever, name="group-commit", daemon=True)
        self._thread.start()

    def _write_forever(self) -> None:
        last = False
        while not last:
            self._wake.wait(timeout=5)
            self._wake.clear()
            last = self._closing
            self._store_rejections()
            while batch := self._next_batch():
                self._write(batch)
                if len(batch.deliveries) > 1 and len(self._open) == 1:
                    time.sleep(_GATHER_S)

    def _next_batch(self) -> _Batch | None:
        with self._lock:
            if not self._open[0].deliveries:
                return None
            batch = self._open.pop(0)
            if not self._open:
                self._open.append(_Batch())
            return batch

    def _write(self, batch: _Batch) -> None:
        QUEUE.set(self.fullness())
        try:
            with COMMIT_SECONDS.time():
                self._writer.store(batch.deliveries, self._clock())
            BATCHES.inc()
            DELIVERIES.inc(sum(delivery.is_archived for delivery in batch.deliveries))
            ITEMS.inc(batch.items)
        except DriverError as fault:
            # An unavailable database is no error of ours: no traceback, and each batch may report it.
            self._log_away(type(fault).__name__, deliveries=len(batch.deliveries))
            batch.fault = NotStoredError(AWAY, retry_after=5)
        except Exception:
            log.exception("deliveries not stored", deliveries=len(batch.deliveries))
            batch.fault = NotStoredError(FAILED, retry_after=30)
        finally:
            with self._lock:
                self._waiting -= len(batch.deliveries)
                self._bytes_waiting -= batch.bytes
            batch.done.set()
            QUEUE.set(self.fullness())

    def _store_rejections(self) -> None:
        if not self._rejected:
            return
        with self._lock:
            counts, self._rejected = self._rejected, {}
        try:
            self._writer.store_rejections(counts, self._clock())
        except DriverError:
            with self._lock:
                for kind, count in counts.items():
                    self._rejected[kind] = self._rejected.get(kind, 0) + count
