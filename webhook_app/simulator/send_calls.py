"""The sender's reports of its send calls: accepted, or refused with Meta's error object. Values only, no clock.

Meta sends no webhook for a refused call, so the sender reports it with `POST /v1/sends`.
"""

from datetime import datetime

from msgspec import Struct

from webhook_app.simulator.messages import Json, SimulatedMessage

ACCEPTED = -1
TOKEN_EXPIRED = 190

_GRAPH = "https://graph.facebook.com/v24.0"
_ERRORS: dict[int, Json] = {  # the Graph API's error objects, without fbtrace_id
    TOKEN_EXPIRED: {
        "message": "Error validating access token: Session has expired.",
        "type": "OAuthException",
        "code": 190,
        "error_subcode": 463,
    },
}


class SimulatedCall(Struct, frozen=True):
    """One send call and the time of its report (aware UTC). `code` is Meta's error code or ACCEPTED."""

    at: datetime
    code: int
    report: Json


def accepted(message: SimulatedMessage) -> SimulatedCall:
    """Return the report of a call that Meta accepted; statuses follow by webhook."""
    return SimulatedCall(message.sent_at, ACCEPTED, {**_report_fields(message), "message_id": message.wamid})


def refused(message: SimulatedMessage, code: int, trace: int) -> SimulatedCall:
    """Return the report of a call that Meta refused, so without message id. `trace` has up to 64 bits."""
    error = {**_ERRORS[code], "fbtrace_id": f"A{trace:016x}"}
    endpoint = f"{_GRAPH}/{message.number.phone_number_id}/messages"
    report = {**_report_fields(message), "error": error, "endpoint": endpoint}
    return SimulatedCall(message.sent_at, code, report)


def _report_fields(message: SimulatedMessage) -> Json:
    person, template = message.person, message.template
    fields = {
        "contact": f"+{person.phone}" if person.phone else person.user_id,
        "phone_number_id": message.number.phone_number_id,
        "category": template.category,
        "sent_at": message.sent_at.isoformat(timespec="seconds"),
    }
    return fields | ({"template": template.name, "campaign": message.campaign} if template.name else {})
