"""Finds and judges the groups of a rule, by the function for its kind."""

from collections.abc import Callable, Sequence

from webhook_app.pipeline.incidents.health_groups import find_health_groups, find_tier_groups
from webhook_app.pipeline.incidents.rate_groups import (
    COUNTING,
    FoundGroups,
    OpenGroup,
    RuleGroup,
    find_counted_groups,
    find_silence_groups,
)
from webhook_app.pipeline.incidents.rule_inputs import LiveInputs, RuleInputs
from webhook_app.pipeline.incidents.service_groups import (
    find_integrity_groups,
    find_self_groups,
    find_signature_groups,
)
from webhook_app.rules.incidents.alerts import Rule

REPLAYABLE = (*COUNTING, "silence", "health")
"""Kinds that can be judged at any time in the past, by stored counts and Meta's reports."""

_LIVE_ONLY: dict[str, Callable[[Rule, LiveInputs], list[RuleGroup]]] = {
    "signature": find_signature_groups,
    "tier": find_tier_groups,
    "integrity": find_integrity_groups,
    "self": find_self_groups,
}


def find_groups(rule: Rule, inputs: RuleInputs, opened: Sequence[OpenGroup]) -> FoundGroups:
    """The groups of the rule, judged at the time of the inputs."""
    if rule.kind in COUNTING:
        return find_counted_groups(rule, inputs, opened)
    if rule.kind == "silence":
        return find_silence_groups(rule, inputs, opened)
    if rule.kind == "health":
        groups = find_health_groups(rule, inputs)
        return FoundGroups(groups, len(groups))
    if not isinstance(inputs, LiveInputs):
        return FoundGroups([], 0)
    groups = _LIVE_ONLY[rule.kind](rule, inputs)
    return FoundGroups(groups, len(groups))
