"""Normalises health signals about accounts, numbers and templates to changes: subject, aspect, value.

Meta has several spellings for one fact, gives limits as number or tier, and reports improvements under negative
event names. An unknown event becomes the aspect `other`. Source: Meta's webhook reference, September 2026.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from webhook_app.whatsapp.events import HealthChange, HealthSignal
from webhook_app.whatsapp.json_text import bounded_bytes, canonical
from webhook_app.whatsapp.people.contacts import phone_key

Value = Mapping[str, Any]
Changes = Iterable[HealthChange]

ACCOUNT, NUMBER, TEMPLATE = "account", "number", "template"
UNLIMITED = -1

# Bytes: subject, aspect and value are the key of a change, and an entry of an index holds 2704.
MAX_ID_BYTES, MAX_WORD_BYTES = 256, 400
_MAX_TEXT, _MAX_ITEMS, _MAX_DETAIL = 500, 20, 8_000
"""Characters of a text, items of a list, and characters of the whole detail as JSON, of up to six per letter."""
_MAX_SUBJECT_BYTES = 600  # name and language of a template without an id


def changes_of(signal: HealthSignal, value: Value) -> tuple[HealthChange, ...]:
    """Return the changes in `value`, from which `signal` was parsed. Skips changes without subject or value."""
    read = _READERS.get(signal.field)
    found = read(signal, value) if read else ()
    return tuple(change for change in found if change.subject_id and change.value)


def number_subject(display_phone_number: str, phone_number_id: str) -> str:
    """Return the id of a business number: `+` and its digits, or Meta's id if the signal has no number."""
    digits = phone_key(display_phone_number)
    return f"+{digits}" if digits else phone_number_id


def tier(value: Any) -> tuple[str, int | None]:
    """Normalise a messaging limit to its tier and conversations per day (-1: unlimited, None: not given)."""
    if type(value) is str and value.lstrip("-").isdecimal():
        value = int(value)
    if type(value) is int:
        name = next((name for name, limit in _TIERS.items() if limit == value), f"TIER_{value}")
        return (name, value) if value >= UNLIMITED else ("", None)
    if type(value) is not str or not value:
        return "", None
    name = value.upper().removeprefix("TIER_")
    if name == "NOT_SET":
        return "", None
    return f"TIER_{name}", _TIERS.get(f"TIER_{name}")


_TIERS = {
    "TIER_50": 50,
    "TIER_250": 250,
    "TIER_1K": 1_000,
    "TIER_2K": 2_000,
    "TIER_10K": 10_000,
    "TIER_100K": 100_000,
    "TIER_UNLIMITED": UNLIMITED,
}

# ── account_update ───────────────────────────────────────────────────────────────────────────────────────

_BAN_STATES = {"SCHEDULE_FOR_DISABLE": "DISABLE_SCHEDULED", "DISABLE": "DISABLED", "REINSTATE": "ACTIVE"}
_PLAIN_EVENTS = {
    "ACCOUNT_DELETED": ("status", "DELETED"),
    "ACCOUNT_OFFBOARDED": ("status", "OFFBOARDED"),
    "ACCOUNT_RECONNECTED": ("status", "ACTIVE"),
    "VERIFIED_ACCOUNT": ("verification", "VERIFIED"),
    "AD_ACCOUNT_LINKED": ("ad_account", "LINKED"),
    "MM_LITE_TERMS_SIGNED": ("marketing_messages_terms", "SIGNED"),
    "PARTNER_ADDED": ("partner", "ADDED"),
    "PARTNER_REMOVED": ("partner", "REMOVED"),
    "PARTNER_APP_INSTALLED": ("partner_app", "INSTALLED"),
    "PARTNER_APP_UNINSTALLED": ("partner_app", "UNINSTALLED"),
    "AUTH_INTL_PRICE_ELIGIBILITY_UPDATE": ("international_authentication_rate", "ELIGIBLE"),
}


