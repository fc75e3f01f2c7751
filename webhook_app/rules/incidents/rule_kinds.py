"""The kinds of rules: which keys each uses, which it needs, and where its defaults differ from those of a Rule.

A table only: what the values may be stands in rule_keys.py, what a kind does with them in judging.py.
"""

from typing import Any

from msgspec import Struct

_EVERY_KIND = (
    "name", "kind", "for_evaluations", "resolve_after_evaluations", "severity", "repeat_hours", "channels", "labels",
    "runbook",
)  # fmt: skip
_SELECTED = ("codes", "classes", "domains", "group_by", "window_minutes")

INTEGRITY_CHECKS = ("quarantine", "books", "delivered_without_sent", "silent_sends")
HEALTH_CHECKS = ("quality", "template", "category", "account", "number", "tier", "security")
SELF_CHECKS = ("notifications", "jobs", "slow_evaluation", "suppression")


class Kind(Struct, frozen=True):
    """`checks`: what a rule of the kind may look at, all of it unless the rule says otherwise."""

    asks: str
    keys: tuple[str, ...]
    required: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}
    checks: tuple[str, ...] = ()

    @property
    def all_keys(self) -> tuple[str, ...]:
        return (*_EVERY_KIND, *self.keys)


RULE_KINDS = {
    "rate": Kind(
        "Do too many messages fail?",
        (*_SELECTED, "threshold", "min_attempts", "min_failures", "confidence", "resolve_below", "escalate_above",
         "escalate_to"),
        ("threshold",),
    ),
    "new_code": Kind(
        "Is there a code that this number has not met for a month?",
        (*_SELECTED, "min_failures", "quiet_days"),
        (),
        {"window_minutes": 60, "min_failures": 3, "for_evaluations": 1, "severity": "info", "repeat_hours": 24.0},
    ),
    "spike": Kind(
        "Does a code hit far more messages than it usually does?",
        (*_SELECTED, "threshold", "min_attempts", "min_failures", "confidence", "factor", "baseline_hours"),
        (),
        {"threshold": 0.005, "confidence": 0.999999},
    ),
    "attention": Kind(
        "Is there a failure of which the first one matters?",
        (*_SELECTED, "min_failures"),
        (),
        {"min_failures": 1, "for_evaluations": 1, "severity": "critical", "repeat_hours": 1.0},
    ),
    "silence": Kind(
        "Do no webhooks come although they should?",
        ("group_by", "window_minutes", "min_usual", "min_sends"),
        (),
        {"group_by": ("phone_number_id",), "window_minutes": 30, "severity": "critical", "repeat_hours": 1.0},
    ),
    "signature": Kind(
        "Are deliveries refused for their signature?",
        ("window_minutes", "min_count"),
        (),
        {"group_by": (), "severity": "error"},
    ),
    "integrity": Kind(
        "Is what we know in itself right?",
        ("window_minutes", "min_count", "checks"),
        (),
        {"group_by": ("check",), "window_minutes": 60, "severity": "error", "repeat_hours": 24.0},
        INTEGRITY_CHECKS,
    ),
    "health": Kind(
        "Has Meta said something bad about an account, a number or a template?",
        ("checks",),
        (),
        {"group_by": (), "for_evaluations": 1, "resolve_after_evaluations": 1, "severity": "error",
         "repeat_hours": 24.0},
        HEALTH_CHECKS,
    ),
    "tier": Kind(
        "Is the messaging limit nearly used up?",
        ("threshold", "resolve_below"),
        (),
        {"group_by": (), "threshold": 0.8, "for_evaluations": 1, "repeat_hours": 24.0},
    ),
    "self": Kind(
        "Does this service do its own work?",
        ("max_minutes", "checks"),
        (),
        {"group_by": ("check",), "severity": "error", "repeat_hours": 1.0},
        SELF_CHECKS,
    ),
}  # fmt: skip
