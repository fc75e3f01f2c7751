"""Finds and judges the groups of the kinds health and tier, from the stored reports of Meta."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from operator import itemgetter

from webhook_app.pipeline.incidents.groups.rule_group import Group, OpenGroup, RuleGroup, worst_groups
from webhook_app.pipeline.incidents.inputs.live_inputs import LiveInputs
from webhook_app.pipeline.incidents.inputs.rule_inputs import RuleInputs
from webhook_app.rules.accounts.health_problems import check_name, find_problems
from webhook_app.rules.accounts.health_states import HealthState, states
from webhook_app.rules.incidents.anomalies import judge_limit
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts import traffic
from webhook_app.store.incidents.alerts import group_key

_DAY = timedelta(hours=24)
_REST: Group = {"aspect": "further problems"}
_DETAIL_KEYS = (
    "reason",
    "description",
    "recommendation",
    "remediation",
    "title",
    "at",
    "until",
    "disable_date",
)
_MAX_DETAIL = 500  # characters; earlier versions stored longer ones
_DETAIL_LABELS = {"title": "Meta's title", "at": "When"}

_ADVICE = {
    "template": "Check the template in WhatsApp Manager. Stop campaigns that use it, or use another template.",
    "number": "Reduce the volume. Check in WhatsApp Manager why people block or report this number.",
    "account": "Check in Business Support Home what is restricted, until when, and whether an appeal is possible.",
}


def find_health_groups(rule: Rule, inputs: RuleInputs, opened: Sequence[OpenGroup]) -> list[RuleGroup]:
    """Judge one group for each aspect of each subject that is or was a problem; see worst_groups."""
    found_groups = []
    for subject, states_by_aspect in _subject_states(inputs):
        for found in find_problems(subject.subject, states_by_aspect, inputs.now):
            if check_name(subject.subject, found.aspect) not in rule.checks:
                continue
            detail = states_by_aspect[found.aspect].detail
            details = tuple(
                (
                    _DETAIL_LABELS.get(key) or key.replace("_", " ").capitalize(),
                    str(detail[key])[:_MAX_DETAIL],
                )
                for key in _DETAIL_KEYS
                if detail.get(key)
            )
            group = _group(subject) | {"aspect": found.aspect}
            rule_group = RuleGroup(
                rule=rule,
                group=group,
                key=group_key(group),
                judgement=found.judgement,
                finding=found.judgement.text,
                details=details,
                advice=_ADVICE[subject.subject],
                account_wide=found.account_wide,
            )
            worst = (not found.judgement.escalates, subject.subject, states_by_aspect[found.aspect].since)
            found_groups.append((*worst, rule_group.key, rule_group))
    groups = [each[-1] for each in sorted(found_groups, key=itemgetter(0, 1, 2, 3))]
    return worst_groups(groups, opened, rule, _REST, "problems that Meta reports")


def find_tier_groups(rule: Rule, inputs: LiveInputs) -> list[RuleGroup]:
    """Judge one group for each account or number with a known limit: contacts in 24 hours against the limit."""
    limits: dict[tuple[str, str], int] = {}
    for subject, states_by_aspect in _subject_states(inputs):
        tier = states_by_aspect.get("tier")
        limit = tier.detail.get("limit") if tier else None
        if subject.subject != "template" and type(limit) is int and limit > 0:
            limits[_dimension(subject)] = limit
    contacts = _count_contacts(inputs, limits)
    return [
        _tier_group(rule, {name: value}, contacts[name, value], limits[name, value]) for name, value in limits
    ]


def _tier_group(rule: Rule, group: Group, used: int, limit: int) -> RuleGroup:
    judgement = judge_limit(rule, used, limit)
    return RuleGroup(
        rule=rule,
        group=group,
        key=group_key(group),
        judgement=judgement,
        finding=judgement.text,
        advice="Meta refuses more new contacts with 131048 or 130429 until 24 hours have passed. Spread the campaign.",
    )


def _count_contacts(inputs: LiveInputs, limits: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Distinct contacts of the last 24 hours, or the number of messages while that is under half of the limit."""
    messages: Counter[tuple[str, str]] = Counter()
    for series, attempts in inputs.attempts_of_day().items() if limits else ():
        messages["waba_id", series.waba_id] += attempts
        messages["phone_number_id", series.phone_number_id] += attempts
    found = {place: messages[place] for place in limits}
    for name in ("waba_id", "phone_number_id"):
        near = [value for of, value in limits if of == name and 2 * found[of, value] >= limits[of, value]]
        read = partial(_read_contacts, inputs, name)
        found |= {(name, value): used for value, used in inputs.remembered(name, near, read).items()}
    return found


def _read_contacts(inputs: LiveInputs, name: str, values: Sequence[str]) -> dict[str, int]:
    return traffic.contacts_of(inputs.connection, name, values, inputs.now - _DAY, inputs.now)


def _subject_states(inputs: RuleInputs) -> list[tuple[Subject, dict[str, HealthState]]]:
    return [(subject, states(reports, inputs.now)) for subject, reports in inputs.reported_health()]


def _dimension(subject: Subject) -> tuple[str, str]:
    if subject.subject == "account":
        return "waba_id", subject.subject_id
    return "phone_number_id", subject.phone_number_id or subject.subject_id


def _group(subject: Subject) -> Group:
    if subject.subject == "template":
        named: Group = {"template": subject.name or subject.subject_id}
        return named | ({"language": subject.language} if subject.language else {})
    name, value = _dimension(subject)
    return {name: value}
