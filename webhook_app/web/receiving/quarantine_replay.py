"""A replay of quarantined items that the service runs itself, for its API and its page."""

from datetime import datetime
from functools import partial

from webhook_app.pipeline.receiving.replay import MAX_REQUEST_BYTES, Replay
from webhook_app.settings import Settings
from webhook_app.store.postgres.engine import connect
from webhook_app.whatsapp.receiving.payload import parse_again


def quarantine_replay(settings: Settings, now: datetime) -> Replay:
    """A replay with the keywords of the settings, without entries so large that they would hold up the request."""
    return Replay(
        lambda: connect(settings.database_url, application="webhook_app replay"),
        now,
        read=partial(parse_again, words=settings.keywords),
        max_bytes=MAX_REQUEST_BYTES,
    )
