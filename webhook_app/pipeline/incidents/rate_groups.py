"""Finds and judges the groups of rules that count messages, one function per kind.

Depends only on its inputs. alert_lifecycle.py acts on the judgements.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.pipeline.incidents.outcome_inputs import outcome_span
from webhook_app.pipeline.incidents.rule_inputs import RuleInputs
from webhook_app.rules.counts.binomial import fewest_failures
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import (
    COUNTING_KINDS,
    SHARE_KINDS,
    Judgement,
    Reading,
    Rule,
    chronic_share,
    judge_rate,
    selects,
    usual_share,
)
from webhook_app.rules.incidents.anomalies import (
    TrafficFlow,
    judge_attention,
    judge_new_code,
    judge_silence,
    judge_spike,
)
from webhook_app.rules.incidents.outcomes import ADVICE, FINDINGS, judge_outcomes, usual_outcome_share
from webhook_app.store.counts.window_counts import Counted, GroupKey, WindowCounts, class_of, values_of
from webhook_app.store.incidents.alerts import group_key
from webhook_app.whatsapp.errors.catalogue import explain

Group = dict[str, str | int]
COUNTING = COUNTING_KINDS

_MIN_AGE = timedelta(hours=24)
"""A number younger than this has no new codes, since every code is new to it."""

_NONE = Counts(0, 0)
_USUAL_HOURS = 168
_DAY_MINUTES = 1_440
UNREACHABLE = 131026


class OpenGroup(Struct, frozen=True):
    """The part of an open alert that judging its group needs."""

    group: Group
    limit: float = 0.0
    is_firing: bool = False


class RuleGroup(Struct, frozen=True, kw_only=True):
    """One group of one rule at one time, with its judgement. `finding` is the problem for kinds without a rate."""

    rule: Rule
    group: Group
    key: str
    """The key of the group, by which its alert is found."""
    judgement: Judgement
    counts: Counts = _NONE
    window: WindowCounts | None = None
    finding: str = ""
    details: tuple[tuple[str, str], ...] = ()
    advice: str = ""
    account_wide: bool = False
    recent: Counts | None = None
    """The counts of the shortest window, for a rule with several."""
    usual_gap: timedelta = timedelta(0)
    """The average time between two messages, for a rule with several windows."""


def counted_by(rule: Rule) -> Counted:
    """A function that says whether the rule counts a code. It looks each code up once."""
    known: dict[int, bool] = {}

    def counted(code: int) -> bool:
        if code not in known:
            known[code] = selects(rule, explain(code), code)
        return known[code]

    return counted


Groups = Mapping[GroupKey, Counts]
"""The counts of one window by the rule's dimensions."""


class FoundGroups(Struct, frozen=True):
    """The judged groups of a rule: those that may be above, those with an open alert, and the closest."""

    groups: list[RuleGroup]
    examined: int
    """The number of all groups of the rule."""


def find_counted_groups(rule: Rule, inputs: RuleInputs, opened: Sequence[OpenGroup]) -> FoundGroups:
    """Judge the groups of a rule that counts messages."""
    if rule.windows:
        return _find_in_windows(rule, inputs, opened)
    counts = inputs.window(rule.window_minutes).by_group(rule.group_by, counted_by(rule))
    found = judge_counted_groups(rule, inputs, opened, counts, _candidates(rule, counts))
    return FoundGroups(found, max(len(counts), len(found)))