def _account_update(signal: HealthSignal, value: Value) -> Changes:
    subject = _account_or_number(signal)
    event = signal.event
    if event == "DISABLED_UPDATE":
        ban = _object_at(value, "ban_info")
        state = _text_at(ban, "waba_ban_state")
        yield _change(subject, "status", _BAN_STATES.get(state, state), at=ban.get("waba_ban_date"))
    elif event == "ACCOUNT_RESTRICTION":
        yield from _restrictions(subject, value)
    elif event == "ACCOUNT_VIOLATION":
        info = _object_at(value, "violation_info")
        kind = _text_at(info, "violation_type") or "UNKNOWN"
        yield _change(subject, "violation", kind, remediation=info.get("remediation"))
    elif event == "PARTNER_CLIENT_CERTIFICATION_STATUS_UPDATE":
        info = _object_at(value, "partner_client_certification_info")
        reasons = info.get("rejection_reasons")
        yield _change(subject, "partner_certification", _text_at(info, "status"), reasons=reasons)
    elif event == "BUSINESS_PRIMARY_LOCATION_COUNTRY_UPDATE":
        yield _change(subject, "country", _text_at(value, "country"))
    elif event == "VOLUME_BASED_PRICING_TIER_UPDATE":
        info = _object_at(value, "volume_tier_info")
        place = " ".join(filter(None, (_text_at(info, "pricing_category").lower(), _text_at(info, "region"))))
        aspect, month = f"volume_tier {place}".strip(), info.get("effective_month")
        yield _change(subject, aspect, _text_at(info, "tier"), effective_month=month)
    elif event in _PLAIN_EVENTS:
        more = _object_at(value, "disconnection_info") or _object_at(value, "waba_info")
        yield _change(subject, *_PLAIN_EVENTS[event], **{k: v for k, v in more.items() if k != "waba_id"})
    else:
        yield _change(subject, "other", event)


def _restrictions(subject: tuple[str, str], value: Value) -> Changes:
    """Yield each restriction as an aspect of its own, because they end at different times."""
    listed = value.get("restriction_info")
    for info in listed[:_MAX_ITEMS] if type(listed) is list else [listed]:
        restriction = info if type(info) is dict else {}
        kind = _text_at(restriction, "restriction_type").removeprefix("RESTRICTED_").lower() or "unknown"
        detail = {"until": restriction.get("expiration"), "remediation": restriction.get("remediation")}
        yield _change(subject, f"restriction {kind}", "RESTRICTED", **detail)


# ── Other fields ─────────────────────────────────────────────────────────────────────────────────────────


def _account_alerts(signal: HealthSignal, value: Value) -> Changes:
    alert = _object_at(value, "alert_info") or value  # flat in older versions
    is_number = _text_at(value, "entity_type") == "PHONE_NUMBER"
    subject = (NUMBER, _text_at(value, "entity_id")) if is_number else (ACCOUNT, signal.waba_id)
    detail = {"severity": alert.get("alert_severity"), "description": alert.get("alert_description")}
    state = _text_at(alert, "alert_status") or "ACTIVE"
    yield _change(subject, f"alert {_text_at(alert, 'alert_type').lower()}".strip(), state, **detail)


def _account_review(signal: HealthSignal, value: Value) -> Changes:
    yield _change((ACCOUNT, signal.waba_id), "review", _text_at(value, "decision"))


def _number_quality(signal: HealthSignal, value: Value) -> Changes:
    number = NUMBER, number_subject(signal.display_phone_number, signal.phone_number_id)
    if signal.event in ("FLAGGED", "UNFLAGGED"):  # until October 2025
        yield _change(number, "quality", signal.event)
    elif signal.event == "ONBOARDING":
        yield _change(number, "registration", "ONBOARDED")
    elif signal.event == "THROUGHPUT_UPGRADE":
        yield _change(number, "throughput", "HIGH")
    elif signal.event not in ("UPGRADE", "DOWNGRADE"):
        yield _change(number, "other", signal.event)
    shared, own = value.get("max_daily_conversations_per_business"), value.get("current_limit")
    yield _tier(number, own if shared is None else shared, before=value.get("old_limit"))
    if shared is not None:  # the limit belongs to the business since October 2025
        yield _tier((ACCOUNT, signal.waba_id), shared)


def _number_name(signal: HealthSignal, value: Value) -> Changes:
    number = NUMBER, number_subject(signal.display_phone_number, signal.phone_number_id)
    detail = {"requested": value.get("requested_verified_name"), "reason": value.get("rejection_reason")}
    decision = _text_at(value, "decision")
    yield _change(number, "name_review", decision, **detail)
    if decision == "APPROVED":
        yield _change(number, "name", _text_at(value, "requested_verified_name"))


