"""The kinds of rules: the keys that each uses and requires, and its defaults that differ from those of Rule.

rule_keys.py validates the values; rates.py, outcomes.py and anomalies.py judge by them.
"""

from typing import Any

from msgspec import Struct

_EVERY_KIND = (
    "name", "kind", "for_evaluations", "resolve_after_evaluations", "severity", "repeat_hours", "channels", "labels",
    "runbook",
)  # fmt: skip
_SELECTED = ("codes", "classes", "domains", "group_by", "window_minutes")

INTEGRITY_CHECKS = ("quarantine", "books", "delivered_without_sent", "silent_sends")
HEALTH_CHECKS = ("quality", "template", "category", "account", "number", "tier", "security", "doctor")
SELF_CHECKS = (
    "notifications",
    "jobs",
    "slow_evaluation",
    "suppression",
    "key_reports",
    "ceilings",
    "many_alerts",
)


class Kind(Struct, frozen=True):
    """One kind. `asks`: the question it answers; `checks`: the checks it has, all of them by default."""

    asks: str
    keys: tuple[str, ...]
    required: tuple[str, ...] = ()
    defaults: dict[str, Any] = {}
    checks: tuple[str, ...] = ()

    @property
    def all_keys(self) -> tuple[str, ...]:
        return (*_EVERY_KIND, *self.keys)


_OUTCOME = (
    "group_by", "window_minutes", "threshold", "min_failures", "confidence", "resolve_below", "escalate_above",
    "escalate_to",
)  # fmt: skip
_OUTCOME_DEFAULTS: dict[str, Any] = {
    "group_by": ("phone_number_id",),
    "window_minutes": 15,
    "windows": (15, 60, 360, 1440, 2880),
    "threshold": 0.25,
    "min_attempts": 0,
    "min_failures": 5,
    "confidence": 0.995,
}

RULE_KINDS = {
    "rate": Kind(
        "Do too many messages fail?",
        (*_SELECTED, "threshold", "min_attempts", "min_failures", "confidence", "resolve_below", "escalate_above",
         "escalate_to"),
        ("threshold",),
    ),
    "new_code": Kind(
        "Did a code occur that this number has not had for a month?",
        (*_SELECTED, "min_failures", "quiet_days"),
        (),
        {"window_minutes": 60, "min_failures": 3, "for_evaluations": 1, "severity": "info", "repeat_hours": 24.0},
    ),
    "spike": Kind(
        "Does a code affect far more messages than usual?",
        (*_SELECTED, "threshold", "min_attempts", "min_failures", "confidence", "factor", "baseline_hours"),
        (),
        {"threshold": 0.005, "confidence": 0.999999},
    ),
    "attention": Kind(
        "Did an error occur that needs action the first time?",
        (*_SELECTED, "min_failures"),
        (),
        {"min_failures": 1, "for_evaluations": 1, "severity": "critical", "repeat_hours": 1.0},
    ),
    "undelivered": Kind(
        "Do too many messages that were sent stay without a delivery report?",
        (*_OUTCOME, "after_minutes"),
        (),
        _OUTCOME_DEFAULTS,
    ),
    "slow": Kind(
        "Does delivery take too long?",
        (*_OUTCOME, "slow_seconds"),
        (),
        _OUTCOME_DEFAULTS,
    ),
    "silence": Kind(
        "Are webhooks missing although they are expected?",
        ("group_by", "window_minutes", "min_usual", "min_sends"),
        (),
        {"group_by": ("phone_number_id",), "window_minutes": 30, "severity": "critical", "repeat_hours": 1.0},
    ),
    "signature": Kind(
        "Are deliveries refused because of their signature?",
        ("window_minutes", "min_count"),
        (),
        {"group_by": (), "severity": "error"},
    ),
    "integrity": Kind(
        "Is the stored data consistent?",
        ("window_minutes", "min_count", "checks"),
        (),
        {"group_by": ("check",), "window_minutes": 60, "severity": "error", "repeat_hours": 24.0},
        INTEGRITY_CHECKS,
    ),
    "health": Kind(
        "Does Meta report a problem with an account, a number, a template or the access token?",
        ("checks",),
        (),
        {"group_by": (), "for_evaluations": 1, "resolve_after_evaluations": 1, "severity": "error",
         "repeat_hours": 24.0},
        HEALTH_CHECKS,
    ),
    "tier": Kind(
        "Is the messaging limit nearly reached?",
        ("threshold", "resolve_below"),
        (),
        {"group_by": (), "threshold": 0.8, "for_evaluations": 1, "repeat_hours": 24.0},
    ),
    "self": Kind(
        "Does webhook_app itself work?",
        ("max_minutes", "checks"),
        (),
        {"group_by": ("check",), "severity": "error", "repeat_hours": 1.0},
        SELF_CHECKS,
    ),
}  # fmt: skip
