"""A sender's report of one send call, and the message id for calls that have none. Pure; no decisions.

Meta gives a failed call no message id. We generate one from the report, so that every process recognises
a repeated report.
"""

import hashlib
from datetime import datetime

from msgspec import Struct

from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.json_text import canonical
from webhook_app.whatsapp.sends.graph_errors import GraphError

GENERATED_ID_PREFIX = "send:"
"""The prefix of message ids that we generated."""


class SendReport(Struct, frozen=True, kw_only=True):
    """One call: accepted, or failed with `error`. An empty text means not reported."""

    message_id: str
    phone_number_id: str
    contact: str
    template: str
    campaign: str
    category: str
    sent_at: datetime
    error: GraphError | None
    endpoint: str
    request_json: str
    given: str = ""
    """The key that the message was sent to, if Meta answered that `contact` is its id."""

    @property
    def error_code(self) -> int:
        return self.error.code if self.error else NO_CODE

    @property
    def has_generated_id(self) -> bool:
        """Whether we generated the message id, so that no webhook can refer to it."""
        return self.message_id.startswith(GENERATED_ID_PREFIX)


def generated_message_id(
    recipient: str,
    number: str,
    template: str,
    campaign: str,
    error: GraphError | None,
    sent_at: datetime | None,
    now: datetime,
) -> str:
    """Return an id that is equal for equal reports.

    Meta's trace id or the time of the call distinguishes two calls. A report with neither counts once per UTC day.
    """
    distinction = (
        f"{sent_at.timestamp():.0f}" if sent_at else "" if error and error.fbtrace_id else f"{now:%Y-%m-%d}"
    )
    parts = canonical([recipient, number, template, campaign, error.json if error else "", distinction])
    return GENERATED_ID_PREFIX + hashlib.sha256(parts.encode()).hexdigest()[:32]
