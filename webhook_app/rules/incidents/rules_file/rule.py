"""A rule of the rules file, and which failures it counts. Judgements are elsewhere."""

from collections.abc import Mapping

from msgspec import Struct

from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.whatsapp.errors.catalogue import ErrorCode, explain

DEFAULT_CLASSES = ("broken", "unreachable")
"""The classes that a rule counts if it names no codes, classes or domains."""

FAILURE_KINDS = ("rate", "new_code", "spike", "attention")
"""The kinds that count failed messages. The others have no selectors."""

OUTCOME_KINDS = ("undelivered", "slow")
"""The kinds that count messages without a delivery report, and slow ones."""

COUNTING_KINDS = (*FAILURE_KINDS, *OUTCOME_KINDS)
"""The kinds that judge a share of messages."""

SHARE_KINDS = ("rate", "spike", *OUTCOME_KINDS)
"""The kinds whose threshold is a share of messages."""


class Route(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[route]] of the rules file: which alerts go to which channels. An empty condition matches every alert."""

    severities: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    channels: tuple[str, ...]
    go_on: bool = False
    """Whether the routes after this one are evaluated too."""


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One [[rule]] of the rules file, key for key. Shares are between 0 and 1. docs/rules.md explains each key.

    rule_kinds.py lists the keys and defaults of each kind.
    """

    name: str
    kind: str = "rate"
    codes: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    group_by: tuple[str, ...] = ("code", "phone_number_id")
    window_minutes: int = 15
    """The shortest window if the file gives a list."""
    windows: tuple[int, ...] = ()
    """The list of windows in minutes, shortest first. Not a key of a [[rule]]: `window_minutes` may be a list."""
    threshold: float = 0.0
    min_attempts: int = 50
    min_failures: int = 10
    confidence: float = 0.999
    factor: float = 3.0
    baseline_hours: int = 168
    quiet_days: int = 30
    min_usual: int = 20
    min_sends: int = 20
    min_count: int = 10
    max_minutes: int = 5
    after_minutes: int = 15
    slow_seconds: int = 60
    checks: tuple[str, ...] = ()
    for_evaluations: int = 2
    resolve_below: float = 0.0
    resolve_after_evaluations: int = 4
    severity: str = "warning"
    escalate_above: float = 0.0
    escalate_to: str = "critical"
    repeat_hours: float = 4.0
    channels: tuple[str, ...] = ("slack",)
    labels: dict[str, str] = {}
    runbook: str = ""
    own_channels: bool = False
    """Whether the file gives `channels` for this rule, so that routes do not apply. Not a key of a [[rule]]."""
    routes: tuple[Route, ...] = ()
    """The routes of the file. Not a key of a [[rule]]."""

    @property
    def window_error(self) -> float:
        """The allowed probability of chance in each window of a list."""
        return (1 - self.confidence) / max(len(self.windows), 1)

    @property
    def measure(self) -> OutcomeMeasure | None:
        """What an outcome kind counts; None for other kinds."""
        if self.kind == "undelivered":
            return OutcomeMeasure("undelivered", self.after_minutes)
        return OutcomeMeasure("slow", self.slow_seconds) if self.kind == "slow" else None


def selects(rule: Rule, entry: ErrorCode, code: int | None = None) -> bool:
    """Whether the rule counts these failures. A matching code, class or domain is enough.

    For an entry that covers a range, `code` is the code in question; without it any code of the range matches.
    """
    if not (rule.codes or rule.classes or rule.domains):
        return (
            entry.attention == "page" if rule.kind == "attention" else entry.failure_class in DEFAULT_CLASSES
        )
    first, last = (entry.code, entry.code_to) if code is None else (code, code)
    return (
        any(first <= wanted <= last for wanted in rule.codes)
        or entry.failure_class in rule.classes
        or entry.domain in rule.domains
    )


def covers(
    rule: Rule,
    group: Mapping[str, str],
    code: int,
    phone_number_id: str,
    template: str = "",
    campaign: str = "",
    country: str = "",
    waba_id: str = "",
) -> bool:
    """Whether an alert of this rule and group explains such a failure, so that it does not count against a contact."""
    facts = {
        "code": str(code),
        "phone_number_id": phone_number_id,
        "waba_id": waba_id,
        "template": template,
        "campaign": campaign,
        "country": country,
    }
    return selects(rule, explain(code), code) and all(
        facts.get(key) == str(value) for key, value in group.items()
    )
