"""Parses `messaging_handovers`: Meta passed a conversation to this app, or took it from this app for another one.

Meta sends `control_passed` to the new owner and `control_taken` to the previous one; a release sends no webhook.
The text that the other app attached (`metadata`) is not read. From Meta's reference of 2026-09-22, and webhooks of
September 2026.
"""

from collections.abc import Mapping
from typing import Any

from webhook_app.whatsapp.events import Handover
from webhook_app.whatsapp.people.contacts import contact_key
from webhook_app.whatsapp.people.identity import Link, links_of
from webhook_app.whatsapp.receiving.statuses import bounded_text, digits, read_timestamp

FIELD = "messaging_handovers"
PASSED, TAKEN = "control_passed", "control_taken"

_ROLES = ("new_owner_role", "new_owner_app_role")  # the second in older versions
_AI_AGENT = "ai_agent"
_SAME_ROLE = {"meta_ai": _AI_AGENT, "meta_business_agent": _AI_AGENT}


def read_handover(value: Mapping[str, Any], waba_id: str, number: str) -> tuple[Handover, tuple[Link, ...]]:
    """Parse the value of a change: the handover, and the links between the keys of its person that it shows.

    Raises ValueError if the kind, the business number or the person is missing.
    """
    kind = _kind(value)
    if not number:
        raise ValueError("no phone_number_id")
    person = value.get("sender")
    sender = person if type(person) is dict else {}
    phone = digits(sender.get("wa_id")) or digits(sender.get("phone_number"))
    user_id = bounded_text(sender.get("user_id"), 160)
    contact = contact_key(phone, user_id)
    if not contact:
        raise ValueError("neither phone_number nor user_id")
    raw = value.get("timestamp")
    at = read_timestamp(raw)
    owner = _owner(value.get(kind))
    event = Handover(number, waba_id, at, contact, str(raw)[:64], is_ours=kind == PASSED, owner=owner)
    return event, links_of(phone, user_id, bounded_text(sender.get("parent_user_id"), 160))


def _kind(value: Mapping[str, Any]) -> str:
    """Return the kind. Meta's oldest sample has no `type`, but the object that is named after it."""
    given = value.get("type")
    named = [kind for kind in (PASSED, TAKEN) if value.get(kind) is not None] if given is None else [given]
    shown = [kind for kind in named if kind in (PASSED, TAKEN)]
    if len(shown) != 1:
        raise ValueError(f"unknown handover {str(given)[:40]!r}")
    return shown[0]


def _owner(details: Any) -> str:
    """Return the role of the new owner under its present name; empty if none is given."""
    given = details if type(details) is dict else {}
    roles = (bounded_text(given.get(name), 40).strip().lower()[:40] for name in _ROLES)
    role = next(filter(None, roles), "")
    return _SAME_ROLE.get(role, role)