def _capabilities(signal: HealthSignal, value: Value) -> Changes:
    account = ACCOUNT, signal.waba_id
    yield _tier(account, value.get("max_daily_conversations_per_business"))
    yield _tier(account, value.get("max_daily_conversation_per_phone"), aspect="tier_per_number")
    for key, aspect in (
        ("max_phone_numbers_per_business", "numbers_per_business"),
        ("max_phone_numbers_per_waba", "numbers_per_account"),
    ):
        yield _change(account, aspect, _text_at(value, key))


def _security(signal: HealthSignal, value: Value) -> Changes:
    number = NUMBER, number_subject(signal.display_phone_number, signal.phone_number_id)
    event = signal.event.replace("PIN_REQUEST_SUCCESS", "PIN_RESET_SUCCESS")  # Meta's page has both
    yield _change(number, "two_step_pin", event.removeprefix("PIN_"), requester=value.get("requester"))


_TEMPLATE_STATES = {"REINSTATED": "APPROVED", "UNARCHIVED": "APPROVED", "UNPAUSED": "APPROVED"}


def _template_status(signal: HealthSignal, value: Value) -> Changes:
    template = TEMPLATE, _template_id(signal)
    other, rejection = _object_at(value, "other_info"), _object_at(value, "rejection_info")
    title = _text_at(other, "title")
    state = "APPROVED" if title == "UNPAUSE" else _TEMPLATE_STATES.get(signal.event, signal.event)
    reason = _text_at(value, "reason")
    detail = {
        "event": signal.event if signal.event != state else None,
        "reason": reason if reason != "NONE" else None,
        "title": title,
        "description": other.get("description") or rejection.get("reason"),
        "recommendation": rejection.get("recommendation"),
        "disable_date": _object_at(value, "disable_info").get("disable_date"),
    }
    yield _change(template, "status", state, **detail)
    yield _change(template, "category", _text_at(value, "message_template_category"))


def _template_quality(signal: HealthSignal, value: Value) -> Changes:
    template = TEMPLATE, _template_id(signal)
    yield _change(
        template, "quality", _text_at(value, "new_quality_score"), before=value.get("previous_quality_score")
    )


def _template_category(signal: HealthSignal, value: Value) -> Changes:
    """Read `new_category`, which is the current one, and `correct_category`, which is announced."""
    template = TEMPLATE, _template_id(signal)
    yield _change(
        template, "category", _text_at(value, "new_category"), before=value.get("previous_category")
    )
    announced = _text_at(value, "correct_category")
    yield _change(
        template, "category_to_come", announced or "NONE", at=value.get("category_update_timestamp")
    )


def _template_components(signal: HealthSignal, value: Value) -> Changes:
    parts = ("title", "element", "footer", "buttons")
    has = [name for name in parts if value.get(f"message_template_{name}")]
    yield _change((TEMPLATE, _template_id(signal)), "components", "EDITED", has=has)


def _template_detected_category(signal: HealthSignal, value: Value) -> Changes:
    """Read the category that Meta considers right. SDKs disagree about the keys; Meta documents none (August 2026)."""
    present = _text_at(value, "category") or _text_at(value, "current_category")
    right = _text_at(value, "correct_category") or _text_at(value, "suggested_category")
    announced = right if right != present else "NONE"
    yield _change((TEMPLATE, _template_id(signal)), "category_to_come", announced, before=present)


# ── Flows, settings, names ───────────────────────────────────────────────────────────────────────────────

_ALERT_STATES = {"ACTIVATED": "ACTIVE", "DEACTIVATED": "RESOLVED"}


def _flow(signal: HealthSignal, value: Value) -> Changes:
    """Read a Flow's status, an alert about its endpoint or clients, or the warning that its version expires."""
    account, flow = (ACCOUNT, signal.waba_id), _text_at(value, "flow_id")
    if signal.event == "FLOW_STATUS_CHANGE":
        state, before = _text_at(value, "new_status"), _text_at(value, "old_status")
        yield _change(account, f"flow_status {flow}", state, before=before, message=value.get("message"))
    elif signal.event == "FLOW_VERSION_EXPIRY_WARNING":
        yield _change(account, f"flow_version {flow}", "EXPIRES", message=value.get("warning"))
    elif signal.event:
        state = _text_at(value, "alert_state")
        aspect = f"flow_alert {flow} {signal.event.lower()}"
        detail = {name: value.get(name) for name in ("message", "threshold")}
        yield _change(account, aspect, _ALERT_STATES.get(state, state), **detail)


