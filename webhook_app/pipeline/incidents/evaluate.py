"""Every few seconds: the facts at `now` against the rules; alerts and the outbox are written together.

1. In one read-only snapshot every rule finds its groups and looks at each; what several rules need is read once.
2. In one transaction: open alerts are locked, each look moves its alert along its life (life.py).
3. When all have moved: who needs not be told, who is told and why (announce.py); changes and notifications are written.
A rival evaluation waits for the locks and then finds nothing left to do for this `now`.
Old events lie in old minutes, outside of every window: a backlog raises no alert.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.pipeline.incidents.alert_lifecycle import AlertLifecycle
from webhook_app.pipeline.incidents.announce import FALLBACK_CHANNEL, Announcer
from webhook_app.pipeline.incidents.rate_groups import FoundGroups, Open
from webhook_app.pipeline.incidents.rule_groups import cases_of
from webhook_app.pipeline.incidents.rule_inputs import LiveInputs, ReadCache
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.store.incidents import alerts, rule_evaluations
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.rule_evaluations import RuleLook
from webhook_app.store.postgres.engine import Engine, plan_each


class EvaluationSummary(Struct, frozen=True):
    """What an evaluation did: groups judged, transitions by name, notifications put into the outbox."""

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
    """Bring the alerts up to date. `channels` are those set up; for others the log is told."""
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with snapshot.connect() as reading:
        plan_each(reading)
        facts = LiveInputs(reading, now, memory)
        known = alerts.open_alerts(reading)
        found = {rule.name: cases_of(rule, facts, _opened(known, rule)) for rule in rules}
    with engine.begin() as connection:
        life = AlertLifecycle(connection, now, {alert.id for alert in known})
        for rule in rules:
            for case in found[rule.name].cases:
                life.judge(case)
        life.end_orphans()
        announcer = Announcer(connection, now, public_url, channels)
        told = announcer.announce(life.moved)
        rule_evaluations.save(connection, [_look(rule, found[rule.name], now) for rule in rules], now)
        return EvaluationSummary(life.groups, dict(life.transitions), told)


def _opened(known: Sequence[Alert], rule: Rule) -> list[Open]:
    return [Open(a.group, a.threshold, a.state == "firing") for a in known if a.rule == rule.name]


def _look(rule: Rule, found: FoundGroups, now: datetime) -> RuleLook:
    nearest = max(found.cases, key=lambda case: case.look.closeness, default=None)
    return RuleLook(
        rule=rule.name,
        kind=rule.kind,
        evaluated_at=now,
        groups=found.groups,
        closeness=nearest.look.closeness if nearest else 0.0,
        nearest=nearest.group if nearest else {},
        seen=nearest.look.words if nearest else "",
    )
