"""Leader election: an advisory lock on a connection of its own, which Postgres releases when the leader dies."""

import os
import socket
import threading
from contextlib import ExitStack, closing

import psycopg
import structlog

from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import DriverConnection, connect
from webhook_app.store.postgres.sessions import sessions_fault

log = structlog.get_logger()

_SILENT_SECONDS = 10  # a leader sends a statement every second


class Leadership:
    """One candidate. Call `acquire` or `check` about every second, from any thread."""

    def __init__(self, url: str) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._url = url
        self._connection: DriverConnection | None = None
        self._held = False
        self._fault = ""
        self._mutex = threading.Lock()

    @property
    def held(self) -> bool:
        """Whether the lock was held at the last check."""
        return self._held

    def acquire(self) -> bool:
        """Try to become the leader; False while there is another, or while the database is not reachable."""
        with self._mutex:
            try:
                self._connection = self._connection or self._connect()
                if self._connection is None:
                    return False
                self._held = locks.try_acquire(self._connection, locks.LEADER_LOCK)
            except psycopg.Error as fault:
                self._lose(fault)
            return self._held

    def _connect(self) -> DriverConnection | None:
        """A session that can hold the lock. A pooler that shares sessions would give the lock to every candidate."""
        with ExitStack() as stack:
            connection, other = (
                stack.enter_context(closing(connect(self._url, application="webhook_app leader")))
                for _ in range(2)
            )
            fault = sessions_fault(connection, other)
            if fault and fault != self._fault:
                log.error("cannot lead", fault=fault)
            self._fault = fault
            if fault:
                return None
            locks.end_session_if_silent(connection, _SILENT_SECONDS)
            other.close()
            stack.pop_all()
            return connection

    def check(self) -> bool:
        """Check that the lock's connection still works; a lost lock must be acquired again."""
        with self._mutex:
            if self._connection is None or not self._held:
                return False
            try:
                self._connection.execute("SELECT 1")
            except psycopg.Error as fault:
                self._lose(fault)
            return self._held

    def release(self) -> None:
        """Give up the leadership now."""
        with self._mutex:
            if self._connection is not None and self._held:
                locks.release(self._connection, locks.LEADER_LOCK)
            self._close()

    def _lose(self, fault: psycopg.Error) -> None:
        log.warning("the lock's connection is lost", was_leading=self._held, fault=type(fault).__name__)
        self._close()

    def _close(self) -> None:
        self._held = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
