"""Finds and judges the groups of a rule, by the function for its kind."""

from collections.abc import Callable, Sequence

from webhook_app.pipeline.incidents.groups.doctor_groups import find_doctor_groups
from webhook_app.pipeline.incidents.groups.health_groups import find_health_groups, find_tier_groups
from webhook_app.pipeline.incidents.groups.rule_group import FoundGroups, OpenGroup, RuleGroup
from webhook_app.pipeline.incidents.groups.service_groups import (
    find_integrity_groups,
    find_self_groups,
    find_signature_groups,
)
from webhook_app.pipeline.incidents.groups.silence_groups import find_silence_groups
from webhook_app.pipeline.incidents.groups.window_groups import find_counted_groups
from webhook_app.pipeline.incidents.inputs.live_inputs import LiveInputs
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS, Rule

REPLAYABLE = (*COUNTING_KINDS, "silence", "health")
"""Kinds that can be judged at any time in the past, by stored counts and Meta's reports."""

_LIVE_ONLY: dict[str, Callable[[Rule, LiveInputs], list[RuleGroup]]] = {
    "signature": find_signature_groups,
    "tier": find_tier_groups,
    "self": find_self_groups,
}


def find_groups(rule: Rule, inputs: RuleInputs, opened: Sequence[OpenGroup]) -> FoundGroups:
    """The groups of the rule, judged at the time of the inputs."""
    if rule.kind in COUNTING_KINDS:
        return find_counted_groups(rule, inputs, opened)
    if rule.kind == "silence":
        return find_silence_groups(rule, inputs, opened)
    if rule.kind == "health":
        groups = find_health_groups(rule, inputs, opened)
        if isinstance(inputs, LiveInputs):
            groups += find_doctor_groups(rule, inputs, opened)
        return FoundGroups(groups, len(groups))
    if not isinstance(inputs, LiveInputs):
        return FoundGroups([], 0)
    if rule.kind == "integrity":
        groups = find_integrity_groups(rule, inputs, opened)
    else:
        groups = _LIVE_ONLY[rule.kind](rule, inputs)
    return FoundGroups(groups, len(groups))
