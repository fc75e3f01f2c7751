"""Finds the groups of rules that count messages, in one window or in each of a list, and judges each group once."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from msgspec.structs import replace

from webhook_app.pipeline.incidents.groups.counted_groups import candidates, judge_counted_groups, window_of
from webhook_app.pipeline.incidents.groups.rule_group import (
    ENOUGH_TO_JUDGE,
    NO_COUNTS,
    FoundGroups,
    OpenGroup,
    RuleGroup,
    counted_by,
    limit_groups,
)
from webhook_app.pipeline.incidents.groups.webhook_proof import with_proof, worst_first
from webhook_app.pipeline.incidents.inputs.outcome_inputs import outcome_span
from webhook_app.pipeline.incidents.inputs.rule_inputs import CountInputs, RuleInputs
from webhook_app.rules.counts.dimensions import lacks_a_name
from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Reading
from webhook_app.rules.incidents.rules_file.rule import FAILURE_KINDS, Rule
from webhook_app.store.counts.window_counts import GroupCounts, GroupKey
from webhook_app.store.incidents.alerts import group_key


def find_counted_groups(rule: Rule, inputs: RuleInputs, opened: Sequence[OpenGroup]) -> FoundGroups:
    """Judge the groups of a rule that counts messages. Of more than MOST_GROUPS above, the `worst_first`.

    Each is judged by webhooks alone too: what senders report hides nothing that they show.
    """
    find = _find_in_windows if rule.windows else _find_in_window
    (judged, examined), of_webhooks = find(rule, inputs, opened), list[RuleGroup]()
    if rule.kind in FAILURE_KINDS and (beyond := inputs.beyond_reports()) is not None:
        of_webhooks, _ = find(rule, beyond, [each for each in opened if each.is_shown])
        judged = with_webhooks(judged, of_webhooks, opened, reported_groups(rule, inputs))
    kept, left_out = limit_groups(worst_first(rule, inputs, judged), opened)
    shown = {each.key for each in of_webhooks if each.judgement.reading is Reading.ABOVE}
    kept = with_proof(rule, inputs, sorted(kept, key=lambda each: each.key), opened, shown)
    return FoundGroups(kept, max(examined, len(judged)), left_out)


def reported_groups(rule: Rule, inputs: RuleInputs) -> Collection[str]:
    """The keys of the groups of which senders reported a failure in any window of the rule."""
    reported = inputs.reported(max(rule.windows, default=rule.window_minutes))
    groups = reported.by_group(rule.group_by, counted_by(rule))
    return {group_key(dict(zip(rule.group_by, values, strict=True))) for values in groups}


def with_webhooks(
    judged: Sequence[RuleGroup],
    by_webhooks: Sequence[RuleGroup],
    opened: Sequence[OpenGroup],
    reported: Collection[str],
) -> list[RuleGroup]:
    """The groups, each judged by webhooks alone if they show it above, or have shown its alert and still say anything.

    Of the other groups that are `reported`, the more severe judgement counts. The rest fails in webhooks only, so what
    they show decides: reports make the share of each other code smaller.
    """
    known_open = {group_key(each.group): each.is_shown for each in opened}
    found = {
        each.key: each
        for each in judged
        if each.key in reported or each.key in known_open or each.judgement.reading is not Reading.ABOVE
    }
    for each in by_webhooks:
        known, reading = found.get(each.key), each.judgement.reading
        decides = reading is Reading.ABOVE or each.key not in reported
        decides = decides or (known_open.get(each.key, False) and reading is not Reading.NO_DATA)
        if decides or (known is not None and _severity(each) > _severity(known)):
            found[each.key] = each
    return list(found.values())


def _severity(group: RuleGroup) -> int:
    return (Reading.BELOW, Reading.NO_DATA, Reading.BETWEEN, Reading.ABOVE).index(group.judgement.reading)


def _find_in_window(
    rule: Rule, inputs: CountInputs, opened: Sequence[OpenGroup]
) -> tuple[list[RuleGroup], int]:
    """Judge the groups in the only window. Also returns how many groups there are."""
    counts = inputs.window(rule.window_minutes).by_group(rule.group_by, counted_by(rule))
    return judge_counted_groups(rule, inputs, opened, counts, candidates(rule, counts)), len(counts)


def _find_in_windows(
    rule: Rule, inputs: CountInputs, opened: Sequence[OpenGroup]
) -> tuple[list[RuleGroup], int]:
    """Judge the groups in each window of the list, and take one judgement for each.

    A group is above if it is in any window; the shortest such window is reported. It also needs a failure within
    the last hour and must go on now, so that a backlog of old failures raises nothing. A firing alert recovers
    by the shortest window with enough messages alone, unless a shorter one is above: longer ones still hold the
    failures that it began with.
    """
    firing = {group_key(each.group) for each in opened if each.is_firing}
    found: dict[str, list[RuleGroup]] = {}
    counted = counted_by(rule)
    by_window = {
        minutes: window_of(rule, inputs, minutes).by_group(rule.group_by, counted) for minutes in rule.windows
    }
    latest = recent = by_window[rule.windows[0]]
    for minutes, counts in by_window.items():
        view = replace(rule, window_minutes=minutes)
        recent = counts if minutes <= _RECENT_MINUTES else recent
        chosen = [values for values in candidates(view, counts) if not lacks_a_name(rule.group_by, values)]
        for group in judge_counted_groups(view, inputs, opened, counts, chosen):
            if group.key not in firing and _is_spent(view, inputs, group.key):
                continue
            found.setdefault(group.key, []).append(group)
    groups = []
    for key, judged in sorted(found.items()):
        values = tuple(judged[0].group[name] for name in rule.group_by)
        fails_now = recent.get(values, NO_COUNTS).failures
        now = _latest_counts(rule, inputs, by_window, values) if fails_now else None
        chosen_group = _one_window(rule, judged, is_firing=key in firing, now=now)
        groups.append(
            replace(chosen_group, recent=latest.get(values, NO_COUNTS), usual_gap=_usual_gap(judged[-1]))
        )
    return groups, max(map(len, by_window.values()))


def _is_spent(rule: Rule, inputs: CountInputs, key: str) -> bool:
    """Whether the window still holds messages that an alert was about which has ended."""
    if rule.measure is None:
        return False
    ended = inputs.ended_outcomes().get((rule.name, key))
    start, _ = outcome_span(rule.measure, rule.window_minutes, inputs.now)
    return ended is not None and start < ended - timedelta(minutes=rule.measure.delay_minutes)


def _latest_counts(
    rule: Rule, inputs: CountInputs, by_window: Mapping[int, GroupCounts], values: GroupKey
) -> tuple[int, Counts]:
    """The length of the shortest window with enough messages to judge, and the group's counts in it."""
    place = tuple(value for name, value in zip(rule.group_by, values, strict=True) if name != "code")
    others = tuple(name for name in rule.group_by if name != "code")
    for minutes, counts in by_window.items():
        attempts = window_of(rule, inputs, minutes).attempts_by(others).get(place, 0)
        if attempts >= ENOUGH_TO_JUDGE:
            return minutes, Counts(attempts, counts.get(values, NO_COUNTS).failures)
    return rule.windows[-1], NO_COUNTS


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


_RECENT_MINUTES = 60
_GOES_ON_SHARE = 0.5


def _one_window(
    rule: Rule, judged: Sequence[RuleGroup], *, is_firing: bool, now: tuple[int, Counts] | None
) -> RuleGroup:
    """The judgement of the group, from one of its windows. `judged` is in the order of the windows.

    `now`: its `_latest_counts`; None without a failure in the last hour.
    """
    enough = next((each for each in judged if each.counts.attempts >= ENOUGH_TO_JUDGE), None)
    above = next((each for each in judged if each.judgement.reading is Reading.ABOVE), None)
    # A shorter window that is above says more about now than one with enough messages from before.
    goes_on = above is not None and enough is not None and judged.index(above) < judged.index(enough)
    if is_firing and enough is not None and enough.judgement.reading is Reading.BELOW and not goes_on:
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
