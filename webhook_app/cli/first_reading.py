"""Prints doctor's summary of the first reading of Meta's Graph API after `webhook-app up` starts."""

import time
from collections.abc import Callable
from datetime import datetime

from webhook_app.cli.doctor import count_line
from webhook_app.store.accounts import doctor
from webhook_app.store.operations.scheduler_state import job_state
from webhook_app.store.postgres.engine import make_engine
from webhook_app.store.postgres.errors import EngineError

_GIVE_UP_S = 600.0  # another scheduler leads


class FirstReading:
    """Prints the summary of doctor once, as soon as a reading that began after `since` has ended."""

    def __init__(self, database_url: str, since: datetime, show: Callable[[str], object]) -> None:
        self._engine = make_engine(database_url, application="webhook_app up", pool_size=0)
        self._since = since
        self._show = show
        self._until = time.monotonic() + _GIVE_UP_S
        self.has_ended = False

    def look(self) -> None:
        """Print the result if the reading has ended."""
        if self.has_ended:
            return
        try:
            lines = self._lines()
        except EngineError:
            lines = []  # the database is busy or restarts; the parts report it themselves
        for line in lines:
            self._show(line)
        self.has_ended = bool(lines) or time.monotonic() > self._until

    def _lines(self) -> list[str]:
        with self._engine.connect() as connection:
            state = job_state(connection, "doctor")
            checks = doctor.list_checks(connection)
        if state is None or state.ended_at is None or state.started_at < self._since:
            return []
        if state.error:
            return ["Doctor: the reading of Meta's Graph API failed; `webhook-app doctor` says more."]
        counts = count_line(each.status for each in checks)
        found = [f"Doctor: {counts}  (webhook-app doctor lists them)"]
        if checks and checks[0].status in ("broken", "warning"):
            found.append(f"  {checks[0].status}: {checks[0].message}")
        return found
