"""What one delivery holds, as frozen values: the vocabulary every other floor speaks.

Times are Meta's own Unix seconds (`timestamp`), None when unreadable; the store turns them into aware UTC.
Text has been cleaned (no NUL, no lone surrogate), so that the database can never refuse it.
"""

from msgspec import Struct

NO_CODE = -1
"""Stored as error_code when a status carries no readable code; 0 is a real code (AuthException)."""

DELIVERY_STATUSES = ("sent", "delivered", "read", "played", "failed")


class StatusEvent(Struct, frozen=True, gc=False):
    """One step in the life of one message. Empty strings mean absent."""

    message_id: str
    phone_number_id: str
    waba_id: str
    status: str
    timestamp: int | None
    raw_timestamp: str
    contact: str
    """The key of the person (contacts.contact_key), empty for a group without participant."""
    recipient: str
    """The digits as Meta sent them, before variants are folded."""
    user_id: str
    """The business-scoped user id (BSUID)."""
    parent_user_id: str
    participant: str
    """Group messages only: whose copy of the message this is about."""
    group: bool
    template: str
    campaign: str
    country: str
    """ISO 3166 alpha-2, from the number or the BSUID's prefix."""
    category: str
    callback_data: str
    error_code: int
    error_title: str
    error_details: str
    errors_json: str
    """The whole errors[] as received, as JSON text; empty when there was none."""


class InboundMessage(Struct, frozen=True, gc=False):
    """Somebody wrote or called: who and when, never what, except a STOP or START keyword."""

    message_id: str
    phone_number_id: str
    waba_id: str
    timestamp: int | None
    contact: str
    kind: str
    keyword: str
    """'stop', 'start' or ''."""
    opens_window: bool


class Preference(Struct, frozen=True, gc=False):
    """A person told Meta to stop or resume marketing from this business."""

    phone_number_id: str
    waba_id: str
    timestamp: int | None
    contact: str
    category: str
    value: str
    raw_timestamp: str
    """What tells a repeat from a later word when the time cannot be used."""


class NumberChange(Struct, frozen=True, gc=False):
    """A person goes on under another key: a new phone number, or a new BSUID."""

    message_id: str
    phone_number_id: str
    waba_id: str
    timestamp: int | None
    old_contact: str
    new_contact: str


class HealthChange(Struct, frozen=True, gc=False):
    """One thing a signal says of its subject, in our words (see health_changes)."""

    subject: str
    """account, number or template."""
    subject_id: str
    """The WABA's id, `+` and digits of the number (Meta's id where only that is known), the template's id."""
    aspect: str
    value: str
    detail_json: str


class HealthSignal(Struct, frozen=True, gc=False):
    """News about an account, number or template, or an error that belongs to no message."""

    field: str
    event: str
    waba_id: str
    phone_number_id: str
    display_phone_number: str
    template_id: str
    template_name: str
    template_language: str
    error_code: int
    timestamp: int | None
    payload_json: str
    identity: bytes
    changes: tuple[HealthChange, ...] = ()


class Unreadable(Struct, frozen=True, gc=False):
    """A signed item that was not understood, kept whole: as JSON text, or as the body when that is no JSON.

    `document_json` is a webhook that holds this item alone: what a later parser can be given.
    """

    reason: str
    field: str
    waba_id: str
    item_json: str
    identity: bytes
    body: bytes = b""
    document_json: str = ""


class Parsed(Struct, gc=False):
    """Everything found in one delivery. `received` counts items; each is in exactly one list, or ignored."""

    statuses: list[StatusEvent] = []
    inbound: list[InboundMessage] = []
    preferences: list[Preference] = []
    number_changes: list[NumberChange] = []
    signals: list[HealthSignal] = []
    unreadable: list[Unreadable] = []
    ignored: dict[str, int] = {}
    links: set[tuple[str, str]] = set()
    """(user_id, contact): keys that one webhook shows to be one person's, beside those that statuses hold."""
    numbers: set[tuple[str, str, str]] = set()
    """(phone_number_id, display number as written, WABA id): whose number was written to."""

    @property
    def received(self) -> int:
        return (
            len(self.statuses)
            + len(self.inbound)
            + len(self.preferences)
            + len(self.number_changes)
            + len(self.signals)
            + len(self.unreadable)
            + sum(self.ignored.values())
        )
