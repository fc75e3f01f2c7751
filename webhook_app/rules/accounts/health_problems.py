"""Decides which reported states of accounts, numbers and templates are problems.

A state lasts until Meta reports another one. A problem that Meta never reports as resolved ends after a week.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.rules.accounts.health_states import HealthState
from webhook_app.rules.incidents.alerts import Judgement, Reading

UNRESOLVABLE_FOR = timedelta(days=7)
"""How long a problem lasts that Meta never reports as resolved: a violation, a lower limit, another category."""

_CHECKS = {
    "quality": "quality",
    "status": "",  # the check has the name of the subject
    "category": "category",
    "category_to_come": "category",
    "tier": "tier",
    "two_step_pin": "security",
}
_UNRESOLVABLE = ("violation", "category", "tier", "two_step_pin", "flow_version")
_LASTING = (
    "status", "quality", "review", "name_review", "restriction", "alert", "category_to_come",
    "flow_status", "flow_alert",
)  # fmt: skip
_PARTIAL = ("alert", "flow")
"""Begins the name of an aspect of an account that affects only some of its messages."""
_UNLIMITED = -1


class HealthProblem(Struct, frozen=True):
    """The judgement of one aspect of one subject; `account_wide`: every message of the account is affected."""

    aspect: str
    judgement: Judgement
    account_wide: bool


def check_name(subject: str, aspect: str) -> str:
    """The name of this aspect in a rule's `checks`."""
    found = _CHECKS.get(aspect.split(" ", maxsplit=1)[0], "")
    return found or subject


def find_problems(subject: str, states: Mapping[str, HealthState], now: datetime) -> list[HealthProblem]:
    """Judge every aspect that is or was a problem. Aspects that can never be one are left out."""
    found = []
    for aspect, state in states.items():
        bad = _is_problem(state, now)
        if subject == "template" and aspect == "quality" and state.concern == "warning":
            bad = False  # a finding, not an incident
        if bad is None:
            continue
        judgement = Judgement(
            reading=Reading.ABOVE if bad else Reading.BELOW,
            description=_describe(subject, state),
            trigger="A problem that Meta reports",
            recovery="Meta reports another state",
            closeness=float(bad),
            escalates=bad and state.concern == "critical",
        )
        wide = (
            subject == "account" and bad and state.concern == "critical" and not aspect.startswith(_PARTIAL)
        )
        found.append(HealthProblem(aspect, judgement, wide))
    return found


def _is_problem(state: HealthState, now: datetime) -> bool | None:
    kind = state.aspect.split(" ")[0]
    if kind in ("tier", "category"):
        return _is_worse(state) and now - state.since < UNRESOLVABLE_FOR
    if kind in _UNRESOLVABLE:
        return state.concern != "" and now - state.since < UNRESOLVABLE_FOR
    if kind in _LASTING:
        return state.concern != ""
    return None


def _is_worse(state: HealthState) -> bool:
    """Whether a limit was lowered, or a template was moved to marketing."""
    before = str(state.detail.get("before") or "")
    if not before or before == state.value:
        return False
    if state.aspect == "tier":
        return 0 <= _limit(state.value) < _limit(before) or (
            _limit(before) == _UNLIMITED != _limit(state.value)
        )
    return state.value == "MARKETING"


def _limit(tier: str) -> int:
    """The tier as a number for comparison."""
    size = tier.removeprefix("TIER_")
    if size == "UNLIMITED":
        return _UNLIMITED
    digits, thousands = size.removesuffix("K"), size.endswith("K")
    return int(digits) * (1000 if thousands else 1) if digits.isdecimal() else 0


_SENTENCES = {
    "status": "Meta has set the {subject} to {value}",
    "quality": "Meta rates the quality of the {subject} {value}",
    "tier": "Meta has lowered the messaging limit of the {subject} to {value}",
    "category": "Meta has moved the template to the category {value}",
    "category_to_come": "Meta will move the template to the category {value}",
    "review": "Meta's review of the {subject} says {value}",
    "name_review": "Meta's review of the display name says {value}",
    "two_step_pin": "Two-step verification of the {subject}: {value}",
}

_FLOW_SENTENCES = {
    "flow_status": "Meta has set the Flow {flow} to {value}",
    "flow_alert": "Meta reports for the Flow {flow}: {measure} beyond its threshold",
    "flow_version": "The version of the Flow {flow} expires",
}


def _describe(subject: str, state: HealthState) -> str:
    before = state.detail.get("before")
    changed = f" (before: {before})" if before else ""
    kind, _, name = state.aspect.partition(" ")
    if kind in _FLOW_SENTENCES:
        flow, _, measure = name.partition(" ")
        text = _FLOW_SENTENCES[kind].format(flow=flow, value=state.value, measure=measure.replace("_", " "))
        return text + changed
    sentence = _SENTENCES.get(state.aspect)
    if sentence is None:
        return f"Meta reports for the {subject}: {state.aspect.replace('_', ' ')} {state.value}{changed}"
    return sentence.format(subject=subject, value=state.value) + changed
