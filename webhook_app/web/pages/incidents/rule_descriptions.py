"""Describes rules in sentences."""

from collections.abc import Callable, Sequence

from webhook_app.rules.counts.dimensions import GROUP_WORDS
from webhook_app.rules.incidents.announcements import channels_for
from webhook_app.rules.incidents.formats import window_length
from webhook_app.rules.incidents.rules_file.rule import FAILURE_KINDS, Rule
from webhook_app.web.pages.wording import CHANNELS, number, percent

CHECKS = {
    "quarantine": "items that are not understood",
    "books": "whether the books balance",
    "delivered_without_sent": "messages delivered without a sent",
    "silent_sends": "messages that Meta accepted and no webhook reports",
    "quality": "quality ratings",
    "template": "templates paused, disabled or rejected",
    "category": "templates put into another category",
    "account": "the account restricted, in violation or disabled",
    "number": "numbers with problems",
    "tier": "messaging limits lowered",
    "security": "the two-step PIN",
    "doctor": "what Meta's Graph API shows of token, app, accounts and numbers",
    "notifications": "whether notifications are delivered",
    "jobs": "whether the scheduler's jobs run",
    "slow_evaluation": "how long rule evaluation takes",
    "suppression": "whether failures are held back by the hourly cap",
    "key_reports": "whether one API key's reports suppress unusually many contacts",
    "ceilings": "whether so many templates, campaigns, error texts or codes are new that some are counted as other",
    "many_alerts": "whether a rule has so many alerts that further groups get none",
}


def describe(rule: Rule) -> list[str]:
    """When it fires, when it resolves and whom it notifies, in a sentence or two each."""
    return [_FIRES[rule.kind](rule) + _in_a_row(rule), _end(rule), _notifies(rule)]


def counted(rule: Rule) -> str:
    """Which failures it counts; empty for kinds that count none."""
    if rule.kind not in FAILURE_KINDS:
        return ""
    if not (rule.codes or rule.classes or rule.domains):
        return "codes that need attention" if rule.kind == "attention" else "broken and unreachable failures"
    parts = []
    if rule.codes:
        parts.append(f"code{'' if len(rule.codes) == 1 else 's'} {', '.join(map(str, rule.codes))}")
    if rule.classes:
        parts.append(f"{_and(rule.classes)} failures")
    if rule.domains:
        parts.append(f"failures of the domain{'' if len(rule.domains) == 1 else 's'} {_and(rule.domains)}")
    return " or ".join(parts)


def _rate(rule: Rule) -> str:
    whose = f"the messages of one {_group(rule)}" if rule.group_by else "all messages"
    messages = f"{number(rule.min_attempts)} messages and " if rule.min_attempts else ""
    return (
        f"Fires when more than {percent(rule.threshold)} of {whose} fail within"
        f" {_within(rule)}, with at least {messages}{number(rule.min_failures)} failures. Counts {counted(rule)}"
    )


def _within(rule: Rule) -> str:
    """The windows of the rule, and its confidence."""
    sure = f" with {percent(rule.confidence)} confidence" if rule.confidence else ""
    lengths = [window_length(minutes) for minutes in rule.windows or (rule.window_minutes,)]
    return " or ".join(filter(None, (", ".join(lengths[:-1]), lengths[-1]))) + sure


def _undelivered(rule: Rule) -> str:
    return _outcomes(rule, f"have no delivery report {rule.after_minutes} min after they were sent")


def _slow(rule: Rule) -> str:
    return _outcomes(rule, f"take longer than {rule.slow_seconds} s to be delivered")


def _outcomes(rule: Rule, what: str) -> str:
    whose = f"the messages of one {_group(rule)}" if rule.group_by else "all messages"
    return (
        f"Fires when more than {percent(rule.threshold)} of {whose} {what}, within {_within(rule)}, and 1.5 times as"
        f" many as usual in these hours, with at least {number(rule.min_failures)} such messages"
    )


def _new_code(rule: Rule) -> str:
    return (
        f"Fires when {number(rule.min_failures)} messages of one {_group(rule)} fail within {rule.window_minutes} min"
        f" with a code that did not occur there in the {rule.quiet_days} days before. Counts {counted(rule)}"
    )


