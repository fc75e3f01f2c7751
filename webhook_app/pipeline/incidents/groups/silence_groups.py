"""Finds and judges the groups of the kind silence: where webhooks arrive, are usual or are expected."""

from collections import Counter
from collections.abc import Mapping, Sequence

from webhook_app.pipeline.incidents.groups.rule_group import (
    FoundGroups,
    Group,
    OpenGroup,
    RuleGroup,
    WebhookProof,
)
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.anomalies import TrafficFlow, is_unusual_silence, judge_silence
from webhook_app.rules.incidents.evidence import reporters_of_sends
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.counts.window_counts import GroupKey, values_of
from webhook_app.store.incidents.alerts import group_key


def find_silence_groups(rule: Rule, inputs: RuleInputs, opened: Sequence[OpenGroup]) -> FoundGroups:
    """Judge every number or account, or everything, where webhooks arrived, are usual or are expected."""
    minutes = rule.window_minutes

    def by_group(events: Mapping[SeriesKey, float]) -> dict[GroupKey, float]:
        found: dict[GroupKey, float] = {}
        for values, count in zip(map(group_values, events), events.values(), strict=True):
            found[values] = found.get(values, 0) + count
        return found

    group_values = values_of(rule.group_by)
    webhooks = by_group(inputs.webhooks(minutes))
    days = {back: by_group(day) for back, day in inputs.usual_webhooks(minutes).items()}
    sends: dict[GroupKey, Counter[str]] = {}
    if "waba_id" not in rule.group_by:  # senders report the number but not the account
        for number, by_key in inputs.sends(minutes).items():
            if number or not rule.group_by:
                sends.setdefault((number,) if rule.group_by else (), Counter()).update(by_key)
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
        accepted = sends.get(values, Counter())
        flow = TrafficFlow(round(webhooks.get(values, 0)), usual, accepted.total())
        judgement = judge_silence(rule, flow)
        group: Group = dict(zip(rule.group_by, values, strict=True))
        groups.append(
            RuleGroup(
                rule=rule,
                group=group,
                key=group_key(group),
                judgement=judgement,
                finding=f"{judgement.text[0].upper()}{judgement.text[1:]}",
                advice=_SILENCE_ADVICE,
                accepted=accepted.total(),
                reporters=reporters_of_sends(accepted, rule.min_sends),
                proof=WebhookProof(has_reports=not is_unusual_silence(rule, flow)),
            )
        )
    return FoundGroups(groups, len(groups))


_SILENCE_ADVICE = (
    "See in Meta's App Dashboard whether the webhook is still subscribed to `messages` and answers 200, whether the"
    " app is subscribed to the WhatsApp Business Account, and whether this host can be reached from outside."
)
