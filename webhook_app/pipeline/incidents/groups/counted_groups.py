"""Judges groups of rules that count messages, in one window.

Depends only on its inputs. alert_lifecycle.py acts on the judgements.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from webhook_app.pipeline.incidents.groups.rule_group import (
    NO_COUNTS,
    Group,
    OpenGroup,
    RuleGroup,
    counted_by,
)
from webhook_app.pipeline.incidents.groups.usual_shares import outcome_shares, usual_shares
from webhook_app.pipeline.incidents.inputs.rule_inputs import CountInputs
from webhook_app.rules.counts.binomial import fewest_failures
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Judgement
from webhook_app.rules.incidents.anomalies import judge_attention, judge_new_code, judge_spike
from webhook_app.rules.incidents.outcomes import ADVICE, FINDINGS, judge_outcomes
from webhook_app.rules.incidents.rates import judge_rate
from webhook_app.rules.incidents.rules_file.rule import SHARE_KINDS, Rule
from webhook_app.store.counts.window_counts import GroupCounts, GroupKey, WindowCounts
from webhook_app.store.incidents.alerts import group_key

_MIN_AGE = timedelta(hours=24)
"""A number younger than this has no new codes, since every code is new to it."""


def window_of(rule: Rule, inputs: CountInputs, minutes: int) -> WindowCounts:
    """The counts that the rule judges: failed messages, or outcomes."""
    return inputs.window(minutes) if rule.measure is None else inputs.outcomes(rule.measure, minutes)


def judge_counted_groups(
    rule: Rule,
    inputs: CountInputs,
    opened: Sequence[OpenGroup],
    groups: GroupCounts,
    chosen: Sequence[GroupKey],
) -> list[RuleGroup]:
    """Judge the chosen groups and those with an open alert. For kind new_code, only chosen ones with a new code."""
    window = window_of(rule, inputs, rule.window_minutes)
    known = {group_key(each.group): each for each in opened}
    selected = _open_groups(rule, window, groups, opened)
    selected_keys = {rule_group.key for rule_group in selected}
    if rule.kind == "new_code" and chosen:
        chosen = _new_codes(rule, inputs, chosen)
    for values in chosen:
        group: Group = dict(zip(rule.group_by, values, strict=True))
        key = group_key(group)
        if key not in selected_keys:
            selected.append(CountedGroup(rule, group, key, groups[values]))
    judgements = judge(rule, inputs, selected, known)
    found = [
        RuleGroup(
            rule=rule,
            group=rule_group.group,
            key=rule_group.key,
            judgement=judgement,
            counts=rule_group.counts,
            window=window,
            finding=FINDINGS.get(rule.kind, ""),
            advice=ADVICE.get(rule.kind, ""),
        )
        for rule_group, judgement in zip(selected, judgements, strict=True)
    ]
    # The same order everywhere, so that concurrent evaluations that open the same alerts cannot deadlock.
    return sorted(found, key=lambda rule_group: rule_group.key)


class CountedGroup(Struct, frozen=True):
    """The counts of one group of a rule."""

    rule: Rule
    group: Group
    key: str
    counts: Counts


def candidates(rule: Rule, groups: GroupCounts) -> list[GroupKey]:
    """The groups that may be above, or else the closest one; there may be thousands of calm ones.

    Rules with the same criterion share them, and those of a kept window are kept with it.
    """
    criterion = (
        rule.kind, rule.min_failures, rule.min_attempts, rule.threshold, rule.window_error, bool(rule.windows)
    )  # fmt: skip
    if criterion not in groups.selected:
        groups.selected[criterion] = _select(rule, groups)
    return groups.selected[criterion]


def _select(rule: Rule, groups: GroupCounts) -> list[GroupKey]:
    least, share = rule.min_failures, rule.threshold if rule.kind in SHARE_KINDS else 0.0
    enough = [
        values
        for values, count in groups.items()
        if count.failures >= least and count.failures > share * count.attempts
    ]
    if rule.kind in SHARE_KINDS:
        enough = [values for values in enough if _may_be_above(rule, groups[values])]
    if enough or rule.kind == "new_code":
        return enough
    nearest = max(groups, key=lambda values: groups[values].failures, default=None)
    return [] if nearest is None or rule.kind == "spike" else [nearest]


def _may_be_above(rule: Rule, counts: Counts) -> bool:
    if rule.windows:
        attempts = max(counts.attempts, counts.failures)
        return counts.failures >= fewest_failures(attempts, rule.threshold, rule.window_error)
    return counts.attempts >= rule.min_attempts


def _open_groups(
    rule: Rule, window: WindowCounts, groups: GroupCounts, opened: Iterable[OpenGroup]
) -> list[CountedGroup]:
    counted = counted_by(rule)
    attempts = window.attempts_by(tuple(name for name in rule.group_by if name != "code"))
    found = []
    for each in opened:
        code = each.group.get("code")
        if each.group.keys() != set(rule.group_by) or (code is not None and not counted(int(code))):
            continue
        values = tuple(each.group[name] for name in rule.group_by)
        count = groups.get(values)
        if count is None:
            place = tuple(each.group[name] for name in rule.group_by if name != "code")
            count = Counts(attempts.get(place, 0), 0)
        found.append(CountedGroup(rule, each.group, group_key(each.group), count))
    return found


_OpenByKey = Mapping[str, OpenGroup]


def judge(
    rule: Rule, inputs: CountInputs, selected: Sequence[CountedGroup], known: _OpenByKey
) -> list[Judgement]:
    """The judgement of each of these groups by its counts. `known`: the open groups by key."""
    match rule.kind:
        case "undelivered" | "slow":
            shares = outcome_shares(rule, inputs, selected)
            return [
                judge_outcomes(rule, each.counts, share) for each, share in zip(selected, shares, strict=True)
            ]
        case "rate":
            usual = usual_shares(rule, inputs, selected)
            return [judge_rate(rule, each.counts, share) for each, share in zip(selected, usual, strict=True)]
        case "attention":
            return [judge_attention(rule, rule_group.counts) for rule_group in selected]
        case "new_code":  # groups without a new code were left out before
            return [judge_new_code(rule, rule_group.counts, is_new=True) for rule_group in selected]
        case _:
            return _judge_spikes(rule, inputs, selected, known)


def _new_codes(rule: Rule, inputs: CountInputs, groups: Sequence[GroupKey]) -> list[GroupKey]:
    """The groups whose code is new to the rest of the group, if that has existed for long enough."""
    others = tuple(name for name in rule.group_by if name != "code")
    at_code = rule.group_by.index("code")

    def place(values: GroupKey) -> GroupKey:
        return (*values[:at_code], *values[at_code + 1 :])

    def without(met: WindowCounts, remaining: Sequence[GroupKey]) -> list[GroupKey]:
        once = met.failed_once_by(others)
        return [values for values in remaining if place(values) not in once.get(int(values[at_code]), {})]

    remaining = without(inputs.met(rule.window_minutes, rule.quiet_days), groups)
    remaining = without(inputs.met_lately(rule.window_minutes), remaining) if remaining else []
    if not remaining:
        return []
    learnt_by = inputs.now - _MIN_AGE
    learnt = {
        tuple(getattr(series, name) for name in others)
        for series, first in inputs.known_since(rule.quiet_days).items()
        if first <= learnt_by
    }
    return [values for values in remaining if place(values) in learnt]


def _judge_spikes(
    rule: Rule, inputs: CountInputs, selected: Sequence[CountedGroup], known: _OpenByKey
) -> list[Judgement]:
    if not selected:
        return []
    others = tuple(name for name in rule.group_by if name != "code")
    usual = inputs.usual(rule.window_minutes, rule.baseline_hours)
    attempts, failures = usual.attempts_by(others), usual.by_group(rule.group_by, counted_by(rule))
    judgements = []
    for rule_group in selected:
        place = tuple(rule_group.group[name] for name in others)
        values = tuple(rule_group.group[name] for name in rule.group_by)
        before = Counts(attempts.get(place, 0), failures.get(values, NO_COUNTS).failures)
        limit = (
            known[rule_group.key].limit
            if rule_group.key in known and known[rule_group.key].is_firing
            else None
        )
        judgements.append(judge_spike(rule, rule_group.counts, before, limit))
    return judgements
