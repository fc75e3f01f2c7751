"""Parses one of Meta's status objects into a StatusEvent. Hot path: called once per status. No decisions.

`read_status` raises ValueError for invalid items and returns a reason for ignored ones.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from webhook_app.whatsapp.events import DELIVERY_STATUSES, NO_CODE, StatusEvent
from webhook_app.whatsapp.json_text import kept_if_short
from webhook_app.whatsapp.normal_form import normal_form, without_long_runs
from webhook_app.whatsapp.people.contacts import contact_key, country_of, user_key
from webhook_app.whatsapp.receiving.callback_data import template_and_campaign
from webhook_app.whatsapp.receiving.pricing import pricing_number

_KNOWN = frozenset(DELIVERY_STATUSES)
_CALL = frozenset(("RINGING", "ACCEPTED", "REJECTED"))
_LEGACY = frozenset(("deleted", "warning"))  # removed from Meta's pages, still in fixtures of 2026
_encode = msgspec.json.encode

_EARLIEST, _LATEST = 1_000_000_000, 4_102_444_800  # 2001 to 2100 in seconds, which excludes milliseconds

_MAX_DIGITS = 160
_MAX_CACHED = 200  # characters of all texts of an entry together; Meta's are ASCII and below 100
P = ParamSpec("P")
R = TypeVar("R")

MAX_ID_BYTES = 512
MAX_ERRORS = 8 * 1024
"""Bytes of error objects as JSON that are kept; Meta's are below one kilobyte."""
CALL_ID = "wacid."
"""The beginning of the ids of calls."""


def read_status(item: Mapping[str, Any], waba_id: str, number: str) -> StatusEvent | str:
    """Parse one element of `statuses[]`: an event, or the reason for ignoring it."""
    get = item.get
    status = get("status")
    if other := _other_status(item):
        return other
    if status not in _KNOWN:
        if status in _LEGACY:
            return f"status {status}"
        raise ValueError(f"unknown status {str(status)[:40]!r}")
    message_id = read_message_id(item)
    raw = get("timestamp")
    code, title, details, errors = read_errors(get("errors")) if status == "failed" else (NO_CODE, "", "", "")
    callback = get("biz_opaque_callback_data")
    callback = callback[:1024] if type(callback) is str else ""
    template, campaign = read_callback(callback) if callback else ("", "")
    template = template or digits(get("template_id"))
    group = get("recipient_type") == "group"
    recipient, user_id, parent, participant = _group_recipient(item) if group else _recipient(item)
    contact, country, user_id, parent = keys_and_country(recipient, user_id, parent)
    return StatusEvent(
        message_id,
        number,
        waba_id,
        status,
        read_timestamp(raw),
        str(raw)[:64] or "none",
        contact,
        recipient,
        user_id,
        parent,
        participant,
        group,
        template,
        campaign,
        country,
        *_category_and_pricing(item),
        callback,
        code,
        title,
        details,
        errors,
    )


def _other_status(item: Mapping[str, Any]) -> str:
    """Return the reason for ignoring the status of a payment or a call; empty for a message. `type` may be missing."""
    kind, message_id = item.get("type"), item.get("id")
    if kind == "payment" or (
        kind is None and (type(item.get("payment")) is dict or item.get("status") == "captured")
    ):
        return "payment status"
    is_call = type(message_id) is str and message_id.startswith(CALL_ID)
    return "call status" if kind == "call" or is_call or _is_call_status(item.get("status")) else ""


def _is_call_status(status: Any) -> bool:
    return type(status) is str and status.upper() in _CALL


