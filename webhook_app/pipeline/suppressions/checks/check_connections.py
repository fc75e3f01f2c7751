"""Connections that checks keep open: opened when first needed, reopened after they were lost."""

from collections.abc import Callable
from typing import TypeVar

from webhook_app.store.postgres.engine import DriverConnection, use_indexes
from webhook_app.store.postgres.errors import DriverUnavailable, StatementTimeout

Connect = Callable[[], DriverConnection]
Answer = TypeVar("Answer")


class CheckConnections:
    """A fixed number of connections, used by one caller at a time."""

    def __init__(self, connect: Connect, connections: int = 1) -> None:
        self._connect = connect
        self._count = connections
        self._open: list[DriverConnection] = []

    def run(self, query: Callable[..., Answer]) -> Answer:
        """Call `query` with the connections and return its answer. Raises DriverError.

        Connections may have been lost while idle: the query is then repeated once over new ones.
        """
        is_fresh = not self._open
        try:
            return query(*self._opened())
        except DriverUnavailable as fault:
            self.close()
            if is_fresh or isinstance(fault, StatementTimeout):  # a slow statement would be slow again
                raise
        return query(*self._opened())

    def close(self) -> None:
        """Close the connections; the next query opens new ones."""
        connections, self._open = self._open, []
        for connection in connections:
            connection.close()

    def _opened(self) -> list[DriverConnection]:
        while len(self._open) < self._count:
            self._open.append(self._connect())
            use_indexes(self._open[-1])
        return self._open
