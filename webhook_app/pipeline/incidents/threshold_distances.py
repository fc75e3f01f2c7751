"""The groups of a rule by their distance to the threshold, calm ones included, for pages."""

from collections.abc import Sequence

from webhook_app.pipeline.incidents.groups.counted_groups import judge_counted_groups, window_of
from webhook_app.pipeline.incidents.groups.rule_group import OpenGroup, RuleGroup, counted_by
from webhook_app.pipeline.incidents.groups.rule_groups import find_groups
from webhook_app.pipeline.incidents.groups.window_groups import reported_groups, with_webhooks
from webhook_app.pipeline.incidents.inputs.live_inputs import LiveInputs
from webhook_app.pipeline.incidents.inputs.rule_inputs import CountInputs
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS, FAILURE_KINDS, Rule
from webhook_app.store.incidents.alerts import group_key

LIVE = (*COUNTING_KINDS, "silence", "signature", "health", "integrity", "self")
"""Kinds that are fast enough for a page. The messaging limit counts all contacts of a day and is not."""


def closest_groups(
    rule: Rule, inputs: LiveInputs, opened: Sequence[OpenGroup], limit: int
) -> list[RuleGroup]:
    """Up to `limit` groups: those with an open alert first, then by distance to the threshold."""
    if rule.kind in COUNTING_KINDS:
        found = _counted_groups(rule, inputs, opened, limit)
        if rule.kind in FAILURE_KINDS and (beyond := inputs.beyond_reports()) is not None:
            of_webhooks = _counted_groups(rule, beyond, [each for each in opened if each.is_shown], limit)
            found = with_webhooks(found, of_webhooks, opened, reported_groups(rule, inputs))
    else:
        found = find_groups(rule, inputs, opened).groups
    with_alert = {group_key(each.group) for each in opened}
    return sorted(
        found,
        key=lambda rule_group: (
            rule_group.key not in with_alert,
            -rule_group.judgement.closeness,
            rule_group.key,
        ),
    )[:limit]


def _counted_groups(
    rule: Rule, inputs: CountInputs, opened: Sequence[OpenGroup], limit: int
) -> list[RuleGroup]:
    groups = window_of(rule, inputs, rule.window_minutes).by_group(rule.group_by, counted_by(rule))
    nearest = sorted(groups, key=lambda values: (-groups[values].failures, -groups[values].attempts, values))
    return judge_counted_groups(rule, inputs, opened, groups, nearest[:limit])
