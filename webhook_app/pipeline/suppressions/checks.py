"""What stands against contacts that somebody wants to write to: few are asked about together, many at once."""

from collections.abc import Callable
from datetime import datetime

from webhook_app.pipeline.suppressions.check_connections import Connect
from webhook_app.pipeline.suppressions.large_checks import LargeChecks
from webhook_app.pipeline.suppressions.shared_checks import SharedChecks
from webhook_app.store.suppressions.checks import CheckFacts, CheckRequest

FEW = 50
"""Up to so many contacts are asked about in one statement."""


class Checks:
    """`connect` makes a driver connection, `clock` tells the time of asking."""

    def __init__(self, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._few = SharedChecks(connect, clock)
        self._many = LargeChecks(connect, clock)

    def known(self, question: CheckRequest) -> CheckFacts:
        """What stands against these contacts. Raises DriverError, OperationalError when the database is away."""
        return (self._few if len(question.contacts) <= FEW else self._many).known(question)

    def close(self) -> None:
        """End the connections; asking again makes new ones."""
        self._few.close()
        self._many.close()