def _find_in_windows(rule: Rule, inputs: RuleInputs, opened: Sequence[OpenGroup]) -> FoundGroups:
    """Judge the groups in each window of the list, and take one judgement for each.

    A group is above if it is in any window; the shortest such window is reported. It also needs a failure within
    the last hour and must go on now, so that a backlog of old failures raises nothing. A firing alert recovers
    by the shortest window with enough messages alone: longer ones still hold the failures that it began with.
    """
    firing = {group_key(each.group) for each in opened if each.is_firing}
    found: dict[str, list[RuleGroup]] = {}
    examined = 0
    latest = recent = _counts(rule, inputs, rule.windows[0])
    for minutes in rule.windows:
        view = replace(rule, window_minutes=minutes)
        counts = _counts(rule, inputs, minutes)
        recent = counts if minutes <= _RECENT_MINUTES else recent
        examined = max(examined, len(counts))
        chosen = [values for values in _candidates(view, counts) if not _is_unnamed(rule, values)]
        for group in judge_counted_groups(view, inputs, opened, counts, chosen):
            if group.key not in firing and _is_spent(view, inputs, group.key):
                continue
            found.setdefault(group.key, []).append(group)
    groups = []
    for key, judged in sorted(found.items()):
        values = tuple(judged[0].group[name] for name in rule.group_by)
        now = _latest_counts(rule, inputs, values) if recent.get(values, _NONE).failures else None
        chosen_group = _one_window(rule, judged, is_firing=key in firing, now=now)
        groups.append(
            replace(chosen_group, recent=latest.get(values, _NONE), usual_gap=_usual_gap(judged[-1]))
        )
    return FoundGroups(groups, max(examined, len(groups)))


def _is_spent(rule: Rule, inputs: RuleInputs, key: str) -> bool:
    """Whether the window still holds messages that an alert was about which has ended."""
    if rule.measure is None:
        return False
    ended = inputs.ended_outcomes().get((rule.name, key))
    start, _ = outcome_span(rule.measure, rule.window_minutes, inputs.now)
    return ended is not None and start < ended - timedelta(minutes=rule.measure.delay_minutes)


def _latest_counts(rule: Rule, inputs: RuleInputs, values: GroupKey) -> tuple[int, Counts]:
    """The length of the shortest window with enough messages to judge, and the group's counts in it."""
    place = tuple(value for name, value in zip(rule.group_by, values, strict=True) if name != "code")
    others = tuple(name for name in rule.group_by if name != "code")
    for minutes in rule.windows:
        attempts = window_of(rule, inputs, minutes).attempts_by(others).get(place, 0)
        if attempts >= _ENOUGH_TO_JUDGE:
            return minutes, Counts(attempts, _counts(rule, inputs, minutes).get(values, _NONE).failures)
    return rule.windows[-1], _NONE


def _goes_on(latest: tuple[int, Counts], rule: Rule, chosen: RuleGroup) -> bool:
    """Whether the failures of a long window still happen: the alert would not recover at once, and at least half of
    the window's share fails now. What is over is no live alert.
    """
    (minutes, now), whole = latest, chosen.counts
    if minutes >= chosen.rule.window_minutes:
        return True
    share = whole.failures / max(whole.attempts, whole.failures)
    return now.failures >= max(rule.resolve_below, _GOES_ON_SHARE * share) * now.attempts


def _usual_gap(longest: RuleGroup) -> timedelta:
    """The average time between two messages of the group in its longest window."""
    return timedelta(minutes=longest.rule.window_minutes / max(longest.counts.attempts, 1))


def _counts(rule: Rule, inputs: RuleInputs, minutes: int) -> Groups:
    return window_of(rule, inputs, minutes).by_group(rule.group_by, counted_by(rule))


def window_of(rule: Rule, inputs: RuleInputs, minutes: int) -> WindowCounts:
    """The counts that the rule judges: failed messages, or outcomes."""
    return inputs.window(minutes) if rule.measure is None else inputs.outcomes(rule.measure, minutes)


def _is_unnamed(rule: Rule, values: GroupKey) -> bool:
    """Whether it groups messages by what they lack: no template, campaign or country in common."""
    return any(not value for name, value in zip(rule.group_by, values, strict=True) if name in _OPTIONAL)


_OPTIONAL = ("template", "campaign", "country")
_RECENT_MINUTES = 60
_ENOUGH_TO_JUDGE = 20
"""Messages in a window from which its rate says whether a failure is over."""
_GOES_ON_SHARE = 0.5


