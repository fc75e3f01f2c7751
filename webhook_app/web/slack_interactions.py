"""POST /slack/interactions: the buttons of Slack messages. Every member of the channel may use them.

1. Slack's signature over the raw body must match and be at most five minutes old; else 401. Headers are checked first.
2. The action and its notification are committed, and Slack is answered within its limit of three seconds.
3. The notification updates the message, which then shows who acted.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog
from flask import Blueprint, Response, request

from webhook_app.channels.slack_interactions import Interaction, may_be_signed, parse, verify
from webhook_app.pipeline.incidents import actions
from webhook_app.store.incidents import incidents, silences
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection, Engine
from webhook_app.web import security_headers
from webhook_app.web.errors import ApiError

log = structlog.get_logger()

SNOOZE = timedelta(hours=1)
SILENCE = timedelta(hours=24)

_REPEATED_WITHIN = timedelta(minutes=5)  # a signature is valid that long, so a request can be sent again

_MAX_BODY_BYTES = 1 << 20
_STATEMENT_MILLISECONDS = 2_000  # Slack waits for three seconds


def slack_blueprint(engine: Engine, signing_secret: str, clock: Callable[[], datetime]) -> Blueprint:
    """The blueprint with the one route; without a signing secret it answers 404."""
    blueprint = Blueprint("slack", __name__)
    security_headers.secure_api(blueprint)

    @blueprint.post("/slack/interactions")
    def interact() -> Response:
        """Carry out the action of the button that was pressed."""
        if not signing_secret:
            raise ApiError(404, "not_found", "SLACK_SIGNING_SECRET is not set.")
        request.max_content_length = _MAX_BODY_BYTES
        timestamp = request.headers.get("X-Slack-Request-Timestamp", "")
        given = request.headers.get("X-Slack-Signature", "")
        # Before the body is read: no memory for a caller that has not signed it.
        is_signed = may_be_signed(timestamp, given, clock().timestamp())
        body, now = request.get_data(cache=False) if is_signed else b"", clock()
        if not verify(body, timestamp, given, signing_secret, now.timestamp()):
            raise ApiError(401, "unauthorized", "The signature is missing, wrong or too old.")
        try:
            interaction = parse(body)
        except ValueError as fault:
            raise ApiError(400, "bad_body", f"{fault}.") from None
        if interaction is not None:
            with engine.begin() as connection:
                locks.limit_statements(connection, _STATEMENT_MILLISECONDS)
                _act(connection, interaction, now)
        return Response(status=200)

    return blueprint


def _act(connection: Connection, interaction: Interaction, now: datetime) -> None:
    """Carry out the action. An ended incident does not change: its message shows that it has ended."""
    match interaction.action:
        case "acknowledge":
            actions.acknowledge(connection, interaction.incident_id, actor=interaction.actor, now=now)
        case "snooze":
            until = now + SNOOZE
            actions.snooze(connection, interaction.incident_id, until=until, actor=interaction.actor, now=now)
        case "silence":
            _silence(connection, interaction, now)
    log.info("a button was pressed in Slack", action=interaction.action, incident=interaction.incident_id)


def _silence(connection: Connection, interaction: Interaction, now: datetime) -> None:
    """Silence the code, on the number that the button names or on all, and snooze the incident as long.

    A request that is sent again changes nothing.
    """
    incidents.lock(connection, [interaction.incident_id])
    if interaction.code is None or incidents.get(connection, interaction.incident_id) is None:
        return
    matchers: dict[str, str | int] = {"code": interaction.code}
    if interaction.phone_number_id:
        matchers["phone_number_id"] = interaction.phone_number_id
    until = now + SILENCE
    comment = f"Slack button of incident {interaction.incident_id}"
    for earlier in silences.active(connection, now):
        same = (earlier.author, earlier.comment, earlier.matchers) == (interaction.actor, comment, matchers)
        if same and now - earlier.since <= _REPEATED_WITHIN:
            return
    actions.add_silence(
        connection, matchers=matchers, author=interaction.actor, until=until, comment=comment, now=now
    )
    silencer = f"{interaction.actor}, who silenced {interaction.code}"
    actions.snooze(connection, interaction.incident_id, until=until, actor=silencer, now=now)