def _spike(rule: Rule) -> str:
    days = rule.baseline_hours / 24
    return (
        f"Fires when one {_group(rule)} fails {rule.factor:g} times as often as in the {days:g} days before, and for"
        f" more than {percent(rule.threshold)} of at least {number(rule.min_attempts)} messages in"
        f" {rule.window_minutes} min, and chance is an unlikely cause. Counts {counted(rule)}"
    )


def _attention(rule: Rule) -> str:
    least = "the first message" if rule.min_failures == 1 else f"{number(rule.min_failures)} messages"
    return f"Fires when {least} of one {_group(rule)} fails within {rule.window_minutes} min. Counts {counted(rule)}"


def _silence(rule: Rule) -> str:
    whom = f" of one {_group(rule)}" if rule.group_by else ""
    return (
        f"Fires when no webhook{whom} arrives for {rule.window_minutes} min, although {number(rule.min_sends)} messages"
        f" were sent or {number(rule.min_usual)} webhooks are usual at this time of day"
    )


def _signature(rule: Rule) -> str:
    return (
        f"Fires when {number(rule.min_count)} deliveries are refused for their signature within"
        f" {rule.window_minutes} min"
    )


def _integrity(rule: Rule) -> str:
    return f"Checks {_checks(rule)}. Counted items fire from {number(rule.min_count)} within {rule.window_minutes} min"


def _health(rule: Rule) -> str:
    return f"Fires when Meta reports a problem. Checks {_checks(rule)}"


def _tier(rule: Rule) -> str:
    return (
        f"Fires when {percent(rule.threshold)} of the messaging limit is used up: contacts written to in 24 h, by"
        " number or account"
    )


def _self(rule: Rule) -> str:
    return f"Checks {_checks(rule)}. Fires when one is {rule.max_minutes} min late or fails"


_FIRES: dict[str, Callable[[Rule], str]] = {
    "rate": _rate,
    "new_code": _new_code,
    "spike": _spike,
    "attention": _attention,
    "undelivered": _undelivered,
    "slow": _slow,
    "silence": _silence,
    "signature": _signature,
    "integrity": _integrity,
    "health": _health,
    "tier": _tier,
    "self": _self,
}


def _in_a_row(rule: Rule) -> str:
    return "." if rule.for_evaluations == 1 else f"; it takes {rule.for_evaluations} evaluations in a row."


def _end(rule: Rule) -> str:
    count = rule.resolve_after_evaluations
    evaluations = "one evaluation" if count == 1 else f"{count} evaluations"
    below = f"was below {percent(rule.resolve_below)} for {evaluations}"
    calm = {
        "rate": f"{below}; those without enough messages do not count",
        "undelivered": f"{below}; those without enough messages do not count",
        "slow": f"{below}; those without enough messages do not count",
        "tier": below,
        "silence": f"had webhooks for {evaluations}",
        "health": "is healthy again; a state that Meta never withdraws ends after a week",
    }.get(rule.kind, f"was calm for {evaluations}")
    return f"Resolves when it {calm}."


def _notifies(rule: Rule) -> str:
    channels = channels_for(rule, rule.severity)
    where = (
        f"Notifies {_and(_names(channels))}"
        if channels
        else "Notifies nobody: it is visible only here and in the API"
    )
    worse = ""
    if rule.escalate_above:
        also = channels_for(rule, rule.escalate_to)
        elsewhere = f", {_and(_names(also))} too" if also and also != channels else ""
        worse = (
            f" Becomes {rule.escalate_to} above {percent(rule.escalate_above)} and notifies again{elsewhere}."
        )
    again = f", again after {rule.repeat_hours:g} h, then less often" if channels else ""
    return f"{where}{again}.{worse}"


def _group(rule: Rule) -> str:
    return _and([GROUP_WORDS.get(name, name) for name in rule.group_by]) or "kind at all"


def _checks(rule: Rule) -> str:
    return _and([CHECKS.get(check, check) for check in rule.checks])


def _names(channels: Sequence[str]) -> list[str]:
    return [CHANNELS.get(channel, channel) for channel in channels]


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
