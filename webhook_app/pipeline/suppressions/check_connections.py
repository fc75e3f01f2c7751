"""Connections for statements that are asked again and again: made when first needed, made anew when they have died."""

from collections.abc import Callable
from typing import TypeVar

from webhook_app.store.postgres.engine import DriverConnection
from webhook_app.store.postgres.errors import DriverUnavailable, StatementTimeout

Connect = Callable[[], DriverConnection]
Answer = TypeVar("Answer")


class CheckConnections:
    """So many connections that one caller at a time asks something with."""

    def __init__(self, connect: Connect, connections: int = 1) -> None:
        self._connect = connect
        self._wanted = connections
        self._held: list[DriverConnection] = []

    def ask(self, question: Callable[..., Answer]) -> Answer:
        """What `question` gives, called with the connections. Raises DriverError.

        They may have died while nobody asked: one fresh try, then the caller hears of it.
        """
        is_fresh = not self._held
        try:
            return question(*self._opened())
        except DriverUnavailable as fault:
            self.hang_up()
            if is_fresh or isinstance(fault, StatementTimeout):  # what took too long would again
                raise
        return question(*self._opened())

    def hang_up(self) -> None:
        """End the connections; asking again makes new ones."""
        held, self._held = self._held, []
        for connection in held:
            connection.close()

    def _opened(self) -> list[DriverConnection]:
        while len(self._held) < self._wanted:
            self._held.append(self._connect())
        return self._held
