"""The usual share of failures of a group, with which its share now is compared."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Protocol

from webhook_app.pipeline.incidents.groups.rule_group import NO_COUNTS, Group, counted_by
from webhook_app.pipeline.incidents.inputs.rule_inputs import CountInputs
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.outcomes import KNOWN, KNOWN_IN_HOURS, usual_outcome_share
from webhook_app.rules.incidents.rates import chronic_share, usual_share
from webhook_app.rules.incidents.rules_file.rule import Rule, selects
from webhook_app.store.counts.window_counts import GroupCounts, GroupKey, WindowCounts, class_of
from webhook_app.whatsapp.errors.catalogue import explain

_USUAL_HOURS = 168
_DAY_MINUTES = 1_440
UNREACHABLE = 131026


class GroupOfRule(Protocol):
    """Anything that has the values of a group."""

    @property
    def group(self) -> Group: ...


def usual_shares(rule: Rule, inputs: CountInputs, selected: Sequence[GroupOfRule]) -> list[float]:
    """The usual share of each group, for failures that depend on whom the sender writes to; 0 for the others.

    It is the share of the week before, at most a day ago for long windows. A group with a short past is expected to be
    like the rest, and what its past may be by chance is usual too. A group with a chronic finding is compared with its
    own share of up to 28 days.
    """
    counted, minutes = counted_by(rule), min(rule.window_minutes, _DAY_MINUTES)
    chronic = [inputs.chronic.usual_hours(each.group, counted) for each in selected]
    own = {hours: _counts_in(inputs.usual(minutes, hours), rule) for hours in {*chronic} - {0}}
    depends = selected and rule.windows and selects(rule, explain(UNREACHABLE), UNREACHABLE)
    usual = _shares_in(inputs.usual(minutes, _USUAL_HOURS), rule) if depends else None
    return [
        chronic_share(own[hours](each.group)) if hours else usual(each.group) if usual else 0.0
        for each, hours in zip(selected, chronic, strict=True)
    ]


def _counts_in(past: WindowCounts, rule: Rule) -> Callable[[Group], Counts]:
    """A function that returns the counts of a group of the rule in this window."""
    others = tuple(name for name in rule.group_by if name != "code")
    attempts, groups = past.attempts_by(others), past.by_group(rule.group_by, counted_by(rule))

    def counts(group: Group) -> Counts:
        tried = attempts.get(tuple(group[name] for name in others), 0)
        return Counts(tried, groups.get(tuple(group[name] for name in rule.group_by), NO_COUNTS).failures)

    return counts


def _shares_in(past: WindowCounts, rule: Rule) -> Callable[[Group], float]:
    """A function that returns the usual share of a group, from this window of the group and of all groups."""
    own, attempts = _counts_in(past, rule), past.attempts_by(()).get((), 0)
    overall = past.by_group(("code",) if "code" in rule.group_by else (), counted_by(rule))

    def share(group: Group) -> float:
        code = (int(group["code"]),) if "code" in group else ()
        if code and class_of(*code) != "unreachable":
            return 0.0
        return usual_share(own(group), Counts(attempts, overall.get(code, NO_COUNTS).failures))

    return share


def outcome_shares(rule: Rule, inputs: CountInputs, selected: Sequence[GroupOfRule]) -> list[float | None]:
    """The usual share of each group in the same hours of the days before; None where too little is known.

    Where these hours have few messages, all hours count. It is at least the share that is usual for the business
    numbers which send now: they may be others than usual.
    """
    measure = rule.measure
    if not selected or measure is None:
        return []
    past = _past_outcomes(rule, inputs, measure, rule.group_by)
    shares = [
        usual_outcome_share(past(tuple(each.group[name] for name in rule.group_by))) for each in selected
    ]
    if "phone_number_id" in rule.group_by:
        return shares
    past = _past_outcomes(rule, inputs, measure, ("phone_number_id",))
    numbers = _messages_by_number(rule, inputs, measure)
    groups = [tuple(each.group[name] for name in rule.group_by) for each in selected]
    return [
        None if own is None else max(own, _share_of_numbers(past, numbers[group], own))
        for own, group in zip(shares, groups, strict=True)
    ]


def _past_outcomes(
    rule: Rule, inputs: CountInputs, measure: OutcomeMeasure, names: Sequence[str]
) -> Callable[[GroupKey], Counts]:
    """A function that returns the outcomes of a group in the hours that say what is usual."""
    counted = counted_by(rule)

    @cache
    def groups(minutes: int) -> GroupCounts:
        return inputs.usual_outcomes(measure, minutes).by_group(names, counted)

    def past(values: GroupKey) -> Counts:
        found = groups(rule.window_minutes).get(values, NO_COUNTS)
        if found.attempts >= KNOWN_IN_HOURS:
            return found
        return groups(max(rule.window_minutes, _DAY_MINUTES)).get(values, NO_COUNTS)

    return past


def _messages_by_number(
    rule: Rule, inputs: CountInputs, measure: OutcomeMeasure
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
    past: Callable[[GroupKey], Counts], messages: Mapping[str, int], otherwise: float
) -> float:
    """The share to expect of these messages by business number, from what is usual for each number."""
    expected = 0.0
    for number, count in messages.items():
        usual = past((number,))
        expected += count * (usual.failures / usual.attempts if usual.attempts >= KNOWN else otherwise)
    return expected / max(sum(messages.values()), 1)
