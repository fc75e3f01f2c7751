"""Everything that the first page shows, bounded by its windows. No HTML."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.rules.accounts.names import with_names
from webhook_app.rules.counts.failure_rate import Rate, measure
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.accounts.numbers import names
from webhook_app.store.counts import lateness, rates, traffic
from webhook_app.store.counts.lateness import Lateness
from webhook_app.store.counts.traffic import Statuses
from webhook_app.store.counts.window_counts import GroupKey, Mark, WindowCounts, is_failure
from webhook_app.store.incidents import alerts, findings, incidents, outbox
from webhook_app.store.operations import scheduler_state
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.receiving import books, quarantine, webhook_activity
from webhook_app.store.receiving.books import Totals
from webhook_app.web.pages.counts.service_state import Notice, ServiceFacts, State, notices_of, state_of
from webhook_app.web.pages.incidents.incident_view import IncidentView, view_incidents, worst_first
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain

WINDOW_MINUTES = 15
_BEFORE_MINUTES = 60
_ACTIVITY_MINUTES = 30
_CODES = 8
_PLACES = 3
_NEARLY_ALL = 0.8
_SLICED = ("template", "country", "phone_number_id")
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)


class CodeRow(Struct, frozen=True):
    """Messages that failed with one code. `mostly`: template, country and number that nearly all of them share."""

    code: int
    entry: ErrorCode
    failures: int
    rate: float
    mostly: dict[str, str]


class PlaceRow(Struct, frozen=True):
    """The failure rate of one template, country or business number."""

    dimension: str
    value: str
    """The name of a business number, if it is known."""
    rate: Rate


class Yesterday(Struct, frozen=True):
    """The figures 24 hours earlier; `rate` has no attempts when nothing was sent then."""

    rate: Rate
    statuses: Statuses
    withheld: int


class WebhookActivity(Struct, frozen=True):
    """Whether webhooks arrive and all are accounted for. `minutes`: statuses per minute, the oldest first.

    `lateness` covers the last hour; `refused` counts refused deliveries by reason.
    """

    minutes: list[int]
    last_received_at: datetime | None
    totals: Totals
    quarantined: int
    lateness: Lateness
    refused: dict[str, int]


class Overview(Struct, frozen=True, kw_only=True):
    """The values of the first page."""

    now: datetime
    is_new: bool
    state: State
    notices: list[Notice]
    incidents: list[IncidentView]
    """The open ones, the worst first."""
    findings: int
    """How many are open."""
    rate: Rate
    classes: dict[str, int]
    statuses: Statuses
    yesterday: Yesterday
    codes: list[CodeRow]
    more_codes: int
    places: list[PlaceRow]
    activity: WebhookActivity


def read_overview(
    connection: Connection, rules: Mapping[str, Rule], evaluate_seconds: float, now: datetime
) -> Overview:
    """Read the values of the first page."""
    start, end = rates.window(now, WINDOW_MINUTES)
    window = rates.read_window(connection, start, end)
    flow = traffic.statuses_by_minute(connection, start - timedelta(minutes=_BEFORE_MINUTES), end)
    rate = measure(sum(window.attempts.values()), window.failures(is_failure))
    found = worst_first(incidents.open_incidents(connection))
    members = alerts.of_incidents(connection, [incident.id for incident in found])
    known = names(connection, str((found, members, [key.phone_number_id for key in window.attempts])))
    views = view_incidents(found, members, rules, now, known)
    facts = _facts(connection, rate, flow, views, evaluate_seconds, now)
    notices = notices_of(facts)
    codes = _codes(window, rate.attempts)
    return Overview(
        now=now,
        is_new=facts.is_new,
        state=state_of(facts, notices),
        notices=notices,
        incidents=views,
        findings=sum(findings.count_open(connection).values()),
        rate=rate,
        classes=window.failures_by_class(),
        statuses=_sum(flow, start),
        yesterday=_yesterday(connection, start - _DAY, end - _DAY),
        codes=codes[:_CODES],
        more_codes=len(codes[_CODES:]),
        places=_places(window, known),
        activity=_activity(facts, flow, end, lateness.last_hour(connection, now)),
    )


def _facts(
    connection: Connection,
    rate: Rate,
    flow: dict[datetime, Statuses],
    views: list[IncidentView],
    evaluate_seconds: float,
    now: datetime,
) -> ServiceFacts:
    start, _ = rates.window(now, WINDOW_MINUTES)
    states = [alert.state for alert in alerts.open_alerts(connection)]
    jobs = {job.job: job for job in scheduler_state.job_states(connection)}
    return ServiceFacts(
        now=now,
        open_incidents=len(views),
        pending=states.count("pending"),
        since=min((shown.incident.began_at for shown in views), default=None),
        attempts=rate.attempts,
        failures=rate.failures,
        totals=books.totals(connection),
        last_received_at=webhook_activity.last_received_at(connection, now),
        last_status_at=max((at for at, statuses in flow.items() if statuses.total), default=None),
        statuses_before=sum(statuses.total for at, statuses in flow.items() if at < start),
        evaluated=jobs.get("evaluate"),
        evaluate_seconds=evaluate_seconds,
        quarantined=quarantine.count_open(connection),
        refused=webhook_activity.rejections(connection, now - timedelta(hours=1), now + timedelta(minutes=1)),
        backlog=outbox.backlog(connection),
    )


def _codes(window: WindowCounts, attempts: int) -> list[CodeRow]:
    """Every code of the window, the most frequent first."""
    found = window.failures_by(lambda mark: (mark.code,), lambda _: True).most_common()
    return [_code_row(window, int(code), failures, attempts) for (code,), failures in found]


def _code_row(window: WindowCounts, code: int, failures: int, attempts: int) -> CodeRow:
    mostly = {}
    for dimension in _SLICED:
        by_value = window.failures_by(_value_of(dimension), lambda counted: counted == code)
        ((value,), of_it) = by_value.most_common(1)[0]
        if of_it >= _NEARLY_ALL * failures:
            mostly[dimension] = str(value)
    rate = measure(attempts, failures).rate if attempts else 1.0
    return CodeRow(code, explain(code), failures, rate, mostly)


def _value_of(dimension: str) -> Callable[[Mark], GroupKey]:
    return lambda mark: (getattr(mark.series, dimension),)


def _places(window: WindowCounts, names: Mapping[str, str]) -> list[PlaceRow]:
    """The values of each dimension with the most failures."""
    rows = []
    for dimension in _SLICED:
        groups = window.by_group((dimension,), is_failure)
        hit = [(str(key[0]), count) for key, count in groups.items() if count.failures]
        hit.sort(key=lambda item: (-item[1].failures, item[0]))
        rows += [
            PlaceRow(dimension, with_names(value, names), measure(count.attempts, count.failures))
            for value, count in hit[:_PLACES]
        ]
    return rows


def _sum(flow: dict[datetime, Statuses], start: datetime) -> Statuses:
    held = [statuses for at, statuses in flow.items() if at >= start]
    return Statuses(*(sum(getattr(each, name) for each in held) for name in Statuses.__struct_fields__))


def _yesterday(connection: Connection, start: datetime, end: datetime) -> Yesterday:
    window = rates.read_window(connection, start, end)
    rate = measure(sum(window.attempts.values()), window.failures(is_failure))
    flow = traffic.statuses_by_minute(connection, start, end)
    return Yesterday(rate, _sum(flow, start), window.failures_by_class()["withheld"])


def _activity(
    facts: ServiceFacts, flow: dict[datetime, Statuses], end: datetime, came: Lateness
) -> WebhookActivity:
    moments = [end - _MINUTE * (_ACTIVITY_MINUTES - place) for place in range(_ACTIVITY_MINUTES)]
    minutes = [flow.get(at, Statuses()).total for at in moments]
    last = facts.last_received_at
    return WebhookActivity(minutes, last, facts.totals, facts.quarantined, came, facts.refused)
