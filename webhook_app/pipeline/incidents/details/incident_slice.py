"""Finds the part of the traffic where the failures of an incident are concentrated (rules/incidents/slices.py).

Compares the shortest window of its alerts with what is usual.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from webhook_app.pipeline.incidents.details.incident_details import IncidentDetails
from webhook_app.pipeline.incidents.details.ranked_alerts import leading_measure
from webhook_app.pipeline.incidents.inputs.rule_inputs import CountInputs, RuleInputs
from webhook_app.rules.counts.dimensions import DIMENSIONS
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.evidence import is_shown
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS
from webhook_app.rules.incidents.slices import NEARLY_ALL, Cell, localise
from webhook_app.store.counts.window_counts import OUTCOME, WindowCounts
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.whatsapp.errors.catalogue import explain

_BASELINE_HOURS = 168
_SHORT_MINUTES = 60


def with_slice(
    inputs: RuleInputs, incident: Incident, details: IncidentDetails, members: Sequence[Alert]
) -> tuple[Incident, IncidentDetails]:
    """The incident with the part where its failures are concentrated, by the shortest window of its alerts.

    Of what webhooks show only they count: what senders report may be made up. After the first notification the part is
    only replaced by a wider one.
    """
    beyond = inputs.beyond_reports() if any(is_shown(alert.webhook_codes) for alert in members) else None
    counts = inputs if beyond is None else beyond
    measure = leading_measure(members)
    kinds = (measure.kind,) if measure else COUNTING_KINDS
    windows = [a.window_minutes for a in members if a.state == "firing" and a.kind in kinds and a.failures]
    minutes = min(windows, default=incident.window_minutes) or _SHORT_MINUTES
    now = _cells(_window(counts, measure, minutes), incident)
    if not now:
        return incident, details
    usual = _cells(
        counts.usual_outcomes(measure, minutes) if measure else counts.usual(minutes, _BASELINE_HOURS),
        incident,
    )
    day = {tuple(series): count for series, count in inputs.attempts_of_day().items()}
    values = _account_slice(incident, day)
    if values is None and (found := localise(DIMENSIONS, now, usual, day)) is not None:
        values = {name: list(held) for name, held in found.values.items()}
    if incident.notified_at is not None and not _is_wider(values, incident.slice):
        values = incident.slice
    leading = (
        now
        if minutes == incident.window_minutes
        else _cells(_window(counts, measure, incident.window_minutes or _SHORT_MINUTES), incident)
    )
    failures = sum(found.failures for cell, found in leading.items() if _lies_in(values or {}, cell))
    return replace(incident, slice=values), replace(details, slice_failures=failures)


def _window(inputs: CountInputs, measure: OutcomeMeasure | None, minutes: int) -> WindowCounts:
    return inputs.outcomes(measure, minutes) if measure else inputs.window(minutes)


def _account_slice(incident: Incident, day: Mapping[Cell, int]) -> dict[str, list[str]] | None:
    """The account, where the code says that the whole account is affected and there are others."""
    named = incident.names.get("waba_id", [])
    if not incident.codes or explain(incident.codes[0]).domain != "account" or len(named) != 1:
        return None
    place, total = DIMENSIONS.index("waba_id"), sum(day.values())
    own = sum(count for cell, count in day.items() if cell[place] == named[0])
    return {"waba_id": list(named)} if own < NEARLY_ALL * total else None


def _is_wider(values: Mapping[str, list[str]] | None, than: Mapping[str, list[str]] | None) -> bool:
    if not values or not than:
        return False
    return all(set(than.get(name, ())) and set(than[name]) <= set(held) for name, held in values.items())


def _lies_in(values: Mapping[str, Sequence[str]], cell: Cell) -> bool:
    return all(cell[DIMENSIONS.index(name)] in held for name, held in values.items())


def _cells(window: WindowCounts, incident: Incident) -> dict[Cell, Counts]:
    """The window by series, with the failures that have the incident's codes and happen in its accounts."""
    accounts = incident.names.get("waba_id") or None
    failed: Counter[Cell] = Counter()
    for one in window.failed:
        for cell in {
            tuple(mark.series)
            for mark in one.marks
            if mark.code in (incident.codes or (OUTCOME,))
            and (accounts is None or mark.series.waba_id in accounts)
        }:
            failed[cell] += one.messages
    attempts = {tuple(series): count for series, count in window.attempts.items()}
    return {cell: Counts(attempts.get(cell, 0), failed[cell]) for cell in attempts.keys() | failed.keys()}
