"""Judges minutes that no evaluation judged in time, and stores the incidents of those minutes as ended ones.

Late failures of a backlog add their minutes (pipeline/counts/measure_lateness.py), a gap of the scheduler those without
an evaluation. The rules are evaluated as of each of these minutes, in several runs if there are many (replay.py). What
existing incidents explain joins them. Each other incident is stored with its end, and announced once, as past. The
incidents and the removal of the judged minutes are one transaction, so a killed run is repeated without traces.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from msgspec import to_builtins
from msgspec.structs import replace

from webhook_app.pipeline.incidents.details.examination import counted
from webhook_app.pipeline.incidents.details.incident_details import stored
from webhook_app.pipeline.incidents.details.ranked_alerts import announcing_order
from webhook_app.pipeline.incidents.notifications.incident_content import notification
from webhook_app.pipeline.incidents.past.replay import PastIncident, PastReplay
from webhook_app.rules.incidents.announcements import (
    FALLBACK_CHANNEL,
    channels_of_incident,
    unnamed_channels,
)
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.accounts.numbers import known_ids
from webhook_app.store.incidents import alerts, incidents, outbox, unjudged_minutes
from webhook_app.store.incidents.unjudged_minutes import UnjudgedSpan
from webhook_app.store.postgres.engine import Connection, Engine, plan_each

JUDGED_KINDS = ("rate", "spike", "attention")
"""Kinds whose incidents are worth knowing afterwards."""

SETTLED = timedelta(minutes=3)
"""A backlog is judged when no more of it has arrived for this time,"""
WAIT_AT_MOST = timedelta(minutes=30)
"""or has been arriving for this time."""

GOES_ON_AT_MOST = timedelta(hours=1)
"""For which the minutes wait for the end of an incident that goes on; then they are judged as they are."""

MAX_MESSAGES = 5
"""The most incidents of one run that are announced; the others are shown in lists."""

RUN_SECONDS = 10.0
"""After which a run leaves the rest of the minutes to the next one: evaluations of the present need the processor."""


class Unfinished:
    """What a run leaves to the next one of the same process. Another process begins with the first minute."""

    def __init__(self) -> None:
        self.replay: PastReplay | None = None
        self.wait_until: datetime | None = None
        """An incident went on until shortly before: the minutes are judged once it has ended."""


def note_gap(engine: Engine, now: datetime) -> None:
    """Remember the minutes since the last evaluation, if there was none for minutes. Call it before evaluating."""
    with engine.begin() as connection:
        unjudged_minutes.add_gap(connection, now)


def judge_past(
    engine: Engine,
    rules: Sequence[Rule],
    now: datetime,
    *,
    public_url: str = "",
    channels: Collection[str] = (FALLBACK_CHANNEL,),
    unfinished: Unfinished | None = None,
) -> int:
    """Judge the unjudged minutes, if they have settled; returns the number of incidents stored.

    With `unfinished`, a run ends after RUN_SECONDS, and the next one goes on with the rest.
    """
    seconds, unfinished = (float("inf"), Unfinished()) if unfinished is None else (RUN_SECONDS, unfinished)
    if unfinished.wait_until is not None and now < unfinished.wait_until:
        return 0
    judged = [rule for rule in rules if rule.kind in JUDGED_KINDS]
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot.connect() as connection:
        plan_each(connection)
        replay = _continued(connection, unfinished) or _begun(connection, now)
        unfinished.replay = unfinished.wait_until = None  # a run that fails begins anew
        if replay is None:
            return 0
        if not replay.go_on(connection, judged, seconds):
            unfinished.replay = replay
            return 0
    has_waited = now - replay.span.first_added >= WAIT_AT_MOST + GOES_ON_AT_MOST
    if (goes_on_until := replay.goes_on_until(now)) > now and not has_waited:
        unfinished.wait_until = goes_on_until
        return 0
    found = replay.incidents()
    with engine.begin() as connection:
        _store(connection, found, rules, now, public_url, channels)
        unjudged_minutes.remove(connection, replay.span.last, replay.began_at)
    return len(found)


def _continued(connection: Connection, unfinished: Unfinished) -> PastReplay | None:
    """The replay that the last run left, unless another process has judged its minutes since."""
    replay = unfinished.replay
    if replay is None or not unjudged_minutes.has_any(connection, replay.span, replay.began_at):
        return None
    return replay


def _begun(connection: Connection, now: datetime) -> PastReplay | None:
    """A new replay of the unjudged minutes, if there are any and they have settled."""
    span = unjudged_minutes.span(connection, now)
    return PastReplay(connection, span, now) if span is not None and _has_settled(span, now) else None


def _has_settled(span: UnjudgedSpan, now: datetime) -> bool:
    return now - span.last_added >= SETTLED or now - span.first_added >= WAIT_AT_MOST


def _store(
    connection: Connection,
    found: Sequence[PastIncident],
    rules: Sequence[Rule],
    now: datetime,
    public_url: str,
    channels: Collection[str],
) -> None:
    """Store the incidents, and queue a notification for the worst of those that would have been announced.

    What only senders report takes the place of nothing that webhooks show.
    """
    by_name, unnamed = {rule.name: rule for rule in rules}, unnamed_channels(rules, channels)
    numbers = known_ids(connection)
    worst = sorted(
        found,
        key=lambda each: (
            *announcing_order(each.incident, each.alerts, numbers),
            -each.incident.total_failures,
        ),
    )
    announced = [each for each in worst if each.would_be_announced][:MAX_MESSAGES]
    for past in worst:
        incident = replace(past.incident, evaluated_at=now, notified_at=None)
        incident = replace(incident, id=incidents.insert(connection, incident))
        members = [replace(alert, incident_id=incident.id, evaluated_at=now) for alert in past.alerts]
        for alert in members:
            alerts.insert_new(connection, alert)
        incident = counted(connection, incident, members, now)
        if past in announced:
            own = {alert.rule: by_name[alert.rule] for alert in members}
            names = channels_of_incident(own.values(), incident.severity, unnamed, channels)
            message = notification(incident, members, by_name, "past", now, public_url)
            for name in names:
                outbox.add(connection, incident.id, name, "past", to_builtins(message), now)
            incident = replace(
                incident,
                notified_at=now,
                last_notified_at=now,
                notified_severity=incident.severity,
                details=to_builtins(replace(stored(incident), channels=tuple(names))),
            )
        incidents.save_all(connection, [incident])
