"""The groups that a rule has to judge at one moment, each with its look: one function per kind of counting rule.

Pure but for the facts it is given; what becomes of a look is decided by the life of an alert.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct

from webhook_app.pipeline.incidents.rule_inputs import RuleInputs
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import COUNTING_KINDS, Judgement, Rule, judge_rate, selects
from webhook_app.rules.incidents.anomalies import (
    TrafficFlow,
    judge_attention,
    judge_new_code,
    judge_silence,
    judge_spike,
)
from webhook_app.store.counts.window_counts import Counted, GroupKey, SeriesKey, WindowCounts, values_of
from webhook_app.store.incidents.alerts import group_key
from webhook_app.whatsapp.errors.catalogue import explain

Group = dict[str, str | int]
COUNTING = COUNTING_KINDS

_LEARNING = timedelta(hours=24)
"""For so long after its first message everything a number meets is new, and nothing is told of it."""

_NONE = Counts(0, 0)


class Open(Struct, frozen=True):
    """An open alert of the rule, as far as its kind asks."""

    group: Group
    limit: float = 0.0
    is_firing: bool = False


class RuleGroup(Struct, frozen=True, kw_only=True):
    """One group of one rule at one moment. Without a rate, `finding` says what is the matter."""

    rule: Rule
    group: Group
    key: str
    """The group in the spelling that alerts are found by."""
    look: Judgement
    counts: Counts = _NONE
    window: WindowCounts | None = None
    finding: str = ""
    details: tuple[tuple[str, str], ...] = ()
    advice: str = ""
    account_wide: bool = False


def counted_by(rule: Rule) -> Counted:
    """Which codes the rule counts, each looked up once."""
    known: dict[int, bool] = {}

    def counted(code: int) -> bool:
        if code not in known:
            known[code] = selects(rule, explain(code), code)
        return known[code]

    return counted


Groups = Mapping[GroupKey, Counts]
"""Of one window by a rule's dimensions."""


class FoundGroups(Struct, frozen=True):
    """The groups of a rule worth a word: those that might be above, those with an open alert, the nearest."""

    cases: list[RuleGroup]
    groups: int
    """How many were looked at."""


def counting_cases(rule: Rule, facts: RuleInputs, opened: Sequence[Open]) -> FoundGroups:
    """The groups of the rule with messages or an open alert, looked at as its kind does."""
    groups = facts.window(rule.window_minutes).by_group(rule.group_by, counted_by(rule))
    found = counting_cases_of(rule, facts, opened, groups, _serious(rule, groups))
    return FoundGroups(found, max(len(groups), len(found)))


def counting_cases_of(
    rule: Rule, facts: RuleInputs, opened: Sequence[Open], groups: Groups, chosen: Sequence[GroupKey]
) -> list[RuleGroup]:
    """The same for those of the groups that are chosen or have an open alert. Of codes only those that are new."""
    window = facts.window(rule.window_minutes)
    known = {group_key(each.group): each for each in opened}
    cases = _open_cases(rule, window, groups, opened)
    taken = {case.key for case in cases}
    if rule.kind == "new_code" and chosen:
        chosen = _new_among(rule, facts, chosen)
    for values in chosen:
        group: Group = dict(zip(rule.group_by, values, strict=True))
        key = group_key(group)
        if key not in taken:
            cases.append(_Counting(rule, group, key, groups[values]))
    looks = _looks(rule, facts, cases, known)
    found = [
        RuleGroup(rule=rule, group=case.group, key=case.key, look=look, counts=case.counts, window=window)
        for case, look in zip(cases, looks, strict=True)
    ]
    # In one order everywhere: evaluations that open the same alerts cannot deadlock.
    return sorted(found, key=lambda case: case.key)


class _Counting(Struct, frozen=True):
    rule: Rule
    group: Group
    key: str
    counts: Counts


def _serious(rule: Rule, groups: Groups) -> list[GroupKey]:
    """Groups that the kind could find above, and the one that comes nearest: thousands more are calm."""
    enough = [
        values
        for values, count in groups.items()
        if count.failures >= rule.min_failures
        and (rule.kind not in ("rate", "spike") or _may_be_above(rule, count))
    ]
    if enough or rule.kind == "new_code":
        return enough
    nearest = max(groups, key=lambda values: groups[values].failures, default=None)
    return [] if nearest is None or rule.kind == "spike" else [nearest]


def _may_be_above(rule: Rule, counts: Counts) -> bool:
    return counts.attempts >= rule.min_attempts and counts.failures > rule.threshold * counts.attempts


