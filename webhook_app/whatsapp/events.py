"""The items of a delivery as frozen values, used by every other package.

`timestamp` is Meta's time in Unix seconds, None if invalid; the store converts it to aware UTC.
Text is already scrubbed (no NUL, no lone surrogates), so the database accepts it.
"""

from msgspec import Struct

NO_CODE = -1
OTHER_CODE = -2
"""The error_code stored for a status without a valid code; 0 is a real code (AuthException)."""

DELIVERY_STATUSES = ("sent", "delivered", "read", "played", "failed")


class StatusEvent(Struct, frozen=True, gc=False):
    """One status of one message. An empty string means absent."""

    message_id: str
    phone_number_id: str
    waba_id: str
    status: str
    timestamp: int | None
    raw_timestamp: str
    contact: str
    """The contact key (contacts.contact_key); empty for a group without participant."""
    recipient: str
    """The digits as Meta sent them, before normalisation."""
    user_id: str
    """The business-scoped user id (BSUID)."""
    parent_user_id: str
    participant: str
    """Group messages only: the member this status is about."""
    group: bool
    template: str
    campaign: str
    country: str
    """ISO 3166 alpha-2, from the number or the BSUID's prefix."""
    category: str
    pricing: int
    """The number of what Meta says about the price (receiving/pricing.py)."""
    callback_data: str
    error_code: int
    error_title: str
    error_details: str
    errors_json: str
    """All of errors[] as received, as JSON text, or how long it is; empty if there was none."""


class InboundMessage(Struct, frozen=True, gc=False):
    """An inbound message or call: sender and time. Of its text, only what it says about messages is kept."""

    message_id: str
    phone_number_id: str
    waba_id: str
    timestamp: int | None
    contact: str
    kind: str
    keyword: str
    """'stop', 'stop_marketing', 'ambiguous', 'start' or '' (keywords.py)."""
    opens_window: bool


class Preference(Struct, frozen=True, gc=False):
    """A person's request to Meta to stop or resume marketing from this business."""

    phone_number_id: str
    waba_id: str
    timestamp: int | None
    contact: str
    category: str
    value: str
    raw_timestamp: str
    """Distinguishes a retry from a later request if the time is invalid."""


class NumberChange(Struct, frozen=True, gc=False):
    """A change of a person's key: a new phone number or a new BSUID."""

    message_id: str
    phone_number_id: str
    waba_id: str
    timestamp: int | None
    old_contact: str
    new_contact: str


class Handover(Struct, frozen=True, gc=False):
    """Meta gave a conversation to another owner: `is_ours` says whether to this app."""

    phone_number_id: str
    waba_id: str
    timestamp: int | None
    contact: str
    raw_timestamp: str
    """As in Preference."""
    is_ours: bool
    owner: str
    """The role of the new owner, such as ai_agent or escalation; empty if Meta does not name it."""


class HealthChange(Struct, frozen=True, gc=False):
    """One change that a signal reports about its subject (see health_changes)."""

    subject: str
    """account, number or template."""
    subject_id: str
    """The WABA id, `+` and the digits of the number (Meta's id if only that is known), or the template id."""
    aspect: str
    value: str
    detail_json: str


class HealthSignal(Struct, frozen=True, gc=False):
    """A webhook about an account, number or template, or an error that belongs to no message."""

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
    """A signed item that could not be parsed, kept as JSON text, or as the redacted body if that is not JSON.

    `document_json` is a webhook with only this item, which a later version can parse. Many alike items of a body are
    one Unreadable: `item_json` is then their list. Of a large item only the webhook is kept, as `body`.
    """

    reason: str
    field: str
    waba_id: str
    item_json: str
    identity: bytes
    body: bytes = b""
    document_json: str = ""
    items: int = 1


class Parsed(Struct, gc=False):
    """All items of one delivery. `received` counts them; each is in exactly one list or ignored."""

    statuses: list[StatusEvent] = []
    inbound: list[InboundMessage] = []
    preferences: list[Preference] = []
    number_changes: list[NumberChange] = []
    handovers: list[Handover] = []
    signals: list[HealthSignal] = []
    unreadable: list[Unreadable] = []
    ignored: dict[str, int] = {}
    links: dict[tuple[str, str], int | None] = {}
    """(user_id, contact) pairs of one person's keys, other than those in statuses, with the earliest time of an item
    that shows them; None: no item has a valid time."""
    numbers: set[tuple[str, str, str]] = set()
    """(phone_number_id, display number as written, WABA id) of the business numbers in the delivery."""

    @property
    def received(self) -> int:
        return (
            len(self.statuses)
            + len(self.inbound)
            + len(self.preferences)
            + len(self.number_changes)
            + len(self.handovers)
            + len(self.signals)
            + (sum(unreadable.items for unreadable in self.unreadable) if self.unreadable else 0)
            + (sum(self.ignored.values()) if self.ignored else 0)
        )
