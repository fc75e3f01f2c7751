"""What the kinds health and tier look at: what Meta told of accounts, numbers, templates. Reads through store only."""

from datetime import timedelta

from webhook_app.pipeline.incidents.rate_groups import Group, RuleGroup
from webhook_app.pipeline.incidents.rule_inputs import LiveInputs
from webhook_app.rules.accounts.health_problems import check_of, troubles
from webhook_app.rules.accounts.health_states import HealthState, states
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.anomalies import judge_limit
from webhook_app.store.accounts import health
from webhook_app.store.accounts.health import Subject
from webhook_app.store.counts import service_activity
from webhook_app.store.incidents.alerts import group_key

_EVERYTHING = 100_000
_DAY = timedelta(hours=24)
_TOLD_KEYS = (
    "reason",
    "description",
    "recommendation",
    "remediation",
    "title",
    "at",
    "until",
    "disable_date",
)

_ADVICE = {
    "template": "See the template in WhatsApp Manager; stop campaigns that use it, and take another one.",
    "number": "Lower the volume, look at what people block or report, and see WhatsApp Manager.",
    "account": "See Business Support Home: what is restricted, until when, and whether an appeal is possible.",
}


def health_cases(rule: Rule, facts: LiveInputs) -> list[RuleGroup]:
    """A group for each aspect of each subject that is or was of concern."""
    cases = []
    for subject, held in _held(facts):
        for found in troubles(subject.subject, held, facts.now):
            if check_of(subject.subject, found.aspect) not in rule.checks:
                continue
            detail = held[found.aspect].detail
            details = tuple(
                (key.replace("_", " ").capitalize(), str(detail[key]))
                for key in _TOLD_KEYS
                if detail.get(key)
            )
            group = _group(subject) | {"aspect": found.aspect}
            cases.append(
                RuleGroup(
                    rule=rule,
                    group=group,
                    key=group_key(group),
                    look=found.look,
                    finding=found.look.words,
                    details=details,
                    advice=_ADVICE[subject.subject],
                    account_wide=found.account_wide,
                )
            )
    return cases


def tier_cases(rule: Rule, facts: LiveInputs) -> list[RuleGroup]:
    """A group for each account or number whose limit is known: contacts begun with in 24 hours against it."""
    cases = []
    for subject, held in _held(facts):
        tier = held.get("tier")
        limit = tier.detail.get("limit") if tier else None
        if subject.subject == "template" or type(limit) is not int or limit <= 0:
            continue
        used = _contacts(facts, subject, limit)
        look = judge_limit(rule, used, limit)
        advice = "Further new contacts are refused with 131048 or 130429 until the day is over: spread the campaign."
        cases.append(
            RuleGroup(
                rule=rule,
                group=(group := _group(subject)),
                key=group_key(group),
                look=look,
                finding=look.words,
                advice=advice,
            )
        )
    return cases


def _contacts(facts: LiveInputs, subject: Subject, limit: int) -> int:
    """Distinct contacts of the last 24 hours; the plain number of messages while that is far from the limit."""
    name, value = _dimension(subject)
    attempts = service_activity.attempts_of(facts.connection, name, value, facts.now - _DAY, facts.now)
    if 2 * attempts < limit:
        return attempts
    return facts.remembered(
        f"contacts of {name} {value}",
        lambda: service_activity.contacts_of(facts.connection, name, value, facts.now - _DAY, facts.now),
    )


def _held(facts: LiveInputs) -> list[tuple[Subject, dict[str, HealthState]]]:
    found = health.subjects(facts.connection, health.HealthFilters(), _EVERYTHING)
    told = health.told_of(facts.connection, found)
    return [(each, states(told[each.subject, each.subject_id], facts.now)) for each in found]


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
