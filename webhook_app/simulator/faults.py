"""The errors[] of failed statuses, in Meta's words, and the share of messages that fail with each code.

This table is separate from the receiver's catalogue, so that one mistake cannot pass unnoticed in both. A test
compares their titles.
"""

from typing import Any

from msgspec import Struct

from webhook_app.whatsapp.errors.catalogue import explain

_HREF = "/documentation/business-messaging/whatsapp/support/error-codes"

UNDELIVERABLE = 131026
TEMPLATE_PAUSED = 132015
USER_STOPPED = 131050

_TEXTS: dict[int, tuple[str, str]] = {
    130472: (
        "User's number is part of an experiment",
        "The message was not sent because the number is in an experiment group.",
    ),
    131000: ("Something went wrong", "The message failed for an unknown reason."),
    131016: ("Service unavailable", "A service is temporarily unavailable."),
    131026: (
        "Message Undeliverable",
        "Unable to deliver the message. The recipient may have no WhatsApp or an old version.",
    ),
    131047: (
        "Re-engagement message",
        "More than 24 hours have passed since this recipient last wrote to the sender number.",
    ),
    131049: ("Meta chose not to deliver.", "Not delivered because of per-user marketing limits."),
    131050: (
        "User stopped marketing messages",
        "The recipient chose to stop marketing messages from this business.",
    ),
    131053: ("Media upload error", "The link of the header image answered with 404."),
    132015: ("Template is Paused", "The template was paused for low quality, held messages are dropped."),
    135000: ("Generic user error", "The message could not be processed."),
}
CODES = frozenset(_TEXTS)


class SimulatedFault(Struct, frozen=True):
    """One code and the share of messages that fail with it. Empty `categories` means all messages."""

    code: int
    share: float
    categories: tuple[str, ...] = ()


_MARKETING = ("marketing",)
BACKGROUND = (  # about 1 % of all messages, together with the unreachable people of an audience
    SimulatedFault(131049, 0.012, _MARKETING),
    SimulatedFault(130472, 0.002, _MARKETING),
    SimulatedFault(131047, 0.004, ("service",)),
    SimulatedFault(131053, 0.0006),
    SimulatedFault(131000, 0.0014),
)
PROVIDER_DOWN = (
    SimulatedFault(131000, 0.40),
    SimulatedFault(131016, 0.25),
    SimulatedFault(131026, 0.20),
    SimulatedFault(135000, 0.15),
)


def error_object(code: int) -> dict[str, Any]:
    """Return one element of errors[] as Meta writes it since 2025; codes without a text here have the catalogue's."""
    entry = explain(code)
    title, details = _TEXTS.get(code) or (entry.title, entry.summary)
    return {
        "code": code,
        "title": title,
        "message": title,
        "error_data": {"details": details},
        "href": _HREF,
    }


def draw_fault(roll: float, faults: tuple[SimulatedFault, ...], category: str) -> int | None:
    """Return the code with which a message of this category fails for a roll in [0, 1), or None."""
    for fault in faults:
        if fault.categories and category not in fault.categories:
            continue
        if roll < fault.share:
            return fault.code
        roll -= fault.share
    return None