def _one_window(
    rule: Rule, judged: Sequence[RuleGroup], *, is_firing: bool, now: tuple[int, Counts] | None
) -> RuleGroup:
    """The judgement of the group, from one of its windows. `judged` is in the order of the windows.

    `now`: its `_latest_counts`; None without a failure in the last hour.
    """
    enough = next((each for each in judged if each.counts.attempts >= _ENOUGH_TO_JUDGE), None)
    above = next((each for each in judged if each.judgement.reading is Reading.ABOVE), None)
    if is_firing and enough is not None and enough.judgement.reading is Reading.BELOW:
        chosen = enough
    elif above is not None:
        chosen = above
    elif is_firing:
        chosen = enough or judged[0]
    else:
        chosen = max(judged, key=lambda each: each.judgement.closeness)
    judgement = chosen.judgement
    if is_firing and enough is None and judgement.reading is Reading.BELOW:
        judgement = replace(judgement, reading=Reading.BETWEEN)
    is_new = judgement.reading is Reading.ABOVE and not is_firing
    if is_new and (now is None or not _goes_on(now, rule, chosen)):
        judgement = replace(judgement, reading=Reading.BETWEEN, closeness=min(judgement.closeness, 0.99))
    view = replace(rule, window_minutes=chosen.rule.window_minutes)
    return replace(chosen, rule=view, judgement=judgement)


def judge_counted_groups(
    rule: Rule, inputs: RuleInputs, opened: Sequence[OpenGroup], groups: Groups, chosen: Sequence[GroupKey]
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
            selected.append(_CountedGroup(rule, group, key, groups[values]))
    judgements = _judge(rule, inputs, selected, known)
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


class _CountedGroup(Struct, frozen=True):
    rule: Rule
    group: Group
    key: str
    counts: Counts


def _candidates(rule: Rule, groups: Groups) -> list[GroupKey]:
    """The groups that may be above, or else the closest one; there may be thousands of calm ones."""
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
    rule: Rule, window: WindowCounts, groups: Groups, opened: Iterable[OpenGroup]
) -> list[_CountedGroup]:
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
        found.append(_CountedGroup(rule, each.group, group_key(each.group), count))
    return found


_OpenByKey = Mapping[str, OpenGroup]


def _judge(
    rule: Rule, inputs: RuleInputs, selected: Sequence[_CountedGroup], known: _OpenByKey
) -> list[Judgement]:
    match rule.kind:
        case "undelivered" | "slow":
            shares = _usual_outcome_shares(rule, inputs, selected)
            return [
                judge_outcomes(rule, each.counts, share) for each, share in zip(selected, shares, strict=True)
            ]
        case "rate":
            usual = _usual_shares(rule, inputs, selected)
            return [judge_rate(rule, each.counts, share) for each, share in zip(selected, usual, strict=True)]
        case "attention":
            return [judge_attention(rule, rule_group.counts) for rule_group in selected]
        case "new_code":  # groups without a new code were left out before
            return [judge_new_code(rule, rule_group.counts, is_new=True) for rule_group in selected]
        case _:
            return _judge_spikes(rule, inputs, selected, known)


def _usual_shares(rule: Rule, inputs: RuleInputs, selected: Sequence[_CountedGroup]) -> list[float]:
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
        failed = failures.get(tuple(each.group[name] for name in rule.group_by), _NONE).failures
        shares.append(usual_share(Counts(tried, failed), _overall(usual, rule, each.group)))
    return shares


def _chronic_share(rule: Rule, inputs: RuleInputs, group: _CountedGroup, hours: int) -> float:
    """The usual share of a group with a chronic finding, over so many hours; 0 without one."""
    if not hours:
        return 0.0
    usual = inputs.usual(min(rule.window_minutes, _DAY_MINUTES), hours)
    place = tuple(group.group[name] for name in rule.group_by if name != "code")
    tried = usual.attempts_by(tuple(name for name in rule.group_by if name != "code")).get(place, 0)
    values = tuple(group.group[name] for name in rule.group_by)
    return chronic_share(
        Counts(tried, usual.by_group(rule.group_by, counted_by(rule)).get(values, _NONE).failures)
    )


