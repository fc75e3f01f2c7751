"""When a sender can know of an error: before the send, from the answer to the send, or from a webhook after it."""

from typing import Literal

from msgspec import Struct

Moment = Literal["before", "at", "after"]


class KnownWhen(Struct, frozen=True):
    """The first moment at which a code can be known, and how."""

    code: int
    moment: Moment
    how: str


_BEFORE = {
    100: "form of the message, a wrong id in the address, a user id in `to`",
    131008: "an empty value, or none for a button",
    131009: "buttons, lists and footers over their limits",
    131021: "the recipient is the business number",
    131031: "the account or number is disabled or restricted, as read within the hour",
    131047: "no message of the person within 24 hours is known; likely, as a webhook may be missing",
    131058: "`hello_world` from a number that is live",
    131062: "a code template for a user id",
    131063: "marketing by /messages is switched off for the account",
    131070: "a webhook gave the conversation to another app; likely, as its release is not reported",
    132000: "number of parameters, per component",
    132001: "no such template or translation (likely: it may be new), or one that is not approved",
    132005: "text with its values over 1024 characters",
    132012: "kind of header, names of parameters",
    132015: "the template is paused",
    132016: "the template is disabled",
    132018: "line breaks, tabs or many spaces in a value",
    133010: "the number is not registered",
}
_WARNED = {
    190: "the token ends soon; a sender may use another token",
    131026: "a number without a country code, or one that failed before; whether a person uses WhatsApp is unknown",
    131030: "a test number; its list of recipients cannot be read",
    131048: "the messaging limit is nearly used; other senders' share is unknown",
    131049: "marketing to +1; Meta's limit for each person is unknown",
    131053: "type and size of a file, if the request names them; links are not opened",
}
_AT = {
    10: "permission of the token",
    200: "permission of the token",
    131005: "permission, or a missing payment method",
    131037: "display name not approved",
    131056: "too many messages to one person",
    131057: "the account is being upgraded",
    130429: "too many messages a second",
    137000: "the person's identity changed",
}
_AFTER = {
    130403: "the business has blocked the person",
    130472: "the person is in an experiment of Meta",
    130497: "the country is restricted",
    131042: "payment",
    131050: "the person stopped marketing, unless a webhook said so before: then the check knows",
    131065: "the maximum price is not available in the country",
}

MOMENTS = (
    *(KnownWhen(code, "before", how) for code, how in _BEFORE.items()),
    *(KnownWhen(code, "after", f"preflight warns: {how}") for code, how in _WARNED.items()),
    *(KnownWhen(code, "at", how) for code, how in _AT.items()),
    *(KnownWhen(code, "after", how) for code, how in _AFTER.items()),
)
"""What /v1/preflight predicts, what it warns of, and what only Meta knows."""
