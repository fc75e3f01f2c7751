"""Evaluates all rules every few seconds: alerts, incidents and notifications change in one transaction.

1. In one read-only snapshot, every rule finds its groups and judges each; inputs that rules share are read once.
2. In one transaction, open alerts are locked, each judgement updates its alert, and alerts join incidents.
A concurrent evaluation waits for the locks, and then finds nothing left to do for this `now`.
Old events count in their own minutes, outside of every window: a backlog raises no alert.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import partial

import structlog
from msgspec import Struct

from webhook_app.pipeline.incidents.alert_lifecycle import AlertLifecycle
from webhook_app.pipeline.incidents.faults import Attempt, Faults
from webhook_app.pipeline.incidents.groups.rule_group import FoundGroups, OpenGroup, open_group
from webhook_app.pipeline.incidents.groups.rule_groups import find_groups
from webhook_app.pipeline.incidents.incident_store import IncidentStore, IncidentTables
from webhook_app.pipeline.incidents.incident_updates import IncidentUpdates
from webhook_app.pipeline.incidents.inputs.live_inputs import LiveInputs, ReadCache
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.rules.incidents.announcements import FALLBACK_CHANNEL
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.incidents import alerts, rule_evaluations
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.rule_evaluations import RuleEvaluation
from webhook_app.store.postgres.engine import Engine, plan_each

log = structlog.get_logger()


class EvaluationSummary(Struct, frozen=True):
    """The result of an evaluation: groups judged, transitions by name, notifications added to the outbox."""

    groups: int
    transitions: dict[str, int]
    notifications: int


def evaluate(
    engine: Engine,
    rules: Sequence[Rule],
    now: datetime,
    *,
    public_url: str = "",
    channels: Collection[str] = (FALLBACK_CHANNEL,),
    memory: ReadCache | None = None,
) -> EvaluationSummary:
    """Evaluate the rules at `now`. `channels`: those that are set up; others are replaced by the log.

    Raises EvaluationError after everything else is stored when a rule, an alert or an incident cannot be judged.
    """
    faults = Faults()
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot.connect() as reading:
        plan_each(reading)
        inputs = LiveInputs(reading, now, memory)
        known = alerts.open_alerts(reading)
        found = find_all_groups(rules, inputs, known, partial(faults.attempt, reading))
    with engine.begin() as connection:
        inputs, store = LiveInputs(connection, now, memory), IncidentTables(connection, faults)
        unjudged = {rule.name for rule in rules} - found.keys()
        lifecycle = judge_groups(store, found, known, now, unjudged)
        added = IncidentUpdates(inputs, store, rules, public_url, channels).apply(lifecycle.changes)
        judged = [rule for rule in rules if rule.name in found]
        rule_evaluations.save(
            connection, [_rule_evaluation(rule, found[rule.name], now) for rule in judged], now
        )
    for name, groups in found.items():
        if groups.left_out:
            log.warning("groups above the limit get no alert", rule=name, groups=groups.left_out)
    faults.raise_any()
    return EvaluationSummary(lifecycle.groups, dict(lifecycle.transitions), added)


def find_all_groups(
    rules: Sequence[Rule],
    inputs: RuleInputs,
    known: Sequence[Alert],
    attempt: Attempt,
) -> dict[str, FoundGroups]:
    """The judged groups of each rule, by its name. `known`: the open alerts. A rule whose attempt fails is left out."""
    found: dict[str, FoundGroups] = {}

    def find(rule: Rule) -> None:
        found[rule.name] = find_groups(rule, inputs, _open_groups(known, rule))

    for rule in rules:
        attempt(f"rule {rule.name}", partial(find, rule))
    return found


def judge_groups(
    store: IncidentStore,
    found: Mapping[str, FoundGroups],
    known: Sequence[Alert],
    now: datetime,
    unjudged: Collection[str] = (),
) -> AlertLifecycle:
    """Move the alerts of all rules by their judgements. The changes are not written yet."""
    lifecycle = AlertLifecycle(store, now, {alert.id for alert in known})
    failed = set(unjudged)
    for name, groups in found.items():
        if groups.groups and not store.attempt(f"rule {name}", partial(lifecycle.judge_all, groups.groups)):
            failed.add(name)
    lifecycle.open_new()
    lifecycle.resolve_unwatched(failed)
    return lifecycle


def _open_groups(known: Sequence[Alert], rule: Rule) -> list[OpenGroup]:
    return [open_group(alert) for alert in known if alert.rule == rule.name]


def _rule_evaluation(rule: Rule, found: FoundGroups, now: datetime) -> RuleEvaluation:
    nearest = max(found.groups, key=lambda rule_group: rule_group.judgement.closeness, default=None)
    return RuleEvaluation(
        rule=rule.name,
        kind=rule.kind,
        evaluated_at=now,
        groups=found.examined,
        closeness=nearest.judgement.closeness if nearest else 0.0,
        nearest=nearest.group if nearest else {},
        seen=nearest.judgement.text if nearest else "",
    )
