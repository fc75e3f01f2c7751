"""Reports to an external monitor that evaluations run. It is a job of its own, so that it delays no evaluation."""

from datetime import datetime

from webhook_app.channels.heartbeat import Heartbeat
from webhook_app.store.operations import scheduler_state
from webhook_app.store.postgres.engine import Engine
from webhook_app.store.postgres.errors import EngineError

_JOB = "evaluate"


class HeartbeatMonitor:
    """Remembers which evaluation was reported; after a restart the last one is reported again."""

    def __init__(self, engine: Engine, heartbeat: Heartbeat) -> None:
        self._engine = engine
        self._heartbeat = heartbeat
        self._reported: datetime | None = None

    def report(self, now: datetime) -> None:
        """Report the latest evaluation that has ended, unless it was reported. Raises SendError."""
        del now
        try:
            with self._engine.connect() as connection:
                state = scheduler_state.job_state(connection, _JOB)
        except EngineError:
            self._heartbeat.report_failure("the database cannot be read")
            raise
        if state is None or state.ended_at is None or state.ended_at == self._reported:
            return
        if state.error:
            self._heartbeat.report_failure(state.error)
        else:
            self._heartbeat.report_success()
        self._reported = state.ended_at
