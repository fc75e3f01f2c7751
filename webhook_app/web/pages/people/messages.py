"""/messages/<id>: the life of one message. What is told of it is read as the API reads it."""

from datetime import datetime

import msgspec
from flask import Blueprint, Response
from msgspec import Struct

from webhook_app.web.api.people.messages import MessageAnswer, MessageFailureEntry, get_message
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.frame import PageContext, PageRequest, add_page, call_of, render

_LONGEST = 1000


class MessageRow(Struct, frozen=True):
    """One thing that happened to the message, by Meta's clock or the sender's."""

    at: datetime
    received_at: datetime
    what: str
    phone_number_id: str
    code: int | None = None
    participant: str = ""
    clock_replaced: bool = False


def add_message_pages(blueprint: Blueprint, desk: PageContext) -> None:
    """The one page."""

    def message_page(visit: PageRequest, message_id: str) -> Response:
        if len(message_id) > _LONGEST or "\0" in message_id:
            raise ApiError(404, "not_found", "No message has such an id.")
        message = get_message(call_of(visit, desk), message_id)
        errors = [(failure, _spelt(failure)) for failure in message.failures]
        return render(visit, "message.html", message=message, steps=_steps(message), errors=errors)

    add_page(blueprint, desk, "/messages/<path:message_id>", message_page)


def _steps(message: MessageAnswer) -> list[MessageRow]:
    """Everything once, in time order: a refused call is kept as an event too, and failures outlive their events."""
    told = {(call.sent_at, call.code) for call in message.sends if call.result == "refused"}
    steps = [
        MessageRow(call.sent_at, call.registered_at, f"call {call.result}", call.phone_number_id, call.code)
        for call in message.sends
    ]
    for event in message.events:
        if event.status == "failed" and (event.occurred_at, event.code) in told:
            continue
        steps.append(
            MessageRow(
                event.occurred_at,
                event.received_at,
                event.status,
                event.phone_number_id,
                event.code,
                event.participant,
                event.clock_replaced,
            )
        )
    known = {(step.at, step.code) for step in steps}
    steps += [
        MessageRow(
            each.occurred_at, each.received_at, "failed", each.phone_number_id, each.code, each.participant
        )
        for each in message.failures
        if (each.occurred_at, each.code) not in known
    ]
    return sorted(steps, key=lambda step: step.at)


def _spelt(failure: MessageFailureEntry) -> str:
    return msgspec.json.format(msgspec.json.encode(failure.errors), indent=2).decode()
