"""The state line of the first page, and notices about problems that are no incidents."""

from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.rules.incidents.formats import duration, percent
from webhook_app.store.incidents.outbox import Backlog
from webhook_app.store.operations.scheduler_state import JobState
from webhook_app.store.receiving.books import Totals
from webhook_app.web.pages.wording import number, stamp

_LATE = timedelta(minutes=1)
_UNDELIVERED = timedelta(minutes=2)
_SILENT = timedelta(minutes=10)
_USUAL_FLOW = 30  # statuses in the hour before, from which silence is worth a notice

_REFUSED = {
    "mismatch": "their signature was made with another app secret: compare META_APP_SECRET with the app's",
    "missing": "they carry no signature: they do not come from Meta, or a proxy drops X-Hub-Signature-256",
    "malformed": "their signature is malformed: they do not come from Meta",
}


class Notice(Struct, frozen=True):
    """A problem that is no incident, and what to do."""

    what: str
    action: str


class State(Struct, frozen=True):
    """`level`: bad (an incident is open), watch, calm or new (no webhook received yet)."""

    level: str
    headline: str
    detail: str


class ServiceFacts(Struct, frozen=True, kw_only=True):
    """What the state is derived from."""

    now: datetime
    open_incidents: int
    pending: int
    """Alerts that have not fired yet."""
    since: datetime | None
    """The beginning of the oldest incident that is open."""
    attempts: int
    failures: int
    totals: Totals
    last_received_at: datetime | None
    last_status_at: datetime | None
    statuses_before: int
    """In the hour before the last quarter of an hour."""
    evaluated: JobState | None
    evaluate_seconds: float
    quarantined: int
    refused: dict[str, int]
    backlog: dict[str, Backlog]

    @property
    def is_new(self) -> bool:
        return self.last_received_at is None and not self.totals.received


def state_of(facts: ServiceFacts, notices: list[Notice]) -> State:
    """The worst condition in one line, with a sentence of detail."""
    if facts.open_incidents:
        count = facts.open_incidents
        headline = "1 open incident" if count == 1 else f"{count} open incidents"
        return State("bad", headline, f"{_since(facts)}{_rate(facts)}")
    if facts.is_new:
        return State("new", "Waiting for the first webhook", "Nothing has been received yet.")
    if facts.pending:
        return State(
            "watch", "Failures are rising", f"{_rate(facts)} The next evaluation decides whether to alert."
        )
    if notices:
        return State("watch", "No incidents, but check the notices", _rate(facts))
    return State("calm", "All quiet", f"{_rate(facts)} Within the limits of the rules.")


def notices_of(facts: ServiceFacts) -> list[Notice]:
    """The most urgent first."""
    found = [
        _evaluation(facts),
        _silence(facts),
        _books(facts),
        *_refused(facts),
        _undelivered(facts),
        _quarantined(facts),
    ]
    return [notice for notice in found if notice is not None]


def _since(facts: ServiceFacts) -> str:
    if facts.since is None:
        return ""
    lasting = duration(facts.now - facts.since)
    return f"Since {stamp(facts.since, facts.now)}, for {lasting}. "


def _rate(facts: ServiceFacts) -> str:
    if not facts.attempts and not facts.failures:
        return "No messages in the last 15 min."
    share = percent(min(facts.failures / max(facts.attempts, 1), 1.0))
    return f"{share} of {number(facts.attempts)} messages failed in the last 15 min."


def _evaluation(facts: ServiceFacts) -> Notice | None:
    job = facts.evaluated
    start = "Start it: webhook-app scheduler. Until then no incident can begin or end."
    if job is None:
        return Notice("The scheduler has never run", start)
    since = facts.now - job.started_at
    if since > max(_LATE, timedelta(seconds=4 * facts.evaluate_seconds)):
        return Notice(f"No rule was evaluated for {duration(since)}: the scheduler has stopped", start)
    if job.error:
        return Notice("The last rule evaluation failed", job.error)
    return None


def _silence(facts: ServiceFacts) -> Notice | None:
    last = facts.last_status_at
    if last is None or facts.statuses_before < _USUAL_FLOW or facts.now - last < _SILENT:
        return None
    what = f"No status received for {duration(facts.now - last)}, after {number(facts.statuses_before)} in an hour"
    return Notice(what, "Check that senders send, and the webhook's address at Meta.")


def _books(facts: ServiceFacts) -> Notice | None:
    if facts.totals.balanced:
        return None
    return Notice(
        "The books do not balance", "Items may have been lost: compare the books day by day, under System."
    )


def _refused(facts: ServiceFacts) -> list[Notice]:
    return [
        Notice(f"{number(count)} deliveries refused within an hour", f"Reason: {_REFUSED.get(kind, kind)}.")
        for kind, count in facts.refused.items()
    ]


def _undelivered(facts: ServiceFacts) -> Notice | None:
    late = {
        name: held.waiting
        for name, held in facts.backlog.items()
        if held.oldest_at is not None and facts.now - held.oldest_at > _UNDELIVERED
    }
    if not late:
        return None
    channels = ", ".join(f"{name} ({count})" for name, count in sorted(late.items()))
    return Notice(
        f"Notifications are not delivered: {channels}", "Check the channel's address and its service."
    )


def _quarantined(facts: ServiceFacts) -> Notice | None:
    if not facts.quarantined:
        return None
    items = "1 item was" if facts.quarantined == 1 else f"{number(facts.quarantined)} items were"
    return Notice(f"{items} not understood", "Stored; replay after upgrading: see System, Quarantine.")
