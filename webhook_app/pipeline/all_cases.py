"""Which function finds the cases of which kind. A table; nothing is looked at here."""

from collections.abc import Callable, Sequence

from webhook_app.pipeline.facts import Facts, LiveFacts
from webhook_app.pipeline.health_cases import health_cases, tier_cases
from webhook_app.pipeline.rule_cases import COUNTING, Case, Found, Open, counting_cases, silence_cases
from webhook_app.pipeline.vital_cases import integrity_cases, self_cases, signature_cases
from webhook_app.rules.alerting import Rule

REPLAYABLE = (*COUNTING, "silence")
"""Kinds that need nothing but counts of the past, so that they can be judged at any moment of it."""

_STORED: dict[str, Callable[[Rule, LiveFacts], list[Case]]] = {
    "signature": signature_cases,
    "health": health_cases,
    "tier": tier_cases,
    "integrity": integrity_cases,
    "self": self_cases,
}


def cases_of(rule: Rule, facts: Facts, opened: Sequence[Open]) -> Found:
    """The groups the rule has to judge at the moment of the facts."""
    if rule.kind in COUNTING:
        return counting_cases(rule, facts, opened)
    if rule.kind == "silence":
        return silence_cases(rule, facts, opened)
    if not isinstance(facts, LiveFacts):
        return Found([], 0)
    cases = _STORED[rule.kind](rule, facts)
    return Found(cases, len(cases))