def cached_if_short(maxsize: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Cache the results for short ASCII arguments only: what somebody else writes must not fill the memory.

    Other characters take up to four times as much memory, in the arguments and in the result.
    """

    def decorate(work: Callable[P, R]) -> Callable[P, R]:
        cached = cast("Callable[P, R]", lru_cache(maxsize, typed=True)(work))

        @wraps(work)
        def call(*given: P.args, **named: P.kwargs) -> R:
            try:
                whole = "".join(given)  # type: ignore[arg-type]  # thrice as fast as asking each for its type
            except TypeError:
                whole = "".join(each for each in given if type(each) is str)
                if any(type(each) is int and not -(10**20) < each < 10**20 for each in given):
                    return work(*given, **named)
            is_short = len(whole) <= _MAX_CACHED and whole.isascii()
            return cached(*given, **named) if is_short else work(*given, **named)

        return call

    return decorate


def keys_and_country(recipient: str, user_id: str, parent: str) -> tuple[str, str, str, str]:
    """Return contact key, country, BSUID key and parent key. Cached: several statuses arrive per person."""
    whole = recipient + user_id + parent  # as in cached_if_short, in half the time
    find = (
        _keys_and_country if len(whole) <= _MAX_CACHED and whole.isascii() else _keys_and_country.__wrapped__
    )
    return find(recipient, user_id, parent)


@lru_cache(maxsize=65536)
def _keys_and_country(recipient: str, user_id: str, parent: str) -> tuple[str, str, str, str]:
    contact = contact_key(recipient, user_id)
    return contact, country_of(contact) if contact else "", user_key(user_id), user_key(parent)


def read_message_id(item: Mapping[str, Any]) -> str:
    """The item's id. Raises ValueError unless it fits into the indexes: the limit is in bytes."""
    found = item.get("id")
    if type(found) is not str or not 0 < len(found) <= MAX_ID_BYTES or len(found.encode()) > MAX_ID_BYTES:
        raise ValueError("the id is missing, not a string or too long")
    return found


def read_timestamp(raw: Any) -> int | None:
    """Parse Unix seconds from text or number; None if invalid or not a plausible date."""
    if type(raw) is str:
        if not (raw.isascii() and raw.isdigit() and len(raw) < 12):
            return None
        raw = int(raw)
    return raw if type(raw) is int and _EARLIEST <= raw <= _LATEST else None


def read_code(raw: Any) -> int:
    """Parse an error code from number or text; NO_CODE if invalid or too large."""
    if type(raw) is str and raw.isascii() and raw.isdigit() and len(raw) < 12:
        raw = int(raw)
    return raw if type(raw) is int and 0 <= raw < 10**12 else NO_CODE


def read_errors(errors: Any) -> tuple[int, str, str, str]:
    """Return code, title and details of the first error, and all errors as JSON text, or its length if it is long."""
    if not errors:
        return NO_CODE, "", "", ""
    first = errors[0] if type(errors) is list else errors
    if type(first) is not dict:
        return NO_CODE, "", "", _errors_json(errors)
    data = first.get("error_data")
    details = data.get("details") if type(data) is dict else first.get("details")
    title = first.get("title") or first.get("message")
    kept = _errors_json(errors)
    return read_code(first.get("code")), bounded_text(title, 500), bounded_in_normal_form(details, 4000), kept


def _errors_json(errors: Any) -> str:
    try:
        return kept_if_short(_encode(errors), MAX_ERRORS)
    except (OverflowError, TypeError, ValueError, msgspec.MsgspecError) as fault:
        raise ValueError("a number is out of range") from fault


def bounded_text(value: Any, limit: int) -> str:
    return value[:limit] if type(value) is str else ""


def bounded_in_normal_form(value: Any, limit: int) -> str:
    """The beginning of a text that has at most so many characters in NFKC too: a search for a person reads that."""
    text = without_long_runs(bounded_text(value, limit))[:limit]
    while not text.isascii() and (length := len(normal_form(text))) > limit:
        text = text[: len(text) * limit // length]
    return text


def digits(value: Any) -> str:
    """Return phone digits or an id as text. Meta sends strings; fixtures also numbers and a leading plus."""
    if type(value) is str:
        return (value if value.isdigit() else value.lstrip("+").replace(" ", ""))[:_MAX_DIGITS]
    return str(value)[:32] if type(value) is int else ""


def _recipient(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    get = item.get
    parent = get("recipient_parent_user_id") or get(
        "parent_recipient_user_id"
    )  # renamed by Meta on 2026-05-05
    return (
        digits(get("recipient_id")),
        bounded_text(get("recipient_user_id"), 160),
        bounded_text(parent, 160),
        "",
    )


def _group_recipient(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return the participant, if given, as the person; `recipient_id` is the group."""
    get = item.get
    phone = digits(get("recipient_participant_id") or get("participant_recipient_id"))  # Meta uses both names
    user_id = bounded_text(get("recipient_participant_user_id"), 160)
    parent = bounded_text(get("recipient_participant_parent_user_id"), 160)
    return phone, user_id, parent, phone[:160] or user_id


def _category_and_pricing(item: Mapping[str, Any]) -> tuple[str, int]:
    pricing = item.get("pricing")
    conversation = item.get("conversation")
    if type(pricing) is not dict and type(conversation) is dict:
        pricing = conversation.get("pricing")
    number = 0
    if type(pricing) is dict:
        get = pricing.get
        number = pricing_number(get("billable"), get("pricing_model"), get("type"))
        if type(get("category")) is str:
            return str(pricing["category"])[:64].replace("-", "_"), number
    origin = conversation.get("origin") if type(conversation) is dict else None
    return bounded_text(origin.get("type"), 64) if type(origin) is dict else "", number


@cached_if_short(maxsize=8192)
def read_callback(text: str) -> tuple[str, str]:
    """Return template and campaign of `biz_opaque_callback_data`."""
    return template_and_campaign(text)
