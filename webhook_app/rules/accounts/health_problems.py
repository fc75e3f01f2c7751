"""Which news of accounts, numbers and templates are trouble: states as Meta told them in, looks out.

What Meta says holds until Meta says otherwise; what it never takes back is news for a week.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.rules.accounts.health_states import HealthState
from webhook_app.rules.incidents.alerts import Judgement, Reading

NEWS = timedelta(days=7)
"""For so long something is trouble that nothing ever ends: a violation, a lower limit, another category."""

_CHECKS = {
    "quality": "quality",
    "status": "",  # of whatever it is the status of
    "category": "category",
    "category_to_come": "category",
    "tier": "tier",
    "two_step_pin": "security",
}
_NEVER_ENDS = ("violation", "category", "tier", "two_step_pin")
_UNLIMITED = -1


class HealthProblem(Struct, frozen=True):
    """A look at one aspect of one subject; `account_wide`: it spares no message."""

    aspect: str
    look: Judgement
    account_wide: bool


def check_of(subject: str, aspect: str) -> str:
    """Under which name of `checks` a rule asks for it."""
    found = _CHECKS.get(aspect.split(" ", maxsplit=1)[0], "")
    return found or subject


def troubles(subject: str, states: Mapping[str, HealthState], now: datetime) -> list[HealthProblem]:
    """A look at every aspect that is or was of concern; the rest says nothing."""
    found = []
    for aspect, state in states.items():
        bad = _is_trouble(state, now)
        if bad is None:
            continue
        look = Judgement(
            reading=Reading.ABOVE if bad else Reading.BELOW,
            seen=_words(subject, state),
            calm="Meta says otherwise",
            closeness=float(bad),
            escalates=bad and state.concern == "critical",
        )
        wide = subject == "account" and bad and state.concern == "critical" and not aspect.startswith("alert")
        found.append(HealthProblem(aspect, look, wide))
    return found


def _is_trouble(state: HealthState, now: datetime) -> bool | None:
    kind = state.aspect.split(" ")[0]
    if kind in ("tier", "category"):
        return _is_worse(state) and now - state.since < NEWS
    if kind in _NEVER_ENDS:
        return state.concern != "" and now - state.since < NEWS
    if kind in ("status", "quality", "review", "name_review", "restriction", "alert", "category_to_come"):
        return state.concern != ""
    return None


def _is_worse(state: HealthState) -> bool:
    """A limit that was lowered, a template that is now marketing."""
    before = str(state.detail.get("before") or "")
    if not before or before == state.value:
        return False
    if state.aspect == "tier":
        return 0 <= _limit(state.value) < _limit(before) or (
            _limit(before) == _UNLIMITED != _limit(state.value)
        )
    return state.value == "MARKETING"


def _limit(tier: str) -> int:
    """As a number to compare by."""
    size = tier.removeprefix("TIER_")
    if size == "UNLIMITED":
        return _UNLIMITED
    digits, thousands = size.removesuffix("K"), size.endswith("K")
    return int(digits) * (1000 if thousands else 1) if digits.isdecimal() else 0


def _words(subject: str, state: HealthState) -> str:
    before = state.detail.get("before")
    changed = f" (before: {before})" if before else ""
    return f"Meta says of the {subject}: {state.aspect.replace('_', ' ')} {state.value}{changed}"
