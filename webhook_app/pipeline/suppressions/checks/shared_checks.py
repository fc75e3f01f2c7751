"""Small checks that reach one worker at the same moment share one statement, over a connection of their own.

Checks that arrive while a statement runs wait for the next one, which the first of them executes for all. A single
check does not wait. store/suppressions/checks.py defines what a check reads.
"""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from webhook_app.pipeline.suppressions.checks.check_connections import CheckConnections, Connect
from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.postgres.errors import DriverError, DriverUnavailable
from webhook_app.store.suppressions.checks import CheckFacts, CheckRequest, read_facts
from webhook_app.store.suppressions.conversation_owners import any_handover

_OWNERS_KNOWN_FOR = timedelta(seconds=5)
"""How long it counts whether any conversation was ever handed over: most installations route none."""


class _SharedCheck:
    """Requests that one statement answers."""

    __slots__ = ("answers", "done", "fault", "requests")

    def __init__(self) -> None:
        self.requests: list[CheckRequest] = []
        self.answers: list[CheckFacts] = []
        self.fault: DriverError | None = None
        self.done = threading.Event()


class SharedChecks:
    """`connect` opens a driver connection, `clock` gives the time of each lookup."""

    def __init__(self, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._connections = CheckConnections(connect)
        self._clock = clock
        self._lock = threading.Lock()
        self._executing = threading.Lock()
        self._next = _SharedCheck()
        self._has_owners, self._asked_at = False, datetime.min.replace(tzinfo=UTC)

    def facts(self, request: CheckRequest) -> CheckFacts:
        """What is stored about these contacts. Raises DriverError or, with the database away, OperationalError."""
        with self._lock:
            shared, place = self._next, len(self._next.requests)
            shared.requests.append(request)
        if place:
            shared.done.wait()
        else:
            self._execute(shared)
        if shared.fault is not None:
            raise type(shared.fault)(str(shared.fault)) from shared.fault
        return shared.answers[place]

    def close(self) -> None:
        """Close the connection; the next check opens a new one."""
        with self._executing:
            self._connections.close()

    def _execute(self, shared: _SharedCheck) -> None:
        with self._executing:
            _let_arrived_requests_join()
            with self._lock:
                self._next = _SharedCheck()  # from here on requests join the next one
            try:
                shared.answers = self._connections.run(lambda one: self._read(one, shared.requests))
            except DriverError as fault:
                shared.fault = fault
            finally:
                if not shared.answers and shared.fault is None:
                    shared.fault = DriverUnavailable("the check was interrupted")
                shared.done.set()

    def _read(self, connection: DriverConnection, requests: Sequence[CheckRequest]) -> list[CheckFacts]:
        now = self._clock()
        if not self._asked_at <= now < self._asked_at + _OWNERS_KNOWN_FOR:
            self._has_owners, self._asked_at = any_handover(connection), now
        return read_facts(connection, requests, now, owners=self._has_owners)


def _let_arrived_requests_join() -> None:
    """Yield so that requests that have arrived but were not read yet can join: 10 % more checks per second.

    A gevent worker resumes before it reads after the first yield, and after it has read after the second.
    """
    time.sleep(0)
    time.sleep(0)
