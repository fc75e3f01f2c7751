"""Parses webhooks about accounts, numbers and templates, and errors outside messages, into HealthSignals."""

import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from webhook_app.whatsapp.accounts.health_changes import MAX_ID_BYTES, MAX_WORD_BYTES, changes_of
from webhook_app.whatsapp.events import NO_CODE, HealthSignal
from webhook_app.whatsapp.json_text import bounded_bytes, canonical, compact, kept_if_short, scrub
from webhook_app.whatsapp.receiving.statuses import bounded_text, read_errors, read_timestamp

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
        "message_template_components_update",
        "template_category_update",
        "template_correct_category_detection",
        "security",
        "flows",
        "account_settings_update",
        "business_username_updates",
        "payment_configuration_update",
    )
)
_MAX_NAME_BYTES, _MAX_LANGUAGE_BYTES = 512, 64  # Meta: 512 characters of a-z, 0-9 and _; codes such as zh_CN
MAX_PAYLOAD = 8 * 1024
"""Bytes of a signal as JSON that are kept; Meta's samples have fewer than 1 000."""
_TEMPLATE_FIELDS = ("message_template_status_update", "message_template_quality_update")


def read_signal(entry: Mapping[str, Any], field: str, value: Mapping[str, Any], waba_id: str) -> HealthSignal:
    """Parse one account, number or template change. Meta has sent quality scores under the status field's name."""
    if field in _TEMPLATE_FIELDS:
        field = _TEMPLATE_FIELDS[value.get("new_quality_score") is not None]
    info = value.get("waba_info")
    if type(info) is dict:  # entry.id is then the business portfolio, not the WABA
        waba_id = _word(info.get("waba_id"), MAX_ID_BYTES) or waba_id
    value = scrub(value)
    payload = compact(value)
    signal = HealthSignal(
        field,
        _event(value),
        waba_id,
        _word(value.get("entity_id"), MAX_ID_BYTES) if value.get("entity_type") == "PHONE_NUMBER" else "",
        _word(value.get("display_phone_number") or value.get("phone_number"), MAX_ID_BYTES),
        _word(value.get("message_template_id"), MAX_ID_BYTES),
        _word(value.get("message_template_name"), _MAX_NAME_BYTES),
        _word(value.get("message_template_language"), _MAX_LANGUAGE_BYTES).replace("-", "_"),
        NO_CODE,
        read_timestamp(entry.get("time")),
        kept_if_short(payload, MAX_PAYLOAD),
        _identity(waba_id, _time(entry), field, _to_compare(value, payload)),
    )
    return replace(signal, changes=changes_of(signal, value))


def read_error(
    entry: Mapping[str, Any], value: Mapping[str, Any], item: Mapping[str, Any], waba_id: str, number: str
) -> HealthSignal:
    """Parse one element of a value's `errors[]`, which is about the app, account or system, not a message.

    It has no timestamp. The entry's time is used, and distinguishes it from the same error at another time.
    """
    code, title, _, _ = read_errors([item])
    item = scrub(item)
    payload = compact(item)
    metadata = value.get("metadata")
    display = bounded_text(metadata.get("display_phone_number"), 64) if type(metadata) is dict else ""
    identity = _identity(waba_id, number, _time(entry), "errors", _to_compare(item, payload))
    occurred = read_timestamp(entry.get("time"))
    kept = kept_if_short(payload, MAX_PAYLOAD)
    return HealthSignal(
        "errors", title[:200], waba_id, number, display, "", "", "", code, occurred, kept, identity
    )


def with_body_digest(signal: HealthSignal, body_digest: bytes) -> HealthSignal:
    """Add the delivery's digest to the identity of a signal without a timestamp.

    A retry repeats the whole body, so it is a duplicate; an equal signal in another delivery is a new one.
    """
    return replace(signal, identity=hashlib.sha256(signal.identity + body_digest).digest())


def _to_compare(value: Any, payload: bytes) -> str:
    return canonical(value) if len(payload) <= MAX_PAYLOAD else payload.decode()


def _event(value: Mapping[str, Any]) -> str:
    for key in ("event", "decision", "new_quality_score", "new_category", "correct_category", "status"):
        if found := _word(value.get(key), MAX_WORD_BYTES):
            return found
    alert = value.get("alert_info")
    return _word((alert if type(alert) is dict else value).get("alert_type"), MAX_WORD_BYTES)


def _time(entry: Mapping[str, Any]) -> str:
    return str(entry.get("time"))[:64]


def _word(value: Any, most: int) -> str:
    """Return a name or id as text. Template ids are numbers in webhooks, but text in API responses."""
    return bounded_bytes(str(value), most) if type(value) in (str, int) else ""


def _identity(*parts: str) -> bytes:
    return hashlib.sha256("\x1f".join(parts).encode()).digest()