def _settings(_signal: HealthSignal, value: Value) -> Changes:
    settings = _object_at(value, "phone_number_settings")
    calling = _text_at(_object_at(settings, "calling"), "status")
    yield _change((NUMBER, _text_at(settings, "phone_number_id")), "calling", calling)


def _username(signal: HealthSignal, value: Value) -> Changes:
    number = NUMBER, number_subject(signal.display_phone_number, signal.phone_number_id)
    yield _change(number, "username", _text_at(value, "status").upper(), username=value.get("username"))


def _payment_configuration(signal: HealthSignal, value: Value) -> Changes:
    aspect = f"payment_configuration {_text_at(value, 'configuration_name')}".strip()
    state = _text_at(value, "status").upper().replace(" ", "_")
    yield _change((ACCOUNT, signal.waba_id), aspect, state, provider=value.get("provider_name"))


_READERS: dict[str, Callable[[HealthSignal, Value], Changes]] = {
    "account_update": _account_update,
    "account_alerts": _account_alerts,
    "account_review_update": _account_review,
    "phone_number_quality_update": _number_quality,
    "phone_number_name_update": _number_name,
    "business_capability_update": _capabilities,
    "security": _security,
    "message_template_status_update": _template_status,
    "message_template_quality_update": _template_quality,
    "message_template_components_update": _template_components,
    "template_category_update": _template_category,
    "template_correct_category_detection": _template_detected_category,
    "flows": _flow,
    "account_settings_update": _settings,
    "business_username_updates": _username,
    "payment_configuration_update": _payment_configuration,
}


def _account_or_number(signal: HealthSignal) -> tuple[str, str]:
    if signal.display_phone_number:
        return NUMBER, number_subject(signal.display_phone_number, signal.phone_number_id)
    return ACCOUNT, signal.waba_id


def _template_id(signal: HealthSignal) -> str:
    return signal.template_id or "/".join(filter(None, (signal.template_name, signal.template_language)))


def _tier(subject: tuple[str, str], value: Any, *, aspect: str = "tier", before: Any = None) -> HealthChange:
    name, limit = tier(value)
    return _change(subject, aspect, name, limit=limit, before=tier(before)[0])


def _change(subject: tuple[str, str], aspect: str, value: str, **detail: Any) -> HealthChange:
    return HealthChange(
        subject[0],
        bounded_bytes(subject[1], _MAX_SUBJECT_BYTES),
        bounded_bytes(aspect, MAX_WORD_BYTES),
        bounded_bytes(value, MAX_WORD_BYTES),
        canonical(_bounded_detail(detail)),
    )


def _bounded_detail(detail: Value) -> dict[str, Any]:
    """Return what is given of the detail, with long texts and lists cut. What then exceeds the limit is left out."""
    given = {key: _cut(item) for key, item in detail.items() if item is not None and item not in ("", [])}
    sizes = {key: len(canonical({key: item})) for key, item in given.items()}
    kept: dict[str, Any] = {}
    size = 0
    for key in sorted(given, key=sizes.__getitem__):
        size += sizes[key]
        if size > _MAX_DETAIL:
            break
        kept[key] = given[key]
    return kept


def _cut(value: Any, depth: int = 2) -> Any:
    if type(value) is str:
        return value if len(value) <= _MAX_TEXT else f"{value[: _MAX_TEXT - 1]}…"
    if type(value) is list and depth:
        return [_cut(item, depth - 1) for item in value[:_MAX_ITEMS]]
    if type(value) is dict and depth:
        return {_cut(key): _cut(item, depth - 1) for key, item in [*value.items()][:_MAX_ITEMS]}
    return "…" if type(value) in (list, dict) else value


def _object_at(value: Value, key: str) -> Value:
    found = value.get(key)
    return found if type(found) is dict else {}


def _text_at(value: Value, key: str) -> str:
    found = value.get(key)
    return found if type(found) is str else str(found) if type(found) is int else ""