def _usual_outcome_shares(
    rule: Rule, inputs: RuleInputs, selected: Sequence[_CountedGroup]
) -> list[float | None]:
    """The usual share of each group in the same hours of the days before; None where too little is known."""
    measure = rule.measure
    if not selected or measure is None:
        return []
    usual = inputs.usual_outcomes(measure, rule.window_minutes)
    groups = usual.by_group(rule.group_by, counted_by(rule))
    overall = usual.by_group((), counted_by(rule)).get((), _NONE)
    own = (groups.get(tuple(each.group[name] for name in rule.group_by), _NONE) for each in selected)
    return [usual_outcome_share(counts, overall) for counts in own]


def _overall(usual: WindowCounts, rule: Rule, group: Group) -> Counts:
    """What all groups together had of the same failures."""
    if "code" in group:
        counts = usual.by_group(("code",), counted_by(rule)).get((int(group["code"]),), _NONE)
    else:
        counts = usual.by_group((), counted_by(rule)).get((), _NONE)
    return Counts(usual.attempts_by(()).get((), 0), counts.failures)


def _new_codes(rule: Rule, inputs: RuleInputs, groups: Sequence[GroupKey]) -> list[GroupKey]:
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
    rule: Rule, inputs: RuleInputs, selected: Sequence[_CountedGroup], known: _OpenByKey
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
        before = Counts(attempts.get(place, 0), failures.get(values, _NONE).failures)
        limit = (
            known[rule_group.key].limit
            if rule_group.key in known and known[rule_group.key].is_firing
            else None
        )
        judgements.append(judge_spike(rule, rule_group.counts, before, limit))
    return judgements


def find_silence_groups(rule: Rule, inputs: RuleInputs, opened: Sequence[OpenGroup]) -> FoundGroups:
    """Judge every number or account, or everything, where webhooks arrived, are usual or are expected."""
    minutes = rule.window_minutes

    def by_group(events: Mapping[SeriesKey, float]) -> dict[GroupKey, float]:
        found: dict[GroupKey, float] = {}
        for series, count in events.items():
            values = group_values(series)
            found[values] = found.get(values, 0) + count
        return found

    group_values = values_of(rule.group_by)
    webhooks = by_group(inputs.webhooks(minutes))
    days = {back: by_group(day) for back, day in inputs.usual_webhooks(minutes).items()}
    sends: dict[GroupKey, int] = {}
    if "waba_id" not in rule.group_by:  # senders report the number but not the account
        for number, count in inputs.sends(minutes).items():
            sender: GroupKey = (number,) if rule.group_by else ()
            sends[sender] = sends.get(sender, 0) + count
    group_keys: set[GroupKey] = set(webhooks) | set(sends)
    for day in days.values():
        group_keys |= set(day)
    group_keys |= {
        tuple(each.group[name] for name in rule.group_by)
        for each in opened
        if each.group.keys() == set(rule.group_by)
    }
    groups = []
    for values in sorted(group_keys, key=str):
        usual = {back: day.get(values, 0.0) for back, day in days.items()}
        judgement = judge_silence(
            rule, TrafficFlow(round(webhooks.get(values, 0)), usual, sends.get(values, 0))
        )
        group: Group = dict(zip(rule.group_by, values, strict=True))
        groups.append(
            RuleGroup(
                rule=rule,
                group=group,
                key=group_key(group),
                judgement=judgement,
                finding=f"{judgement.text[0].upper()}{judgement.text[1:]}",
                advice=_SILENCE_ADVICE,
            )
        )
    return FoundGroups(groups, len(groups))


_SILENCE_ADVICE = (
    "See in Meta's App Dashboard whether the webhook is still subscribed to `messages` and answers 200, whether the"
    " app is subscribed to the WhatsApp Business Account, and whether this host can be reached from outside."
)
