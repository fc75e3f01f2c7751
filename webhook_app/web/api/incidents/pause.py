"""/v1/pause: whether senders should stop, because the account cannot send."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct

from webhook_app.rules.incidents.pauses import PAUSING_KIND, Pause, pauses
from webhook_app.store.incidents import alerts
from webhook_app.store.sends.reporters import Reporters, reporters_of
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import PhoneNumberId, Time
from webhook_app.whatsapp.errors.catalogue import explain

_WITNESS_FOR = timedelta(hours=1)
"""How long a failed call says that its business number cannot send: longer than an alert about it goes on alone."""
_PAUSES_KEPT_S = 1.0
"""For how long a worker uses what it read of alerts: they change every 15 s, and checks ask before every message."""
_REPORTERS_KEPT_S = 3.0
"""For how long a worker uses what it read of failed calls: an alert about them takes longer to fire."""


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
    found = list(pauses_of(call, query.phone_number_id))
    return PauseAnswer(
        as_of=call.now,
        paused=bool(found),
        enforced=call.settings.pause_senders == "on",
        reasons=[_reason(pause) for pause in found],
    )


def pauses_of(call: Call, phone_number_id: str | None) -> Iterator[Pause]:
    """Yield the pauses of this business number (None: any number) that concern the caller's key.

    One that webhooks do not show concerns a key that reported it lately, and every key while two have.
    """
    found = call.slow.get(
        "pauses",
        lambda: pauses(alerts.firing_of_kinds(call.connection, (PAUSING_KIND,))),
        kept_s=_PAUSES_KEPT_S,
    )
    reporters: Reporters | None = None
    for each in found:
        if not each.affects(phone_number_id):
            continue
        if not each.is_shown and call.key.role == "sender":
            reporters = _reporters(call, found) if reporters is None else reporters
            known = reporters.get((each.code, each.phone_number_id), {})
            keys = [key for key, latest in known.items() if latest >= call.now - _WITNESS_FOR]
            if len(keys) < 2 and call.key.name not in keys:
                continue
        yield each


def _reporters(call: Call, found: Sequence[Pause]) -> Reporters:
    """Who reported the failed calls of the pauses that only reports show: read for all of them at once."""
    codes = frozenset(each.code for each in found if not each.is_shown)
    return call.slow.get(
        ("reporters", codes),
        lambda: reporters_of(call.connection, codes, call.now - _WITNESS_FOR),
        kept_s=_REPORTERS_KEPT_S,
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
