"""/v1/pause: whether senders should stop, because the account cannot send."""

from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct

from webhook_app.rules.incidents.pauses import PAUSING_KIND, Pause, pauses
from webhook_app.store.incidents import alerts
from webhook_app.store.sends import reporters
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import PhoneNumberId, Time
from webhook_app.whatsapp.errors.catalogue import explain

_BEFORE_ALERT = timedelta(hours=1)
"""The failures of an alert lie at most so long before it begins."""


class PauseQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    phone_number_id: PhoneNumberId | None = None


class PauseReason(Struct, kw_only=True):
    """One alert that is a reason to pause."""

    alert_id: int
    rule: str
    code: int
    title: str
    why: str
    action: str
    phone_number_id: Annotated[str, Meta(description="The business number concerned; empty: all of them.")]
    since: Time


class PauseAnswer(Struct, kw_only=True):
    """Whether to pause sending. `enforced`: /v1/check answers `wait` during a pause (setting PAUSE_SENDERS)."""

    as_of: Time
    paused: bool
    enforced: bool
    reasons: list[PauseReason]


def get_pause(call: Call, query: PauseQuery) -> PauseAnswer:
    """Report whether every send would fail, for example because of an expired token, unpaid bills or a lock.

    Senders should pause while an alert of the kind `attention` about such a code is firing: each failed send lowers
    the quality rating. What only one key's failed calls say pauses no other sender.
    """
    found = pauses_of(call, query.phone_number_id)
    return PauseAnswer(
        as_of=call.now,
        paused=bool(found),
        enforced=call.settings.pause_senders == "on",
        reasons=[_reason(pause) for pause in found],
    )


def pauses_of(call: Call, phone_number_id: str | None) -> list[Pause]:
    """The pauses of this business number (None: any number) that concern the caller's key.

    One that webhooks do not show concerns a key that reported it, and every key once two have.
    """
    found = pauses(alerts.firing_of_kinds(call.connection, (PAUSING_KIND,)), phone_number_id)
    if call.key.role != "sender":
        return found
    return [each for each in found if each.is_shown or _is_of_several_keys_or_own(call, each)]


def _is_of_several_keys_or_own(call: Call, pause: Pause) -> bool:
    since = pause.since - _BEFORE_ALERT
    keys = reporters.keys_with_failed_calls(call.connection, pause.code, pause.phone_number_id, since)
    return len(keys) > 1 or call.key.name in keys


def _reason(pause: Pause) -> PauseReason:
    entry = explain(pause.code)
    return PauseReason(
        alert_id=pause.alert_id,
        rule=pause.rule,
        code=pause.code,
        title=entry.title,
        why=entry.summary,
        action=entry.action,
        phone_number_id=pause.phone_number_id,
        since=pause.since,
    )


ENDPOINTS = (Endpoint("GET", "/v1/pause", get_pause, "sender"),)
