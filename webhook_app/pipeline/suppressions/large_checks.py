"""Checks of thousands of contacts: their links are read while it is read what stands against them.

What a check means stands in store/suppressions/checks.py.
"""

import threading
from collections.abc import Callable
from datetime import datetime

from webhook_app.pipeline.suppressions.check_connections import CheckConnections, Connect
from webhook_app.store.suppressions.checks import CheckFacts, CheckRequest, known_of_thousands

LANES = 2
"""So many are answered at a time; each is the work of two cores."""


class LargeChecks:
    """`connect` makes a driver connection, `clock` tells the time of asking."""

    def __init__(self, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._free = threading.Semaphore(LANES)
        self._lanes = [CheckConnections(connect, connections=2) for _ in range(LANES)]

    def known(self, question: CheckRequest) -> CheckFacts:
        """What stands against these contacts. Raises DriverError, OperationalError when the database is away."""
        with self._free:
            lane = self._lanes.pop()
            try:
                return lane.ask(lambda one, other: known_of_thousands(one, other, question, self._clock()))
            finally:
                self._lanes.append(lane)

    def close(self) -> None:
        """End the connections; asking again makes new ones."""
        for _ in range(LANES):
            self._free.acquire()
        for lane in self._lanes:
            lane.hang_up()
        self._free.release(LANES)
