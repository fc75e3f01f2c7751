"""Payloads in Meta's shape for tests: statuses, inbound messages and whole bodies, with simple defaults."""

import json
from datetime import UTC, datetime
from typing import Any

NUMBER = "590238114470021"
WABA = "384610027715590"


def utc_text(at: datetime) -> str:
    """Return a time in UTC as the API writes it."""
    return at.isoformat().replace("+00:00", "Z")


def status(
    message_id: str = "wamid.A",
    status: str = "sent",
    at: datetime | int | str = 1_793_000_000,
    *,
    recipient: str = "12025550117",
    code: int | None = None,
    details: str = "",
    **more: Any,
) -> dict[str, Any]:
    """Return one element of statuses[]; `code` adds an errors[] with it."""
    stamp = str(int(at.astimezone(UTC).timestamp())) if isinstance(at, datetime) else str(at)
    item: dict[str, Any] = {"id": message_id, "status": status, "timestamp": stamp}
    if recipient:
        item["recipient_id"] = recipient
    if code is not None:
        item["errors"] = [{"code": code, "title": f"Title {code}", "error_data": {"details": details}}]
    return item | more


def message(
    message_id: str = "wamid.IN",
    at: datetime | int = 1_793_000_000,
    *,
    sender: str = "12025550117",
    text: str = "hi",
) -> dict[str, Any]:
    """Return one inbound text message."""
    stamp = str(int(at.astimezone(UTC).timestamp())) if isinstance(at, datetime) else str(at)
    return {"from": sender, "id": message_id, "timestamp": stamp, "type": "text", "text": {"body": text}}


def number_change(old: str, new: str, at: datetime, message_id: str = "wamid.S") -> bytes:
    """Return a delivery that says that a person went from one number to another."""
    system = {"type": "user_changed_number", "wa_id": new}
    return body(messages=[message(message_id, at, sender=old) | {"type": "system", "system": system}])


def handover(
    kind: str = "control_passed",
    at: datetime | int | str = 1_793_000_000,
    *,
    sender: str = "12025550117",
    number: str = NUMBER,
    role: str = "",
    **more: Any,
) -> dict[str, Any]:
    """Return the value of a change that passes a conversation to this app, or takes it."""
    stamp = str(int(at.astimezone(UTC).timestamp())) if isinstance(at, datetime) else str(at)
    described = {"metadata": "what was said"} | ({"new_owner_role": role} if role else {})
    return {
        "messaging_product": "whatsapp",
        "recipient": {"display_phone_number": "13125550199", "phone_number_id": number},
        "sender": {"phone_number": sender},
        "timestamp": stamp,
        "type": kind,
        kind: described,
    } | more


def handed_over(*handovers: dict[str, Any]) -> bytes:
    """Return a delivery of handovers."""
    return json.dumps(document(*handovers, field="messaging_handovers")).encode()


def value(*statuses: dict[str, Any], number: str = NUMBER, **more: Any) -> dict[str, Any]:
    """Return the value of a change with these statuses."""
    metadata = {"display_phone_number": "13125550199", "phone_number_id": number}
    head = {"messaging_product": "whatsapp", "metadata": metadata}
    return head | ({"statuses": list(statuses)} if statuses else {}) | more


def document(*values: dict[str, Any], field: str = "messages", waba: str = WABA) -> dict[str, Any]:
    """Return a whole webhook with one entry."""
    changes = [{"field": field, "value": value} for value in values]
    return {"object": "whatsapp_business_account", "entry": [{"id": waba, "changes": changes}]}


def body(*statuses: dict[str, Any], number: str = NUMBER, waba: str = WABA, **more: Any) -> bytes:
    """Return a POST body with these statuses (or, by keyword, messages=[…], errors=[…])."""
    return json.dumps(document(value(*statuses, number=number, **more), waba=waba)).encode()
