"""What incidents are called on pages: one stable name for each kind and group, whatever the figures do meanwhile."""

from collections.abc import Mapping

from webhook_app.channels.notification import Notification
from webhook_app.channels.spelling import describe_group
from webhook_app.web.pages.wording import code_name
from webhook_app.whatsapp.errors.catalogue import explain

KINDS = {
    "rate": "Failure rate",
    "new_code": "New code",
    "spike": "Spike",
    "attention": "Needs attention",
    "silence": "No webhooks",
    "signature": "Refused deliveries",
    "integrity": "Integrity",
    "health": "Health at Meta",
    "tier": "Messaging limit",
    "self": "Own work",
}
"""The kinds of rules as people say them."""

CHECKS = {
    "quarantine": "Items that are not understood",
    "books": "The books do not balance",
    "delivered_without_sent": "Delivered messages without a sent",
    "silent_sends": "Accepted by Meta, and then silence",
    "notifications": "Alerts do not get out",
    "jobs": "Jobs of the scheduler fail or are late",
    "slow_evaluation": "Judging the rules takes too long",
    "suppression": "Failures wait to be judged",
}
_PLAIN = {
    "silence": "No webhooks come",
    "signature": "Deliveries are refused for their signature",
    "tier": "The messaging limit is nearly used up",
}
_AFTER = {"new_code": ", a new code here", "spike": ", far more than usual"}
_NOT_WHO = ("code", "check", "aspect")


def name_alert(told: Notification) -> str:
    """The incident's name."""
    group = told.group
    if told.kind in ("integrity", "self"):
        check = str(group.get("check", ""))
        return CHECKS.get(check, check or told.rule)
    if told.kind == "health":
        aspect = str(group.get("aspect", "")).split(" ")[0].replace("_", " ")
        return f"{_capital(who(group))}: {aspect or 'health'}"
    if told.kind in _PLAIN:
        return _PLAIN[told.kind]
    return _of_failures(told)


def who(group: Mapping[str, str | int]) -> str:
    """For whom, in words; empty when the group is everything."""
    named = {key: value for key, value in group.items() if key not in _NOT_WHO}
    return describe_group(named) if named else ""


def _of_failures(told: Notification) -> str:
    code = told.group.get("code", next((each.code for each in told.codes), None))
    if code is None:
        return f"Failures: {describe_group(told.group)}"
    name = f"{code_name(int(code))} {explain(int(code)).title}"
    if "code" not in told.group:
        name = f"{_capital(describe_group(told.group))}: mostly {name}"
    return name + _AFTER.get(told.kind, "")


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
