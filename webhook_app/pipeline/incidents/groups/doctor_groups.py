"""Finds and judges the groups of the check `doctor`: what the latest reading of Meta's Graph API found broken."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from webhook_app.pipeline.incidents.groups.rule_group import Group, OpenGroup, RuleGroup, worst_groups
from webhook_app.pipeline.incidents.inputs.live_inputs import LiveInputs
from webhook_app.rules.incidents.alerts import Judgement, Reading
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.accounts import doctor
from webhook_app.store.accounts.doctor import StoredCheck
from webhook_app.store.incidents.alerts import group_key

ASPECT = "doctor"
_QUIET = ("clock", "display_name", "marketing", "messaging_limit", "quality", "templates", "test_number")
"""Kinds that wake nobody: harmless for now, or announced by another rule."""
_REST: Group = {"aspect": f"{ASPECT} further faults"}
_IDS = {"account": "waba_id", "number": "phone_number_id"}
_FRESH_FOR = timedelta(hours=3)  # Meta is asked every hour
_FORGOTTEN_AFTER = timedelta(days=1)


def find_doctor_groups(rule: Rule, inputs: LiveInputs, opened: Sequence[OpenGroup]) -> list[RuleGroup]:
    """Judge one group for each fault, and for each open one that the latest reading did not find."""
    if ASPECT not in rule.checks:
        return []
    checks = doctor.list_checks(inputs.connection)
    read_at = max((each.checked_at for each in checks), default=None)
    faults = [each for each in checks if each.status in ("broken", "warning") and each.kind not in _QUIET]
    groups: dict[str, RuleGroup] = {}
    for each in faults:
        groups.setdefault(group_key(_group(each)), _fault(rule, each, inputs.now))
    for known in opened:
        key = group_key(known.group)
        if str(known.group.get("aspect", "")).startswith(f"{ASPECT} ") and known.group != _REST:
            groups.setdefault(key, _without_fault(rule, known.group, read_at, inputs.now))
    return worst_groups(list(groups.values()), opened, rule, _REST, "faults of the Graph API")


def _group(check: StoredCheck) -> Group:
    place = {_IDS[check.subject]: check.subject_id} if check.subject in _IDS else {}
    return {**place, "aspect": f"{ASPECT} {check.kind}"}


def _fault(rule: Rule, check: StoredCheck, now: datetime) -> RuleGroup:
    group = _group(check)
    if now - check.checked_at > _FRESH_FOR:
        return _without_fault(rule, group, check.checked_at, now)
    judgement = Judgement(
        reading=Reading.ABOVE,
        description=check.message.rstrip("."),
        trigger="A fault that Meta's Graph API shows",
        recovery="The Graph API shows it no more",
        closeness=1.0,
        escalates=check.status == "broken",
    )
    return RuleGroup(
        rule=rule,
        group=group,
        key=group_key(group),
        judgement=judgement,
        finding=judgement.text,
        advice=check.fix,
        account_wide=check.status == "broken" and check.subject == "account",
    )


def _without_fault(rule: Rule, group: Group, read_at: datetime | None, now: datetime) -> RuleGroup:
    """An open fault that the latest reading did not find, or that could not be read for hours."""
    is_known = read_at is not None and now - read_at <= _FRESH_FOR
    is_forgotten = read_at is None or now - read_at > _FORGOTTEN_AFTER
    judgement = Judgement(
        reading=Reading.BELOW if is_known or is_forgotten else Reading.NO_DATA,
        description="Meta's Graph API shows it no more" if is_known else "Meta was not asked lately",
        recovery="The Graph API shows it no more" if is_known else "Meta has not been asked for a day",
    )
    return RuleGroup(rule=rule, group=group, key=group_key(group), judgement=judgement)
