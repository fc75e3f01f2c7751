"""The webhooks that follow an accepted send, in Meta's shape, with the time of each. Values only."""

from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256

from msgspec import Struct

from webhook_app.simulator.faults import error_object
from webhook_app.simulator.messages import Json, SimulatedMessage, pricing_of, status_of
from webhook_app.simulator.payloads import TimedChange, status_change

_CONVERSATION = timedelta(hours=24)


class AcceptedSend(Struct, frozen=True):
    """A send that Meta accepted. `code`: the error that follows by webhook, or None."""

    message: SimulatedMessage
    kind: str
    """The message's type: only `sent` follows a reaction."""
    code: int | None
    has_conversation: bool
    """Whether statuses describe a conversation, as they did until v23."""


def status_changes(accepted: AcceptedSend, delay_s: float) -> Iterator[TimedChange]:
    """Return sent, delivered and read, or failed; `delay_s` lies before each of them."""
    message, due = accepted.message, accepted.message.sent_at
    for name in _names(accepted):
        due += timedelta(seconds=delay_s)
        status = status_of(message, name, due)
        if name == "failed" and accepted.code is not None:
            status["errors"] = [error_object(accepted.code)]
        elif name in ("sent", "delivered"):
            if accepted.has_conversation:
                status["conversation"] = _conversation(message, name)
            status["pricing"] = pricing_of(message.template.category)
        yield TimedChange(due, message.number.waba_id, status_change(message, status))


def _names(accepted: AcceptedSend) -> tuple[str, ...]:
    if accepted.code is not None:
        return ("failed",)
    return ("sent",) if accepted.kind == "reaction" else ("sent", "delivered", "read")


def _conversation(message: SimulatedMessage, name: str) -> Json:
    conversation_id = sha256(message.wamid.encode()).hexdigest()[:32]
    found: Json = {"id": conversation_id, "origin": {"type": message.template.category}}
    if name == "sent":
        found["expiration_timestamp"] = str(int((message.sent_at + _CONVERSATION).timestamp()))
    return found
