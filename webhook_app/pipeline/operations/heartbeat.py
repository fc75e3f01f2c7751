"""Tells a watchman outside that evaluations happen. It runs beside them and reads what they left: it delays none."""

from datetime import datetime

from webhook_app.channels.heartbeat import Heartbeat
from webhook_app.store.operations import scheduler_state
from webhook_app.store.postgres.engine import Engine
from webhook_app.store.postgres.errors import EngineError

_JOB = "evaluate"


class HeartbeatMonitor:
    """Remembers which evaluation was told; after a restart the last one is told again."""

    def __init__(self, engine: Engine, heartbeat: Heartbeat) -> None:
        self._engine = engine
        self._heartbeat = heartbeat
        self._told: datetime | None = None

    def tell(self, now: datetime) -> None:
        """Tell the newest evaluation that has ended, if it is not told yet. Raises SendError."""
        del now
        try:
            with self._engine.connect() as connection:
                state = scheduler_state.job_state(connection, _JOB)
        except EngineError:
            self._heartbeat.fail("the database cannot be read")
            raise
        if state is None or state.ended_at is None or state.ended_at == self._told:
            return
        if state.error:
            self._heartbeat.fail(state.error)
        else:
            self._heartbeat.beat()
        self._told = state.ended_at
