"""Which function finds the cases of which kind. A table; nothing is looked at here."""

from collections.abc import Callable, Sequence

from webhook_app.pipeline.incidents.health_groups import health_cases, tier_cases
from webhook_app.pipeline.incidents.rate_groups import (
    COUNTING,
    FoundGroups,
    Open,
    RuleGroup,
    counting_cases,
    silence_cases,
)
from webhook_app.pipeline.incidents.rule_inputs import LiveInputs, RuleInputs
from webhook_app.pipeline.incidents.service_groups import integrity_cases, self_cases, signature_cases
from webhook_app.rules.incidents.alerts import Rule

REPLAYABLE = (*COUNTING, "silence")
"""Kinds that need nothing but counts of the past, so that they can be judged at any moment of it."""

_STORED: dict[str, Callable[[Rule, LiveInputs], list[RuleGroup]]] = {
    "signature": signature_cases,
    "health": health_cases,
    "tier": tier_cases,
    "integrity": integrity_cases,
    "self": self_cases,
}


def cases_of(rule: Rule, facts: RuleInputs, opened: Sequence[Open]) -> FoundGroups:
    """The groups the rule has to judge at the moment of the facts."""
    if rule.kind in COUNTING:
        return counting_cases(rule, facts, opened)
    if rule.kind == "silence":
        return silence_cases(rule, facts, opened)
    if not isinstance(facts, LiveInputs):
        return FoundGroups([], 0)
    cases = _STORED[rule.kind](rule, facts)
    return FoundGroups(cases, len(cases))
