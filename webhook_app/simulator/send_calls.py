"""What a sender reports of its send calls: accepted, or refused with Meta's error object. Values only, no clock.

Refused calls never come by webhook; `POST /v1/sends` is how the receiver hears of them.
"""

from datetime import datetime

from msgspec import Struct

from webhook_app.simulator.message_events import Json, SimulatedMessage

ACCEPTED = -1
TOKEN_EXPIRED = 190

_GRAPH = "https://graph.facebook.com/v24.0"
_ERRORS: dict[int, Json] = {  # the answers of the Graph API to a send call, without their trace
    TOKEN_EXPIRED: {
        "message": "Error validating access token: Session has expired.",
        "type": "OAuthException",
        "code": 190,
        "error_subcode": 463,
    },
}


class SimulatedCall(Struct, frozen=True):
    """One send call and the moment of its report (aware UTC); `code` is Meta's, ACCEPTED for none."""

    at: datetime
    code: int
    report: Json


def accepted(message: SimulatedMessage) -> SimulatedCall:
    """Meta took the message; what becomes of it comes by webhook."""
    return SimulatedCall(message.sent_at, ACCEPTED, {**_about(message), "message_id": message.wamid})


def refused(message: SimulatedMessage, code: int, trace: int) -> SimulatedCall:
    """Meta did not take the message, so that it has no id; `trace` is up to 64 bits."""
    error = {**_ERRORS[code], "fbtrace_id": f"A{trace:016x}"}
    endpoint = f"{_GRAPH}/{message.number.phone_number_id}/messages"
    return SimulatedCall(message.sent_at, code, {**_about(message), "error": error, "endpoint": endpoint})


def _about(message: SimulatedMessage) -> Json:
    person, template = message.person, message.template
    about = {
        "contact": f"+{person.phone}" if person.phone else person.user_id,
        "phone_number_id": message.number.phone_number_id,
        "category": template.category,
        "sent_at": message.sent_at.isoformat(timespec="seconds"),
    }
    return about | ({"template": template.name, "campaign": message.campaign} if template.name else {})
