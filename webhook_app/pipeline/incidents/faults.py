"""Lets an evaluation go on when a rule, alert or incident cannot be judged. Afterwards the job fails, naming it."""

from collections.abc import Callable

import structlog

from webhook_app.store.postgres.engine import Connection
from webhook_app.store.postgres.errors import driver_fault

log = structlog.get_logger()

Attempt = Callable[[str, Callable[[], object]], bool]
"""Does a named part of an evaluation; False when it failed."""

_MAX_NAMED = 5


class EvaluationError(Exception):
    """Something could not be judged. Everything else was, and is stored."""


class Faults:
    """What one evaluation could not judge."""

    def __init__(self) -> None:
        self._named: list[str] = []

    def attempt(self, connection: Connection, name: str, work: Callable[[], object]) -> bool:
        """Do the work in a savepoint; False when it failed. Raises only when the connection is lost."""
        try:
            with connection.begin_nested():
                work()
        except Exception as fault:
            if connection.invalidated:
                raise
            log.exception("not judged", what=name)
            self._named.append(f"{name} ({type(driver_fault(fault)).__name__})")
            return False
        return True

    def raise_any(self) -> None:
        """Raise EvaluationError if something failed."""
        if self._named:
            more = len(self._named) - _MAX_NAMED
            named = ", ".join(self._named[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
            raise EvaluationError(f"not judged: {named}; everything else is")
