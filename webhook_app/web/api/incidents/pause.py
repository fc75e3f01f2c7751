"""/v1/pause: whether senders should stop, because the account cannot send."""

from typing import Annotated

from msgspec import Meta, Struct

from webhook_app.rules.incidents.pauses import Pause, pauses
from webhook_app.store.incidents import alerts
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import PhoneNumberId, Time
from webhook_app.whatsapp.errors.catalogue import explain


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
    the quality rating.
    """
    found = pauses(alerts.open_alerts(call.connection), query.phone_number_id)
    return PauseAnswer(
        as_of=call.now,
        paused=bool(found),
        enforced=call.settings.pause_senders == "on",
        reasons=[_reason(pause) for pause in found],
    )


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
