"""Finds and judges the groups of the kinds health and tier, from the stored reports of Meta."""

from datetime import timedelta

from webhook_app.pipeline.incidents.groups.rule_group import Group, RuleGroup
from webhook_app.pipeline.incidents.groups.rule_inputs import LiveInputs, RuleInputs
from webhook_app.rules.accounts.health_problems import check_name, find_problems
from webhook_app.rules.accounts.health_states import HealthState, states
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.anomalies import judge_limit
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts import traffic
from webhook_app.store.incidents.alerts import group_key

_DAY = timedelta(hours=24)
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


def find_health_groups(rule: Rule, inputs: RuleInputs) -> list[RuleGroup]:
    """Judge one group for each aspect of each subject that is or was a problem."""
    groups = []
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
            groups.append(
                RuleGroup(
                    rule=rule,
                    group=group,
                    key=group_key(group),
                    judgement=found.judgement,
                    finding=found.judgement.text,
                    details=details,
                    advice=_ADVICE[subject.subject],
                    account_wide=found.account_wide,
                )
            )
    return groups


def find_tier_groups(rule: Rule, inputs: LiveInputs) -> list[RuleGroup]:
    """Judge one group for each account or number with a known limit: contacts in 24 hours against the limit."""
    groups = []
    for subject, states_by_aspect in _subject_states(inputs):
        tier = states_by_aspect.get("tier")
        limit = tier.detail.get("limit") if tier else None
        if subject.subject == "template" or type(limit) is not int or limit <= 0:
            continue
        used = _count_contacts(inputs, subject, limit)
        judgement = judge_limit(rule, used, limit)
        advice = "Meta refuses more new contacts with 131048 or 130429 until 24 hours have passed. Spread the campaign."
        groups.append(
            RuleGroup(
                rule=rule,
                group=(group := _group(subject)),
                key=group_key(group),
                judgement=judgement,
                finding=judgement.text,
                advice=advice,
            )
        )
    return groups


def _count_contacts(inputs: LiveInputs, subject: Subject, limit: int) -> int:
    """Distinct contacts of the last 24 hours, or the number of messages while that is under half of the limit."""
    name, value = _dimension(subject)
    attempts = traffic.attempts_of(inputs.connection, name, value, inputs.now - _DAY, inputs.now)
    if 2 * attempts < limit:
        return attempts
    return inputs.remembered(
        f"contacts of {name} {value}",
        lambda: traffic.contacts_of(inputs.connection, name, value, inputs.now - _DAY, inputs.now),
    )


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
