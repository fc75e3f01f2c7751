"""Checks of thousands of contacts: two connections read links and suppressions at the same time.

store/suppressions/checks.py defines what a check reads.
"""

import threading
from collections.abc import Callable
from datetime import datetime

from webhook_app.pipeline.suppressions.checks.check_connections import CheckConnections, Connect
from webhook_app.store.suppressions.checks import CheckFacts, CheckRequest, read_facts_of_thousands

MAX_CONCURRENT = 2
"""Large checks at a time; each occupies two cores."""


class LargeChecks:
    """`connect` opens a driver connection, `clock` gives the time of each lookup."""

    def __init__(self, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._free = threading.Semaphore(MAX_CONCURRENT)
        self._pool = [CheckConnections(connect, connections=2) for _ in range(MAX_CONCURRENT)]

    def facts(self, request: CheckRequest) -> CheckFacts:
        """What is stored about these contacts. Raises DriverError or, with the database away, OperationalError."""
        with self._free:
            connections = self._pool.pop()
            try:
                return connections.run(
                    lambda one, other: read_facts_of_thousands(one, other, request, self._clock())
                )
            finally:
                self._pool.append(connections)

    def close(self) -> None:
        """Close the connections; the next check opens new ones."""
        for _ in range(MAX_CONCURRENT):
            self._free.acquire()
        for connections in self._pool:
            connections.close()
        self._free.release(MAX_CONCURRENT)
