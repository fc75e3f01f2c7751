"""What stands against contacts that somebody wants to write to: few are asked about together, many at once."""

from collections.abc import Callable
from datetime import datetime

from webhook_app.pipeline.check_many import CheckMany
from webhook_app.pipeline.check_together import CheckTogether
from webhook_app.pipeline.lane import Connect
from webhook_app.store.standing import Known, Question

FEW = 50
"""Up to so many contacts are asked about in one statement."""


class Checks:
    """`connect` makes a driver connection, `clock` tells the time of asking."""

    def __init__(self, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._few = CheckTogether(connect, clock)
        self._many = CheckMany(connect, clock)

    def known(self, question: Question) -> Known:
        """What stands against these contacts. Raises psycopg.Error, OperationalError when the database is away."""
        return (self._few if len(question.contacts) <= FEW else self._many).known(question)

    def close(self) -> None:
        """End the connections; asking again makes new ones."""
        self._few.close()
        self._many.close()
