"""Finds the codes for which webhooks alone show a group above, without what senders report: that may be made up."""

from collections.abc import Collection, Sequence

from msgspec.structs import replace

from webhook_app.pipeline.incidents.groups.rule_group import (
    NO_COUNTS,
    OpenGroup,
    RuleGroup,
    WebhookProof,
    counted_by,
    is_crowded,
)
from webhook_app.pipeline.incidents.inputs.rule_inputs import CountInputs, RuleInputs
from webhook_app.rules.incidents.alerts import Reading
from webhook_app.rules.incidents.rules_file.rule import FAILURE_KINDS, Rule
from webhook_app.store.counts.window_counts import WindowCounts
from webhook_app.store.incidents.alerts import group_key

_LEADING_SHARE = 0.1
"""Of the failures of the first code, for a code to be one of those that webhooks show."""


def with_proof(
    rule: Rule,
    inputs: RuleInputs,
    groups: Sequence[RuleGroup],
    opened: Sequence[OpenGroup],
    shown: Collection[str],
) -> list[RuleGroup]:
    """The groups of the rule; those above and the open ones with what webhooks alone say of them.

    `shown`: the keys of the groups that webhooks alone show above.
    """
    if rule.kind not in FAILURE_KINDS:
        return list(groups)
    known, beyond = {group_key(each.group) for each in opened}, inputs.beyond_reports()
    return [
        replace(each, proof=_proof(each, inputs, beyond, is_shown=each.key in shown))
        if each.key in known or each.judgement.reading is Reading.ABOVE
        else each
        for each in groups
    ]


def worst_first(rule: Rule, inputs: RuleInputs, groups: Sequence[RuleGroup]) -> list[RuleGroup]:
    """The groups with most failures first. Of more than have alerts, by those that webhooks show, and then those of
    numbers that Meta has named: senders can make up any number of others.
    """
    found = sorted(groups, key=lambda each: (-each.counts.failures, each.key))
    beyond = inputs.beyond_reports()
    if rule.kind not in FAILURE_KINDS or not is_crowded(groups) or beyond is None:
        return found
    counted, known = counted_by(rule), inputs.known_numbers()
    windows = {
        minutes: (
            inputs.reported(minutes).by_group(rule.group_by, counted),
            beyond.window(minutes).by_group(rule.group_by, counted),
        )
        for minutes in {each.rule.window_minutes for each in groups}
    }

    def rank(each: RuleGroup) -> tuple[int, bool]:
        values = tuple(each.group[name] for name in rule.group_by)
        reported, shown = windows[each.rule.window_minutes]
        failures = shown.get(values, NO_COUNTS).failures if values in reported else each.counts.failures
        return -failures, each.group.get("phone_number_id") not in known

    return sorted(found, key=rank)


def _proof(
    found: RuleGroup, inputs: RuleInputs, beyond: CountInputs | None, *, is_shown: bool
) -> WebhookProof:
    rule = found.rule
    values = tuple(found.group[name] for name in rule.group_by)
    reported = inputs.reported(rule.window_minutes)
    if beyond is None or values not in reported.by_group(rule.group_by, counted_by(rule)):
        is_above = found.judgement.reading is Reading.ABOVE
        return WebhookProof(_codes(found, found.window) if is_above else (), has_reports=False)
    window = beyond.window(rule.window_minutes)
    return WebhookProof(_codes(found, window) if is_shown else (), has_reports=True, window=window)


def _codes(found: RuleGroup, window: WindowCounts | None) -> tuple[int, ...]:
    if window is None:
        return ()
    own = WindowCounts({}, window.failed_within(found.group))
    by_code = own.failures_by(lambda mark: (mark.code,), counted_by(found.rule)).most_common()
    least = _LEADING_SHARE * by_code[0][1] if by_code else 0
    return tuple(int(code) for (code,), failures in by_code if failures >= least)
