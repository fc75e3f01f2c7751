"""Checks of one worker that come at the same moment share one statement, over one connection of their own.

Who comes while a statement runs waits for the next one, and the first of those asks it for all. Alone one does not
wait. What a check means stands in store/suppressions/checks.py.
"""

import threading
import time
from collections.abc import Callable
from datetime import datetime

from webhook_app.pipeline.suppressions.check_connections import CheckConnections, Connect
from webhook_app.store.postgres.errors import DriverError, DriverUnavailable
from webhook_app.store.suppressions.checks import CheckFacts, CheckRequest, known_of_many


class _SharedCheck:
    """Questions that one statement answers."""

    __slots__ = ("answers", "done", "fault", "questions")

    def __init__(self) -> None:
        self.questions: list[CheckRequest] = []
        self.answers: list[CheckFacts] = []
        self.fault: DriverError | None = None
        self.done = threading.Event()


class SharedChecks:
    """`connect` makes a driver connection, `clock` tells the time of asking."""

    def __init__(self, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._lane = CheckConnections(connect)
        self._clock = clock
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._next = _SharedCheck()

    def known(self, question: CheckRequest) -> CheckFacts:
        """What stands against these contacts. Raises DriverError, OperationalError when the database is away."""
        with self._lock:
            mine, place = self._next, len(self._next.questions)
            mine.questions.append(question)
        if place:
            mine.done.wait()
        else:
            self._ask(mine)
        if mine.fault is not None:
            raise type(mine.fault)(str(mine.fault)) from mine.fault
        return mine.answers[place]

    def close(self) -> None:
        """End the connection; asking again makes a new one."""
        with self._asking:
            self._lane.hang_up()

    def _ask(self, mine: _SharedCheck) -> None:
        with self._asking:
            _let_those_who_are_here_join()
            with self._lock:
                self._next = _SharedCheck()  # nobody joins any more
            try:
                mine.answers = self._lane.ask(lambda one: known_of_many(one, mine.questions, self._clock()))
            except DriverError as fault:
                mine.fault = fault
            finally:
                if not mine.answers and mine.fault is None:
                    mine.fault = DriverUnavailable("the check was ended")
                mine.done.set()


def _let_those_who_are_here_join() -> None:
    """Requests that have arrived but were not read yet: a tenth more checks per second for some microseconds.

    A gevent worker comes back from the first yield before it reads, from the second one after.
    """
    time.sleep(0)
    time.sleep(0)
