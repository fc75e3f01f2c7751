"""/messages/<id>: everything known about one message, read as the API reads it."""

from datetime import datetime

import msgspec
from flask import Response
from msgspec import Struct

from webhook_app.web.api.people.messages import MessageAnswer, MessageFailureEntry, get_message
from webhook_app.web.errors import ApiError
from webhook_app.web.pages.page import Page, PageRequest, render

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


def message_page(request: PageRequest, message_id: str) -> Response:
    """One message."""
    if len(message_id) > _LONGEST or "\0" in message_id:
        raise ApiError(404, "not_found", "No message has such an id.")
    message = get_message(request.call, message_id)
    errors = [(failure, _as_json(failure)) for failure in message.failures]
    return render(request, "message.html", message=message, rows=_rows(message), errors=errors)


def _rows(message: MessageAnswer) -> list[MessageRow]:
    """Every fact once, in time order. A refused call is stored as an event too; failures outlive their events."""
    refused = {(call.sent_at, call.code) for call in message.sends if call.result == "refused"}
    rows = [
        MessageRow(call.sent_at, call.registered_at, f"call {call.result}", call.phone_number_id, call.code)
        for call in message.sends
    ]
    for event in message.events:
        if event.status == "failed" and (event.occurred_at, event.code) in refused:
            continue
        rows.append(
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
    known = {(row.at, row.code) for row in rows}
    rows += [
        MessageRow(
            each.occurred_at, each.received_at, "failed", each.phone_number_id, each.code, each.participant
        )
        for each in message.failures
        if (each.occurred_at, each.code) not in known
    ]
    return sorted(rows, key=lambda row: row.at)


def _as_json(failure: MessageFailureEntry) -> str:
    return msgspec.json.format(msgspec.json.encode(failure.errors), indent=2).decode()


PAGES = (Page("GET", "/messages/<path:message_id>", message_page),)
