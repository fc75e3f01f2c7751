"""Finds the codes for which webhooks alone show a group above, without what senders report: that may be made up."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from webhook_app.pipeline.incidents.groups.counted_groups import CountedGroup, judge
from webhook_app.pipeline.incidents.groups.rule_group import (
    ENOUGH_TO_JUDGE,
    NO_COUNTS,
    OpenGroup,
    RuleGroup,
    WebhookProof,
    counted_by,
    is_crowded,
)
from webhook_app.pipeline.incidents.inputs.rule_inputs import CountInputs, RuleInputs
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Reading
from webhook_app.rules.incidents.rules_file.rule import FAILURE_KINDS, Rule
from webhook_app.store.counts.window_counts import WindowCounts
from webhook_app.store.incidents.alerts import group_key

_LEADING_SHARE = 0.1
"""Of the failures of the first code, for a code to be one of those that webhooks show."""


def with_proof(
    rule: Rule, inputs: RuleInputs, groups: Sequence[RuleGroup], opened: Sequence[OpenGroup]
) -> list[RuleGroup]:
    """The groups of the rule; those above and the open ones with what webhooks alone say of them."""
    if rule.kind not in FAILURE_KINDS:
        return list(groups)
    known, beyond = {group_key(each.group): each for each in opened}, inputs.beyond_reports()
    return [
        replace(each, proof=_proof(each, inputs, beyond, known))
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
    found: RuleGroup, inputs: RuleInputs, beyond: CountInputs | None, known: Mapping[str, OpenGroup]
) -> WebhookProof:
    rule, is_above = found.rule, found.judgement.reading is Reading.ABOVE
    values = tuple(found.group[name] for name in rule.group_by)
    if beyond is None or values not in inputs.reported(rule.window_minutes).by_group(
        rule.group_by, counted_by(rule)
    ):
        return WebhookProof(_codes(found, found.window) if is_above else (), has_reports=False)
    is_shown = _read(found, rule, beyond, known)[0] is Reading.ABOVE
    if is_shown and found.key in known and known[found.key].is_firing:
        is_shown = not _has_recovered(found, beyond, known)
    window = beyond.window(rule.window_minutes)
    return WebhookProof(_codes(found, window) if is_shown else (), has_reports=True, window=window)


def _has_recovered(found: RuleGroup, inputs: CountInputs, known: Mapping[str, OpenGroup]) -> bool:
    """Whether the alert would recover by webhooks alone: longer windows still hold the failures it began with."""
    for minutes in found.rule.windows:
        if minutes < found.rule.window_minutes:
            reading, attempts = _read(found, replace(found.rule, window_minutes=minutes), inputs, known)
            if attempts >= ENOUGH_TO_JUDGE:
                return reading is Reading.BELOW
    return False


def _read(
    found: RuleGroup, rule: Rule, inputs: CountInputs, known: Mapping[str, OpenGroup]
) -> tuple[Reading, int]:
    """How the rule judges the group by webhooks alone, and of how many messages."""
    window = inputs.window(rule.window_minutes)
    values = tuple(found.group[name] for name in rule.group_by)
    others = tuple(name for name in rule.group_by if name != "code")
    attempts = window.attempts_by(others).get(tuple(found.group[name] for name in others), 0)
    failures = window.by_group(rule.group_by, counted_by(rule)).get(values, NO_COUNTS).failures
    counts = Counts(max(attempts, failures), failures)
    [judgement] = judge(rule, inputs, [CountedGroup(rule, found.group, found.key, counts)], known)
    return judgement.reading, counts.attempts


def _codes(found: RuleGroup, window: WindowCounts | None) -> tuple[int, ...]:
    if window is None:
        return ()
    own = WindowCounts({}, window.failed_within(found.group))
    by_code = own.failures_by(lambda mark: (mark.code,), counted_by(found.rule)).most_common()
    least = _LEADING_SHARE * by_code[0][1] if by_code else 0
    return tuple(int(code) for (code,), failures in by_code if failures >= least)
