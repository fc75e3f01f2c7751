"""What a sender reports of one send call, as a value with an identity of its own. Pure; decides nothing.

Meta gives a failed call no message id. It then gets one made from what was reported, so that the same report
sent again is recognised, whichever process it reaches.
"""

import hashlib
from datetime import datetime

from msgspec import Struct

from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.json_text import canonical
from webhook_app.whatsapp.sends.graph_errors import GraphError

MADE_UP = "send:"
"""How the message ids begin that Meta did not give."""


class SendReport(Struct, frozen=True, kw_only=True):
    """One call: accepted, or failed with `error`. Empty texts mean that the sender did not say."""

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

    @property
    def error_code(self) -> int:
        return self.error.code if self.error else NO_CODE

    @property
    def made_up(self) -> bool:
        """Whether no webhook can ever tell of this message."""
        return self.message_id.startswith(MADE_UP)


def made_up_id(
    addressee: str,
    number: str,
    template: str,
    campaign: str,
    error: GraphError | None,
    sent_at: datetime | None,
    now: datetime,
) -> str:
    """An id that is the same for the same report.

    Meta's trace or the time of the call tell two calls apart. A report with neither counts once in a UTC day.
    """
    told = error.json if error else ""
    when = (
        f"{sent_at.timestamp():.0f}" if sent_at else "" if error and error.fbtrace_id else f"{now:%Y-%m-%d}"
    )
    parts = canonical([addressee, number, template, campaign, told, when])
    return MADE_UP + hashlib.sha256(parts.encode()).hexdigest()[:32]
