"""Replays with a newer parser than the one that stored the data: `python -m tests.faults.replaying <URL>`.

It knows the status `queued`, as `sent`, and the field `novelty`, as a health signal.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from webhook_app.pipeline.receiving.replay import Replay
from webhook_app.store.postgres.engine import connect
from webhook_app.whatsapp.accounts import health_signals
from webhook_app.whatsapp.receiving import statuses


def newer_parser(put: Callable[[object, str, Any], None] = setattr) -> None:
    """Replace the parser of this process; `put` sets an attribute of a module."""
    old = statuses.read_status

    def read_status(item: Any, *place: Any) -> Any:
        return old(item | {"status": "sent"} if item.get("status") == "queued" else item, *place)

    put(statuses, "read_status", read_status)
    put(health_signals, "FIELDS", health_signals.FIELDS | {"novelty"})


def replay_all(url: str) -> None:
    """Replay the whole quarantine and archive."""
    now = datetime.now(UTC)
    day = timedelta(days=1)
    with Replay(lambda: connect(url, application="tests replaying"), now) as running:
        running.of_archive(now - 9 * day, now + day, not_before=now - 90 * day)


if __name__ == "__main__":
    newer_parser()
    replay_all(sys.argv[1])
