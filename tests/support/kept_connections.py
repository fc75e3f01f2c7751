"""Connections that stay open from one test to the next: starting a server process costs more than most tests."""

from collections import defaultdict
from collections.abc import Iterator
from threading import Lock
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ExecStatus, PGconn, TransactionStatus

_OF_THE_DRIVER = {"autocommit", "prepare_threshold", "row_factory"}
_MOST_IDLE = 3  # with the same parameters; the server has 100 connections
_ENDED = PGconn.connect(b"host=/nowhere")
_ENDED.finish()


class KeptConnections:
    """Opens connections to its databases; the session of a closed one is reset for the next with its parameters."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._idle: dict[tuple[object, ...], dict[str, list[PGconn]]] = {}
        self._connect_anew = psycopg.connect

    def keep(self, url: str) -> None:
        self._idle[_place(url)] = defaultdict(list)

    def forget(self, url: str) -> None:
        """Keep no connection to this database from now on."""
        self.end_idle(url)
        del self._idle[_place(url)]

    def end_idle(self, url: str) -> None:
        for sessions in self._idle[_place(url)].values():
            for session in _taken(sessions):
                session.finish()

    def processes(self, url: str) -> list[int]:
        """The server's processes of the idle sessions."""
        with self._lock:
            return [each.backend_pid for sessions in self._idle[_place(url)].values() for each in sessions]

    def connect(self, conninfo: str = "", **options: Any) -> psycopg.Connection[Any]:
        """Takes the place of `psycopg.connect`."""
        of_server = {name: value for name, value in options.items() if name not in _OF_THE_DRIVER}
        parameters = make_conninfo(conninfo, **of_server)
        idle = self._idle.get(_place(parameters))
        if idle is None:
            return self._connect_anew(conninfo, **options)
        with self._lock:
            session = next((each for each in _taken(idle[parameters]) if _is_alive(each)), None)
        if session is None:
            made = _KeptConnection.connect(conninfo, **options)
        else:
            made = _KeptConnection(session)
            for name in options.keys() & _OF_THE_DRIVER:
                setattr(made, name, options[name])
        made.kept_in = idle[parameters]
        return made


def _place(conninfo: str) -> tuple[object, ...]:
    """The server and the database: another server may be a pooler before the same database."""
    given = conninfo_to_dict(conninfo)
    return tuple(given.get(name) for name in ("host", "port", "dbname"))


def _taken(sessions: list[PGconn]) -> Iterator[PGconn]:
    while sessions:
        yield sessions.pop()


def _is_alive(session: PGconn) -> bool:
    """Whether the server has not ended it: reads first its last message, then the end of the stream."""
    try:
        session.consume_input()
        session.consume_input()
    except psycopg.OperationalError:
        session.finish()
        return False
    return True


class _KeptConnection(psycopg.Connection[Any]):
    kept_in: list[PGconn]

    def close(self) -> None:
        session = self.pgconn
        if session.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            session.exec_(b"ROLLBACK")
        is_kept = session.transaction_status == TransactionStatus.IDLE and len(self.kept_in) < _MOST_IDLE
        if is_kept and session.exec_(b"DISCARD ALL").status == ExecStatus.COMMAND_OK:
            self.pgconn, self._closed = _ENDED, True
            self.kept_in.append(session)
        else:
            super().close()
