"""Derives from firing alerts whether sending must pause, because the account itself has a problem.

Whether checks answer "wait" during a pause is a setting.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from webhook_app.rules.incidents.evidence import shown_by_webhooks
from webhook_app.whatsapp.errors.catalogue import explain

PAUSING_KIND = "attention"
"""The kind of alerts that can be a reason to pause."""
_DOMAINS = ("auth", "account", "policy", "registration")
"""Token and permissions, billing, locks and bans, numbers that are blocked or not registered."""
_PARTIAL_CODES = (130497, 131064)
"""Codes that stop only the messages to one country, or with one template."""


class AccountAlert(Protocol):
    """The part of an alert that pauses need."""

    @property
    def id(self) -> int: ...
    @property
    def rule(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def group(self) -> Mapping[str, str | int]: ...
    @property
    def codes(self) -> Sequence[int]: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def resolved_at(self) -> datetime | None: ...
    @property
    def webhook_codes(self) -> Sequence[int] | None: ...
    @property
    def webhooks_until(self) -> datetime | None: ...


class Pause(Struct, frozen=True):
    """A cause for which every message fails. `phone_number_id` is empty if it affects all numbers.

    `is_shown`: whether webhooks alone show it; what only senders report may be made up.
    """

    alert_id: int
    rule: str
    code: int
    phone_number_id: str
    since: datetime
    is_shown: bool = True

    def affects(self, phone_number_id: str | None) -> bool:
        """Whether it stops the messages of this business number (None: of any)."""
        return phone_number_id is None or self.phone_number_id in ("", phone_number_id)


def pauses(alerts: Iterable[AccountAlert]) -> list[Pause]:
    """The pauses that these alerts are, oldest first."""
    found = [pause for alert in alerts if (pause := _pause(alert))]
    return sorted(found, key=lambda pause: (pause.since, pause.alert_id))


def _pause(alert: AccountAlert) -> Pause | None:
    if alert.kind != PAUSING_KIND or alert.state != "firing":
        return None
    code = next((code for code in alert.codes if _stops_everything(code)), None)
    if code is None:
        return None
    number, shown = str(alert.group.get("phone_number_id", "")), shown_by_webhooks((code,), (alert,))
    is_shown = bool(shown.codes) and shown.until is None
    return Pause(alert.id, alert.rule, code, number, alert.started_at, is_shown)


def _stops_everything(code: int) -> bool:
    entry = explain(code)
    return entry.attention == "page" and entry.domain in _DOMAINS and code not in _PARTIAL_CODES
