"""Looks up suppressions for the contacts of a check: small checks share a statement, large ones get their own."""

from collections.abc import Callable
from datetime import datetime

from webhook_app.pipeline.suppressions.checks.check_connections import Connect
from webhook_app.pipeline.suppressions.checks.large_checks import LargeChecks
from webhook_app.pipeline.suppressions.checks.shared_checks import SharedChecks
from webhook_app.pipeline.suppressions.reported_aliases import ReportedAliases
from webhook_app.store.suppressions.checks import CheckFacts, CheckRequest

SHARED_CHECK_LIMIT = 50
"""Checks of up to this many contacts share a statement."""


class Checks:
    """`connect` opens a driver connection, `clock` gives the time of each lookup."""

    def __init__(self, connect: Connect, clock: Callable[[], datetime]) -> None:
        self._shared = SharedChecks(connect, clock)
        self._large = LargeChecks(connect, clock)
        self.aliases = ReportedAliases()

    def facts(self, request: CheckRequest) -> CheckFacts:
        """What is stored about these contacts. Raises DriverError or, with the database away, OperationalError."""
        is_small = len(request.contacts) <= SHARED_CHECK_LIMIT
        return (self._shared if is_small else self._large).facts(request)

    def close(self) -> None:
        """Close the connections; the next check opens new ones."""
        self._shared.close()
        self._large.close()
