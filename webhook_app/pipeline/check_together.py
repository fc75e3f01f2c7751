"""Checks of one worker that come at the same moment share one statement, over one connection of their own.

Who comes while a statement runs waits for the next one, and the first of those asks it for all. Alone one does not
wait. What a check means stands in store/standing.py.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg

from webhook_app.store.standing import Known, Question, known_of_many


class _Round:
    """Questions that one statement answers."""

    __slots__ = ("answers", "done", "fault", "questions")

    def __init__(self) -> None:
        self.questions: list[Question] = []
        self.answers: list[Known] = []
        self.fault: psycopg.Error | None = None
        self.done = threading.Event()


class CheckTogether:
    """`connect` makes a driver connection, `clock` tells the time of asking."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], clock: Callable[[], datetime]) -> None:
        self._connect = connect
        self._clock = clock
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._next = _Round()

    def known(self, question: Question) -> Known:
        """What stands against these contacts. Raises psycopg.Error, OperationalError when the database is away."""
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
            self._hang_up()

    def _ask(self, mine: _Round) -> None:
        with self._asking:
            with self._lock:
                self._next = _Round()  # nobody joins any more
            try:
                mine.answers = self._answers(mine.questions)
            except psycopg.Error as fault:
                mine.fault = fault
            finally:
                if not mine.answers and mine.fault is None:
                    mine.fault = psycopg.OperationalError("the check was ended")
                mine.done.set()

    def _answers(self, questions: list[Question]) -> list[Known]:
        """A connection may have died while nobody asked: one fresh try, then the caller hears of it."""
        is_fresh = self._connection is None
        try:
            return known_of_many(self._opened(), questions, self._clock())
        except psycopg.OperationalError as fault:
            self._hang_up()
            if is_fresh or isinstance(fault, psycopg.errors.QueryCanceled):  # what took too long would again
                raise
        return known_of_many(self._opened(), questions, self._clock())

    def _opened(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
