"""The checks of doctor: what one says, what a reading of Meta's Graph API contains, and what the settings expect."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from webhook_app.whatsapp.accounts.graph_answers import (
    AccountApp,
    AccountFacts,
    AppSubscription,
    EntityHealth,
    GraphReadError,
    NumberFacts,
    TokenFacts,
)

Status = Literal["ok", "unknown", "warning", "broken"]
ORDER: tuple[Status, ...] = ("ok", "unknown", "warning", "broken")
"""From harmless to bad. `unknown`: Meta gave no answer, so nothing is known."""
NEEDED_FIELD = "messages"
WANTED_FIELDS = frozenset((
    NEEDED_FIELD, "user_preferences", "account_update", "account_alerts", "account_review_update",
    "business_capability_update", "phone_number_quality_update", "phone_number_name_update",
    "message_template_status_update", "message_template_quality_update", "template_category_update", "security",
))  # fmt: skip
"""The webhook fields from which a state of health is read."""


class DoctorCheck(Struct, frozen=True, kw_only=True):
    """The result of one check. `code`: the error that its fault causes, or -1."""

    kind: str
    subject: str
    """token, app, account, number or service."""
    subject_id: str = ""
    name: str = ""
    status: Status = "ok"
    message: str
    fix: str = ""
    code: int = -1
    account: str = ""
    """The id of the account that it is about, or one of whose numbers."""
    is_unread: bool = False
    """Whether a part could not be read, so that what was known of it still holds."""


class Checked(Struct, frozen=True):
    """What a check is about. Its methods make the checks."""

    subject: str
    subject_id: str = ""
    name: str = ""
    account: str = ""

    def ok(self, kind: str, message: str) -> DoctorCheck:
        return self._make(kind, "ok", message, "", -1)

    def unknown(self, kind: str, message: str, fix: str = "", code: int = -1) -> DoctorCheck:
        return self._make(kind, "unknown", message, fix, code)

    def warning(self, kind: str, message: str, fix: str, code: int = -1) -> DoctorCheck:
        return self._make(kind, "warning", message, fix, code)

    def broken(self, kind: str, message: str, fix: str, code: int = -1) -> DoctorCheck:
        return self._make(kind, "broken", message, fix, code)

    def unread(self, kind: str, fault: GraphReadError) -> DoctorCheck:
        """A part that Meta did not show. 100/33: an id that it does not know, or does not show to this token."""
        said = as_sentence(fault.message)
        if (fault.code, fault.subcode) == (100, 33):
            message = f"Meta does not show this {self.subject} to the token: it is gone or not assigned."
            fix = "Assign it to the token's system user, or correct the id that your sender uses."
            return replace(self.warning(kind, message, fix, fault.code), is_unread=True)
        if fault.code in (10, 200):
            fix = "Give the token's system user full control of the account, and the token both scopes."
            message = f"The token may not read this {self.subject}: {said}"
            return replace(self.warning(kind, message, fix, fault.code), is_unread=True)
        message = f"The {self.subject} could not be read: {said}"
        return replace(self.unknown(f"unread_{kind}", message, code=fault.code), is_unread=True)

    def _make(self, kind: str, status: Status, message: str, fix: str, code: int) -> DoctorCheck:
        return DoctorCheck(
            kind=kind,
            subject=self.subject,
            subject_id=self.subject_id,
            name=self.name,
            status=status,
            message=message,
            fix=fix,
            code=code,
            account=self.account,
        )


class TemplateGroup(Struct, frozen=True, kw_only=True):
    """The templates of an account with one status. `names`: those that changed last."""

    status: str
    templates: int
    low_quality: int
    """Those of them that Meta rates RED."""
    names: Sequence[str]


class AccountReading(Struct, kw_only=True):
    """What could be read of an account: each part, or the error that Meta answered."""

    account: AccountFacts | GraphReadError
    apps: list[AccountApp] | GraphReadError
    numbers: list[NumberFacts] | GraphReadError
    health: Sequence[EntityHealth] = ()
    number_health: Mapping[str, Sequence[EntityHealth]] = field(default_factory=dict)
    templates: Sequence[TemplateGroup] | GraphReadError = ()


class LimitUse(Struct, frozen=True, kw_only=True):
    """A messaging limit, which the accounts of a portfolio share. `people`: those messaged; None if surely few."""

    waba_ids: tuple[str, ...]
    limit: int
    people: int | None = None


class CertificateFacts(Struct, frozen=True, kw_only=True):
    """The TLS certificate of the callback URL. `fault`: why it is not trusted; then its times are unknown."""

    host: str
    begins_at: datetime | None = None
    ends_at: datetime | None = None
    fault: str = ""


class GraphReading(Struct, kw_only=True):
    """All that one reading found. `subscriptions` is None if they were not read."""

    read_at: datetime
    server_time: datetime | None = None
    token: TokenFacts | GraphReadError
    subscriptions: list[AppSubscription] | GraphReadError | None = None
    accounts: dict[str, AccountReading] = field(default_factory=dict)
    limits: Sequence[LimitUse] = ()
    certificate: CertificateFacts | None = None


class Expected(Struct, frozen=True, kw_only=True):
    """What the settings say. `callback_url` and `app_id` are empty if they are not set."""

    app_id: str = ""
    callback_url: str = ""
    fields: frozenset[str] = WANTED_FIELDS

    def is_elsewhere(self, url: str) -> bool:
        """Whether this is another address than ours; a slash at its end matters to Meta."""
        if not url or not self.callback_url:
            return False
        try:
            one, own = urlsplit(url), urlsplit(self.callback_url)
        except ValueError:  # Meta's text is no address
            return True
        return (one.scheme, one.netloc.lower(), one.path) != (own.scheme, own.netloc.lower(), own.path)


def worst(statuses: Iterable[Status]) -> Status:
    """The worst of these; `unknown` without any."""
    return max(statuses, key=ORDER.index, default="unknown")


def as_sentence(text: str) -> str:
    """The text with a full stop."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
