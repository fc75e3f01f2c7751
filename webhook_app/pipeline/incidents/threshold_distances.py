"""How near each group of a rule is to firing now, calm ones included: for people, never for an evaluation."""

from collections.abc import Sequence

from webhook_app.pipeline.incidents.rate_groups import (
    COUNTING,
    Open,
    RuleGroup,
    counted_by,
    counting_cases_of,
)
from webhook_app.pipeline.incidents.rule_groups import cases_of
from webhook_app.pipeline.incidents.rule_inputs import LiveInputs
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.store.incidents.alerts import group_key

LIVE = (*COUNTING, "silence", "signature", "health", "integrity", "self")
"""Kinds that can be looked at while a page waits; the messaging limit asks for all contacts of a day."""


def standing(rule: Rule, facts: LiveInputs, opened: Sequence[Open], most: int) -> list[RuleGroup]:
    """Up to `most` groups: those with an open alert first, then the nearest."""
    if rule.kind in COUNTING:
        window = facts.window(rule.window_minutes)
        groups = window.by_group(rule.group_by, counted_by(rule))
        nearest = sorted(
            groups, key=lambda values: (-groups[values].failures, -groups[values].attempts, values)
        )
        cases = counting_cases_of(rule, facts, opened, groups, nearest[:most])
    else:
        cases = cases_of(rule, facts, opened).cases
    ours = {group_key(each.group) for each in opened}
    return sorted(cases, key=lambda case: (case.key not in ours, -case.look.closeness, case.key))[:most]
