"""What a preflight knows when it judges a message, and the problems that it finds. Values only."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import Struct, field

from webhook_app.whatsapp.accounts.template_answers import TemplateFacts

FRESH_FOR = timedelta(hours=2)
"""How old a reading of the Graph API may be for a refusal. It is read every hour; an older one only warns."""


SAMPLE = "hello_world"
"""Meta's sample template, which only its test numbers can send."""


class Problem(Struct, frozen=True, kw_only=True):
    """One problem of a message. `code`: the error that it leads to, or None if Meta has none for it."""

    code: int | None
    field: str
    message: str
    fix: str
    severity: Literal["refuse", "warn"]
    """refuse: the message must not, or cannot, be sent as it is. warn: it may still be accepted."""
    expected: bool
    """Whether Meta probably answers the code to this send, now."""


def is_fresh(at: datetime | None, now: datetime) -> bool:
    """Whether a reading of that time is recent enough for a refusal."""
    return at is not None and now - at <= FRESH_FOR


def refusal(code: int, field: str, message: str, fix: str) -> Problem:
    """A problem for which Meta certainly refuses the message."""
    return Problem(code=code, field=field, message=message, fix=fix, severity="refuse", expected=True)


def forbidden(code: int | None, field: str, message: str, fix: str) -> Problem:
    """A problem for which the message must not be sent, although Meta would take it."""
    return Problem(code=code, field=field, message=message, fix=fix, severity="refuse", expected=False)


def likely(code: int, field: str, message: str, fix: str) -> Problem:
    """A problem for which Meta probably refuses the message; what is known may be out of date."""
    return Problem(code=code, field=field, message=message, fix=fix, severity="warn", expected=True)


def warning(code: int | None, field: str, message: str, fix: str) -> Problem:
    """A problem that may follow, but that Meta does not answer to the send."""
    return Problem(code=code, field=field, message=message, fix=fix, severity="warn", expected=False)


class SendingNumber(Struct, frozen=True, kw_only=True):
    """The business number that is to send. What is unknown is empty."""

    phone_number_id: str
    waba_id: str
    digits: str
    status: str = ""
    mode: str = ""
    limit: str = ""
    read_at: datetime | None = None


class KnownFault(Struct, frozen=True, kw_only=True):
    """A check of doctor about the token, the account or the number that is not ok, or an alert about their health."""

    kind: str
    subject: str
    message: str
    fix: str
    status: str = "warning"
    code: int = -1
    checked_at: datetime | None = None


class SendFacts(Struct, frozen=True, kw_only=True):
    """What is stored about the sender and its templates."""

    number: SendingNumber | None = None
    other_id: str = ""
    """What the id that was given belongs to, if not to a business number: account or app."""
    numbers_are_listed: bool = False
    """Whether the Graph API has listed numbers lately, and this one is not among them."""
    faults: Sequence[KnownFault] = ()
    limit_alert: str = ""
    """What the firing alert says about the messaging limit; empty without one."""
    templates: Mapping[str, Sequence[TemplateFacts]] = field(default_factory=dict)
    """The languages of each template that was asked for."""
    templates_read_at: datetime | None = None
    fallbacks: Sequence[tuple[str, str]] = ()
    """Name and language of templates that need no parameters and can be sent now."""


class MediaFile(Struct, frozen=True, kw_only=True):
    """What the caller says of the file of a message."""

    mime_type: str = ""
    bytes: int = 0


class RecipientFacts(Struct, frozen=True, kw_only=True):
    """What a check says of the recipient. `verdict`: send, suppressed, wait or invalid."""

    verdict: str
    why: str = ""
    code: int | None = None
    window_open: bool = False
    owned_by: str = ""
    """What is known of another app that owns the conversation; empty if none does."""
    has_opted_in: bool | None = None
    """None: opt-ins are not required."""


def an_object(value: Any) -> Mapping[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def a_word(value: Any) -> str:
    """The value in lower case if it is a string, else an empty one. To convert a list of millions takes a second."""
    return value.lower() if isinstance(value, str) else ""


def a_list(value: Any) -> Sequence[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else ()
