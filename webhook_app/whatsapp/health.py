"""News about accounts, numbers and templates, and errors that belong to no message, as HealthSignals."""

import hashlib
from collections.abc import Mapping
from typing import Any

from webhook_app.whatsapp.events import NO_CODE, HealthSignal
from webhook_app.whatsapp.json_text import canonical, scrub
from webhook_app.whatsapp.statuses import plain, read_errors, read_timestamp

FIELDS = frozenset(
    (
        "account_update",
        "account_alerts",
        "account_review_update",
        "phone_number_quality_update",
        "phone_number_name_update",
        "business_capability_update",
        "message_template_status_update",
        "message_template_quality_update",
        "template_category_update",
        "security",
    )
)


def read_signal(entry: Mapping[str, Any], field: str, value: Mapping[str, Any], waba_id: str) -> HealthSignal:
    """One account, number or template change. Meta has sent quality scores under the status field's name."""
    if field == "message_template_status_update" and "new_quality_score" in value:
        field = "message_template_quality_update"
    info = value.get("waba_info")
    if type(info) is dict:  # entry.id is then the business portfolio, not the WABA
        waba_id = _word(info.get("waba_id")) or waba_id
    payload = canonical(scrub(value))
    return HealthSignal(
        field,
        _event(value),
        waba_id,
        "",
        _word(value.get("display_phone_number") or value.get("phone_number")),
        _word(value.get("message_template_id")),
        _word(value.get("message_template_name")),
        _word(value.get("message_template_language")).replace("-", "_"),
        NO_CODE,
        read_timestamp(entry.get("time")),
        payload,
        _identity(waba_id, str(entry.get("time")), field, payload),
    )


def read_error(value: Mapping[str, Any], item: Mapping[str, Any], waba_id: str, number: str) -> HealthSignal:
    """One element of a value's own `errors[]`: about the app, account or system, not about a message."""
    code, title, _, _ = read_errors([item])
    payload = canonical(scrub(item))
    metadata = value.get("metadata")
    display = plain(metadata.get("display_phone_number"), 64) if type(metadata) is dict else ""
    identity = _identity(waba_id, number, "errors", payload)
    return HealthSignal(
        "errors", title[:200], waba_id, number, display, "", "", "", code, None, payload, identity
    )


def _event(value: Mapping[str, Any]) -> str:
    for key in ("event", "decision", "new_quality_score", "new_category"):
        if found := _word(value.get(key)):
            return found
    alert = value.get("alert_info")
    return _word((alert if type(alert) is dict else value).get("alert_type"))


def _word(value: Any) -> str:
    """Names and ids: template ids are numbers in webhooks and text in the REST answers."""
    return value[:512] if type(value) is str else str(value) if type(value) is int else ""


def _identity(*parts: str) -> bytes:
    return hashlib.sha256("\x1f".join(parts).encode()).digest()
