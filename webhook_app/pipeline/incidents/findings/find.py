"""Every hour: find, update and fix findings from counts by day and from Meta's reports; then announce new ones.

Incidents that last a week or come back every day become findings in the evaluation (incident_updates.py,
incident_announcements.py). Here they are updated and fixed, and announced with the others.
One transaction, under a lock.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec.structs import replace

from webhook_app.pipeline.incidents.findings.announce import announce
from webhook_app.pipeline.incidents.findings.finding_inputs import FindingInputs, StoredFacts, midnight
from webhook_app.pipeline.incidents.findings.finding_store import (
    FindingStore,
    FindingTables,
    chronic_state,
)
from webhook_app.rules.accounts.health_states import states
from webhook_app.rules.incidents.announcements import FALLBACK_CHANNEL
from webhook_app.rules.incidents.findings.chronic import (
    ChronicState,
    find_chronic,
    is_known,
    last_above,
)
from webhook_app.rules.incidents.findings.finding import (
    DAY,
    WEEK_DAYS,
    CountedDays,
    FoundState,
    as_reported,
)
from webhook_app.rules.incidents.findings.observed_states import (
    find_low_quality,
    find_unlabelled,
    find_unreached,
    suspect_campaigns,
)
from webhook_app.rules.incidents.findings.recurring import SAME_HOUR, is_fixed, within_account
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.counts import baselines
from webhook_app.store.incidents.findings import Finding
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Engine

MAX_CAMPAIGNS = 5
"""Campaigns of one look whose contacts are examined; the largest first, as webhooks count them."""
MAX_COUNTED = 20
"""New findings of one look whose contacts are counted, those that webhooks show first."""
_WEEK = DAY * WEEK_DAYS


class LastSearch:
    """The latest summed hour at the last search. Until another is summed, a search would find nothing new."""

    def __init__(self) -> None:
        self.hour: datetime | None = None


def find(
    engine: Engine,
    rules: Sequence[Rule],
    now: datetime,
    *,
    public_url: str = "",
    channels: Collection[str] = (FALLBACK_CHANNEL,),
    last: LastSearch | None = None,
) -> int:
    """Search for findings if an hour was summed since, and announce new ones; returns the notifications added."""
    last = last or LastSearch()
    with engine.begin() as connection:
        locks.hold_until_commit(connection, locks.FINDINGS_LOCK)
        hour = baselines.latest_hour(connection)
        if hour is None or hour != last.hour:
            search(StoredFacts(connection, now), FindingTables(connection), rules)
        added = announce(connection, rules, now, public_url=public_url, channels=channels)
    last.hour = hour
    return added


def search(
    inputs: FindingInputs, store: FindingStore, rules: Sequence[Rule], *, days: CountedDays | None = None
) -> None:
    """Find, update and fix. `days`: the counts, if the caller has them already.

    It goes by what webhooks alone show: senders' reports, which may be made up, make no share smaller or larger. Only
    chronic failures are searched with the reports, too, as findings of their own.
    """
    known = store.open_findings()
    _update_qualities(inputs, store, known)
    days = days or inputs.days()
    webhooks = inputs.beyond_reports(days) or days
    _update_chronic(inputs, store, known, days, webhooks, rules)
    _update_recurring(inputs, store, known)
    _keep(inputs, store, known, "unlabelled_sends", find_unlabelled(webhooks))
    suspects = suspect_campaigns(webhooks)[:MAX_CAMPAIGNS]
    lists = [inputs.unreached(*each) for each in suspects]
    _keep(inputs, store, known, "unreached_list", find_unreached(lists, inputs.now - _WEEK), after=True)


def search_reports(inputs: FindingInputs, store: FindingStore) -> None:
    """Find, update and fix what Meta's reports alone decide."""
    _update_qualities(inputs, store, store.open_findings())


def _update_qualities(inputs: FindingInputs, store: FindingStore, known: Sequence[Finding]) -> None:
    found = [
        found
        for subject, reports in inputs.reported_health()
        if subject.subject == "template"
        and (
            found := find_low_quality(
                subject.subject_id, subject.name, subject.waba_id, states(reports, inputs.now)
            )
        )
    ]
    _keep(inputs, store, known, "template_quality", found)


