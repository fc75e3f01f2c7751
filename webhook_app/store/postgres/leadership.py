"""Who leads: an advisory lock on a connection of its own, so that a dead leader's lock is free at once."""

import os
import socket
import threading

import psycopg
import structlog

from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import DriverConnection, connect

log = structlog.get_logger()

# A leader that is frozen or cut off asks no more; the server then ends its session, which frees the lock.
_SILENT_LEADER = "SET idle_session_timeout = '10s'"


class Leadership:
    """One candidate. `acquire` and `check` are to be called every second or so, from any thread."""

    def __init__(self, url: str) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._url = url
        self._connection: DriverConnection | None = None
        self._held = False
        self._mutex = threading.Lock()

    @property
    def held(self) -> bool:
        """Whether the lock was ours when it was last looked at."""
        return self._held

    def acquire(self) -> bool:
        """Try to lead; False while somebody else does, or while the database is away."""
        with self._mutex:
            try:
                if self._connection is None:
                    self._connection = connect(self._url, application="webhook_app leader")
                    self._connection.execute(_SILENT_LEADER)
                self._held = locks.take(self._connection, locks.LEADER_LOCK)
            except psycopg.Error as fault:
                self._lose(fault)
            return self._held

    def check(self) -> bool:
        """Ask the lock's connection whether it is still there; once lost, it must be acquired anew."""
        with self._mutex:
            if self._connection is None or not self._held:
                return False
            try:
                self._connection.execute("SELECT 1")
            except psycopg.Error as fault:
                self._lose(fault)
            return self._held

    def release(self) -> None:
        """Let somebody else lead, at once."""
        with self._mutex:
            if self._connection is not None and self._held:
                locks.give_back(self._connection, locks.LEADER_LOCK)
            self._close()

    def _lose(self, fault: psycopg.Error) -> None:
        log.warning("the lock's connection is lost", was_leading=self._held, fault=type(fault).__name__)
        self._close()

    def _close(self) -> None:
        self._held = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
