"""Names of alerts on pages: one stable name for each kind and group, independent of the figures."""

from collections.abc import Mapping

from webhook_app.channels.descriptions import describe_group
from webhook_app.rules.incidents.outcomes import FINDINGS
from webhook_app.store.incidents.alerts import Alert
from webhook_app.web.pages.wording import code_name
from webhook_app.whatsapp.errors.catalogue import explain

KINDS = {
    "rate": "Failure rate",
    "new_code": "New code",
    "spike": "Spike",
    "attention": "Needs attention",
    "undelivered": "No delivery reports",
    "slow": "Slow deliveries",
    "silence": "No webhooks",
    "signature": "Refused deliveries",
    "integrity": "Integrity",
    "health": "Health at Meta",
    "tier": "Messaging limit",
    "self": "Service itself",
}
"""Kinds of rules in words."""

CHECKS = {
    "quarantine": "Items not understood",
    "books": "The books do not balance",
    "delivered_without_sent": "Delivered messages without a sent",
    "silent_sends": "Accepted by Meta, but no webhook",
    "notifications": "Notifications are not delivered",
    "jobs": "Jobs of the scheduler fail or are late",
    "slow_evaluation": "Rule evaluation is slow",
    "suppression": "Failures wait for suppression",
    "key_reports": "Reports of one API key suppress many contacts",
    "ceilings": "Too many new templates, campaigns, error texts or error codes",
    "many_alerts": "A rule has so many alerts that further groups get none",
}
_FIXED = {
    **FINDINGS,
    "silence": "No webhooks arrive",
    "signature": "Deliveries refused for their signature",
    "tier": "Messaging limit nearly used up",
}
_AFTER = {"new_code": ", a new code here", "spike": ", far more than usual"}
_NOT_WHO = ("code", "check", "aspect")


def name_alert(alert: Alert) -> str:
    """The name of the alert."""
    group = alert.group
    if alert.kind in ("integrity", "self"):
        check = str(group.get("check", ""))
        return CHECKS.get(check, check or alert.rule)
    if alert.kind == "health":
        aspect = str(group.get("aspect", "")).removeprefix("doctor ").split(" ")[0].replace("_", " ")
        return f"{_capital(who(group)) or 'Meta'}: {aspect or 'health'}"
    if alert.kind in _FIXED:
        return _FIXED[alert.kind]
    return _name_failures(alert)


def who(group: Mapping[str, str | int]) -> str:
    """The group in words, without code and check; empty for everything."""
    named = {key: value for key, value in group.items() if key not in _NOT_WHO}
    return describe_group(named) if named else ""


def _name_failures(alert: Alert) -> str:
    code = alert.group.get("code", next(iter(alert.codes), None))
    if code is None:
        return f"Failures: {describe_group(alert.group)}"
    name = f"{code_name(int(code))} {explain(int(code)).title}"
    if "code" not in alert.group:
        name = f"{_capital(describe_group(alert.group))}: mostly {name}"
    return name + _AFTER.get(alert.kind, "")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
