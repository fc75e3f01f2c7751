"""The usual share of failures of a group, with which its share now is compared."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

from webhook_app.pipeline.incidents.groups.rule_group import NO_COUNTS, Group, counted_by
from webhook_app.pipeline.incidents.groups.rule_inputs import RuleInputs
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.alerts import Rule, chronic_share, selects, usual_share
from webhook_app.rules.incidents.outcomes import KNOWN, KNOWN_IN_HOURS, usual_outcome_share
from webhook_app.store.counts.window_counts import GroupKey, WindowCounts, class_of
from webhook_app.whatsapp.errors.catalogue import explain

_USUAL_HOURS = 168
_DAY_MINUTES = 1_440
UNREACHABLE = 131026


class GroupOfRule(Protocol):
    """Anything that has the values of a group."""

    @property
    def group(self) -> Group: ...


def usual_shares(rule: Rule, inputs: RuleInputs, selected: Sequence[GroupOfRule]) -> list[float]:
    """The usual share of each group, for failures that depend on whom the sender writes to; 0 for the others.

    It is the share of the week before, at most a day ago for long windows. A group with a short past is expected to be
    like the rest, and what its past may be by chance is usual too. A group with a chronic finding is compared with its
    own share of up to 28 days.
    """
    chronic = [inputs.chronic.usual_hours(each.group, counted_by(rule)) for each in selected]
    if not (rule.windows and selects(rule, explain(UNREACHABLE), UNREACHABLE)):
        return [
            _chronic_share(rule, inputs, each, hours) for each, hours in zip(selected, chronic, strict=True)
        ]
    others = tuple(name for name in rule.group_by if name != "code")
    usual = inputs.usual(min(rule.window_minutes, _DAY_MINUTES), _USUAL_HOURS)
    attempts, failures = usual.attempts_by(others), usual.by_group(rule.group_by, counted_by(rule))
    shares = []
    for each, hours in zip(selected, chronic, strict=True):
        if hours:
            shares.append(_chronic_share(rule, inputs, each, hours))
            continue
        if "code" in each.group and class_of(int(each.group["code"])) != "unreachable":
            shares.append(0.0)
            continue
        tried = attempts.get(tuple(each.group[name] for name in others), 0)
        failed = failures.get(tuple(each.group[name] for name in rule.group_by), NO_COUNTS).failures
        shares.append(usual_share(Counts(tried, failed), _overall(usual, rule, each.group)))
    return shares


def _chronic_share(rule: Rule, inputs: RuleInputs, group: GroupOfRule, hours: int) -> float:
    """The usual share of a group with a chronic finding, over so many hours; 0 without one."""
    if not hours:
        return 0.0
    usual = inputs.usual(min(rule.window_minutes, _DAY_MINUTES), hours)
    place = tuple(group.group[name] for name in rule.group_by if name != "code")
    tried = usual.attempts_by(tuple(name for name in rule.group_by if name != "code")).get(place, 0)
    values = tuple(group.group[name] for name in rule.group_by)
    return chronic_share(
        Counts(tried, usual.by_group(rule.group_by, counted_by(rule)).get(values, NO_COUNTS).failures)
    )


def outcome_shares(rule: Rule, inputs: RuleInputs, selected: Sequence[GroupOfRule]) -> list[float | None]:
    """The usual share of each group in the same hours of the days before; None where too little is known.

    Where these hours have few messages, all hours count. It is at least the share that is usual for the business
    numbers which send now: they may be others than usual.
    """
    measure = rule.measure
    if not selected or measure is None:
        return []
    shares = [
        usual_outcome_share(_past_outcomes(rule, inputs, measure, rule.group_by, each.group))
        for each in selected
    ]
    if "phone_number_id" in rule.group_by:
        return shares
    numbers = _messages_by_number(rule, inputs, measure)
    groups = [tuple(each.group[name] for name in rule.group_by) for each in selected]
    return [
        None if own is None else max(own, _share_of_numbers(rule, inputs, measure, numbers[group], own))
        for own, group in zip(shares, groups, strict=True)
    ]


def _past_outcomes(
    rule: Rule, inputs: RuleInputs, measure: OutcomeMeasure, names: Sequence[str], group: Group
) -> Counts:
    values, found = tuple(group[name] for name in names), NO_COUNTS
    for minutes in (rule.window_minutes, max(rule.window_minutes, _DAY_MINUTES)):
        past = inputs.usual_outcomes(measure, minutes).by_group(names, counted_by(rule))
        found = past.get(values, NO_COUNTS)
        if found.attempts >= KNOWN_IN_HOURS:
            break
    return found


def _messages_by_number(
    rule: Rule, inputs: RuleInputs, measure: OutcomeMeasure
) -> Mapping[GroupKey, Mapping[str, int]]:
    """The messages of each group of the rule in its window, by business number."""
    names = (*rule.group_by, "phone_number_id")
    found: defaultdict[GroupKey, dict[str, int]] = defaultdict(dict)
    for (*values, number), messages in (
        inputs.outcomes(measure, rule.window_minutes).attempts_by(names).items()
    ):
        found[tuple(values)][str(number)] = messages
    return found


def _share_of_numbers(
    rule: Rule, inputs: RuleInputs, measure: OutcomeMeasure, messages: Mapping[str, int], otherwise: float
) -> float:
    """The share to expect of these messages by business number, from what is usual for each number."""
    expected = 0.0
    for number, count in messages.items():
        past = _past_outcomes(rule, inputs, measure, ("phone_number_id",), {"phone_number_id": number})
        expected += count * (past.failures / past.attempts if past.attempts >= KNOWN else otherwise)
    return expected / max(sum(messages.values()), 1)


def _overall(usual: WindowCounts, rule: Rule, group: Group) -> Counts:
    """What all groups together had of the same failures."""
    if "code" in group:
        counts = usual.by_group(("code",), counted_by(rule)).get((int(group["code"]),), NO_COUNTS)
    else:
        counts = usual.by_group((), counted_by(rule)).get((), NO_COUNTS)
    return Counts(usual.attempts_by(()).get((), 0), counts.failures)
