"""POST /slack/interactions: buttons of Slack messages. Whoever can press one in the channel may act.

1. Slack's signature over the raw body, not older than five minutes; else 401.
2. The action and its notification are committed; Slack is answered within its three seconds, or told that it failed.
3. The message itself changes with the notification, which shows everybody who did it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from flask import Blueprint, Response, request

from webhook_app.channels.slack_interactions import Interaction, parse, verify
from webhook_app.pipeline.incidents import alert_actions
from webhook_app.store.incidents import alerts
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.web import security_headers
from webhook_app.web.errors import ApiError

log = structlog.get_logger()

SNOOZE = timedelta(hours=1)
SILENCE = timedelta(hours=24)

_MAX_BODY_BYTES = 1 << 20
_STATEMENT_MILLISECONDS = 2_000  # Slack waits for three seconds


def slack_blueprint(engine: Engine, signing_secret: str, clock: Callable[[], datetime]) -> Blueprint:
    """The one route; without a signing secret it is not there."""
    blueprint = Blueprint("slack", __name__)
    security_headers.secure_api(blueprint)

    @blueprint.post("/slack/interactions")
    def interact() -> Response:
        """Do what the button says."""
        if not signing_secret:
            raise ApiError(404, "not_found", "Slack's buttons are not set up.")
        request.max_content_length = _MAX_BODY_BYTES
        body, now = request.get_data(cache=False), clock()
        timestamp = request.headers.get("X-Slack-Request-Timestamp", "")
        given = request.headers.get("X-Slack-Signature", "")
        if not verify(body, timestamp, given, signing_secret, now.timestamp()):
            raise ApiError(401, "unauthorized", "The signature is missing, wrong or too old.")
        try:
            wanted = parse(body)
        except ValueError as fault:
            raise ApiError(400, "bad_body", f"{fault}.") from None
        if wanted is not None:
            with engine.begin() as connection:
                locks.limit_statements(connection, _STATEMENT_MILLISECONDS)
                _act(connection, wanted, now)
        return Response(status=200)

    return blueprint


def _act(connection: Connection, wanted: Interaction, now: datetime) -> None:
    """An alert that is over by now stays as it is: its message says so."""
    match wanted.action:
        case "acknowledge":
            alert_actions.acknowledge(connection, wanted.alert_id, actor=wanted.actor, now=now)
        case "snooze":
            until = now + SNOOZE
            alert_actions.snooze(connection, wanted.alert_id, until=until, actor=wanted.actor, now=now)
        case "silence":
            _silence(connection, wanted, now)
    log.info("a button was pressed in Slack", action=wanted.action, alert=wanted.alert_id)


def _silence(connection: Connection, wanted: Interaction, now: datetime) -> None:
    """The code on the alert's number, or everywhere; the alert itself shows it as snoozed for as long."""
    alert = alerts.get_alert(connection, wanted.alert_id)
    if alert is None or wanted.code is None:
        return
    matchers: dict[str, str | int] = {"code": wanted.code}
    if number := alert.group.get("phone_number_id"):
        matchers["phone_number_id"] = number
    until = now + SILENCE
    comment = f"Slack button of alert {alert.id}"
    alert_actions.add_silence(
        connection, matchers=matchers, author=wanted.actor, until=until, comment=comment, now=now
    )
    silencer = f"{wanted.actor}, who silenced {wanted.code}"
    alert_actions.snooze(connection, alert.id, until=until, actor=silencer, now=now)