def _keep(
    inputs: FindingInputs,
    store: FindingStore,
    known: Sequence[Finding],
    kind: str,
    found: Sequence[FoundState],
    *,
    after: bool = False,
) -> None:
    """Store what was found, and fix open findings of this kind that were not; `after`: only after a week without."""
    for each in found:
        store.add_finding(each, inputs.now, inputs.now)
    keys = {each.key for each in found}
    gone = [
        each.id
        for each in known
        if each.kind == kind and each.key not in keys and not (after and inputs.now - each.seen_at < _WEEK)
    ]
    if gone:
        store.fix_findings(gone, inputs.now)


def _update_chronic(
    inputs: FindingInputs,
    store: FindingStore,
    known: Sequence[Finding],
    days: CountedDays,
    webhooks: CountedDays,
    rules: Sequence[Rule],
) -> None:
    opened = [each for each in known if each.kind == "chronic"]
    gone = []
    for each in opened:
        counted = days if each.is_reported else webhooks
        latest, week = last_above(chronic_state(each), float(each.evidence.get("threshold", 0.0)), counted)
        if latest is not None and latest <= each.seen_at:
            continue
        if latest is not None:
            impact = {"failures": week.failures, "share": week.failures / max(week.attempts, week.failures)}
            store.update_finding(each.id, latest, impact)
        elif midnight(inputs.now) - each.seen_at >= _WEEK:
            gone.append(each.id)
    if gone:
        store.fix_findings(gone, inputs.now)
    states_now = [chronic_state(each) for each in opened if each.id not in gone]
    others = inputs.open_incidents() + [chronic_state(each) for each in known if each.kind == "recurring"]
    keys, today = {each.key for each in opened}, midnight(inputs.now)
    updated = {each.key for each in opened if each.seen_at >= today}
    shown = find_chronic(webhooks, rules, [state for state in states_now if not state.is_reported])
    hiding = [state for state in others if not state.is_reported]
    found = _unless_known(shown, keys, hiding)
    if webhooks is not days:
        plain = keys | {state.key for state in shown}
        reported = [
            as_reported(state) for state in find_chronic(days, rules, states_now) if state.key not in plain
        ]
        found += _unless_known(reported, keys, others)
        both = {as_reported(state).key for state in shown}
        store.fix_findings([each.id for each in opened if each.key in both], inputs.now)
    unknown = [state for state in found if state.key not in keys][:MAX_COUNTED]
    for state in (state for state in found if state.key not in updated):
        completed = _with_contacts(inputs, state, days) if state in unknown else state
        store.add_finding(completed, today, inputs.now)


def _unless_known(
    found: Sequence[FoundState], keys: Collection[str], others: Sequence[ChronicState]
) -> list[FoundState]:
    """The states of open findings, and the new ones that nothing else is about; most failures first."""
    new = [state for state in found if state.key in keys or not is_known(state, others)]
    return sorted(new, key=lambda state: (-state.impact["failures"], state.key))


def _with_contacts(inputs: FindingInputs, found: FoundState, days: CountedDays) -> FoundState:
    """The state with the number of contacts of the week."""
    groups = [{name: values[0] for name, values in (found.slice or {}).items()}]
    impact = inputs.failures.impact(
        days.starts[-WEEK_DAYS],
        midnight(inputs.now),
        found.codes,
        groups,
        of_webhooks=not found.evidence.get("is_reported"),
    )
    return replace(found, impact=found.impact | {"contacts": impact.contacts})


def _update_recurring(inputs: FindingInputs, store: FindingStore, known: Sequence[Finding]) -> None:
    """Fix what has not recurred for a week, or on three days on which messages were sent at that hour."""
    for each in known:
        if each.kind != "recurring":
            continue
        occasions = []
        at = each.seen_at + DAY
        while at + SAME_HOUR < inputs.now:
            hour = at.replace(minute=0, second=0, microsecond=0)
            start, end = hour - SAME_HOUR, hour + 2 * SAME_HOUR
            if end > inputs.now:
                break
            occasions.append(
                inputs.in_hours(
                    each.codes,
                    within_account(each.slice or {}, each.waba_id),
                    start,
                    end,
                    reported=each.is_reported,
                )
            )
            at += DAY
        if is_fixed(each.seen_at, occasions, inputs.now):
            store.fix_findings([each.id], inputs.now)