def _open_cases(rule: Rule, window: WindowCounts, groups: Groups, opened: Iterable[Open]) -> list[_Counting]:
    counted = counted_by(rule)
    found = []
    for each in opened:
        code = each.group.get("code")
        if each.group.keys() != set(rule.group_by) or (code is not None and not counted(int(code))):
            continue
        values = tuple(each.group[name] for name in rule.group_by)
        count = groups.get(values)
        if count is None:
            own = window.within(each.group)
            count = Counts(sum(own.attempts.values()), own.failures(counted))
        found.append(_Counting(rule, each.group, group_key(each.group), count))
    return found


_Known = Mapping[str, Open]


def _looks(rule: Rule, facts: RuleInputs, cases: Sequence[_Counting], known: _Known) -> list[Judgement]:
    match rule.kind:
        case "rate":
            return [judge_rate(rule, case.counts) for case in cases]
        case "attention":
            return [judge_attention(rule, case.counts) for case in cases]
        case "new_code":  # what is not new has been left out
            return [judge_new_code(rule, case.counts, is_new=True) for case in cases]
        case _:
            return _looks_at_spikes(rule, facts, cases, known)


def _new_among(rule: Rule, facts: RuleInputs, groups: Sequence[GroupKey]) -> list[GroupKey]:
    """Those whose code the rest of the group has not met, if that is known for long enough."""
    others = tuple(name for name in rule.group_by if name != "code")
    at_code = rule.group_by.index("code")

    def place(values: GroupKey) -> GroupKey:
        return (*values[:at_code], *values[at_code + 1 :])

    def without(met: WindowCounts, left: Sequence[GroupKey]) -> list[GroupKey]:
        once = met.failed_once_by(others)
        return [values for values in left if place(values) not in once.get(int(values[at_code]), {})]

    left = without(facts.met(rule.window_minutes, rule.quiet_days), groups)
    left = without(facts.met_lately(rule.window_minutes), left) if left else []
    if not left:
        return []
    learnt_by = facts.now - _LEARNING
    learnt = {
        tuple(getattr(series, name) for name in others)
        for series, first in facts.known_since(rule.quiet_days).items()
        if first <= learnt_by
    }
    return [values for values in left if place(values) in learnt]


def _looks_at_spikes(
    rule: Rule, facts: RuleInputs, cases: Sequence[_Counting], known: _Known
) -> list[Judgement]:
    if not cases:
        return []
    others = tuple(name for name in rule.group_by if name != "code")
    usual = facts.usual(rule.window_minutes, rule.baseline_hours)
    attempts, failures = usual.attempts_by(others), usual.by_group(rule.group_by, counted_by(rule))
    looks = []
    for case in cases:
        place = tuple(case.group[name] for name in others)
        values = tuple(case.group[name] for name in rule.group_by)
        before = Counts(attempts.get(place, 0), failures.get(values, _NONE).failures)
        limit = known[case.key].limit if case.key in known and known[case.key].is_firing else None
        looks.append(judge_spike(rule, case.counts, before, limit))
    return looks


def silence_cases(rule: Rule, facts: RuleInputs, opened: Sequence[Open]) -> FoundGroups:
    """Every number, account or the whole, from which webhooks are usual, were seen or should be."""
    minutes = rule.window_minutes

    def by_place(events: Mapping[SeriesKey, float]) -> dict[GroupKey, float]:
        found: dict[GroupKey, float] = {}
        for series, count in events.items():
            place = values(series)
            found[place] = found.get(place, 0) + count
        return found

    values = values_of(rule.group_by)
    seen = by_place(facts.webhooks(minutes))
    days = [by_place(day) for day in facts.usual_webhooks(minutes)]
    sends: dict[GroupKey, int] = {}
    if "waba_id" not in rule.group_by:  # senders report the number, and no account
        for number, count in facts.sends(minutes).items():
            sender: GroupKey = (number,) if rule.group_by else ()
            sends[sender] = sends.get(sender, 0) + count
    places: set[GroupKey] = set(seen) | set(sends)
    for day in days:
        places |= set(day)
    places |= {
        tuple(each.group[name] for name in rule.group_by)
        for each in opened
        if each.group.keys() == set(rule.group_by)
    }
    cases = []
    for place in sorted(places, key=str):
        usual = [day.get(place, 0.0) for day in days]
        look = judge_silence(rule, TrafficFlow(round(seen.get(place, 0)), usual, sends.get(place, 0)))
        group: Group = dict(zip(rule.group_by, place, strict=True))
        cases.append(
            RuleGroup(
                rule=rule,
                group=group,
                key=group_key(group),
                look=look,
                finding=f"{look.words[0].upper()}{look.words[1:]}",
                advice=_SILENCE,
            )
        )
    return FoundGroups(cases, len(cases))


_SILENCE = (
    "See in Meta's App Dashboard whether the webhook is still subscribed to `messages` and answers 200, whether the"
    " app is subscribed to the WhatsApp Business Account, and whether this host can be reached from outside."
)
