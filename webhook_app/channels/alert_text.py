"""Composes the text of a notification: headline, facts, links and footer.

Independent of channels: nothing is escaped or formatted yet.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.channels.descriptions import (
    describe_figures,
    describe_group,
    describe_slice,
    group_values,
)
from webhook_app.channels.notification import CodeFacts, Notification
from webhook_app.rules.incidents.formats import duration, moment, number, percent

_REASON_WORDS = {
    "fired": "firing",
    "repeated": "still firing",
    "escalated": "more severe",
    "acknowledged": "acknowledged",
    "snoozed": "snoozed",
    "resolved": "resolved",
}


class AlertText(Struct, frozen=True):
    """The text of one message: `facts` are (label, text), `links` are (label, URL)."""

    headline: str
    facts: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    footer: str


class Digest(Struct, frozen=True):
    """The text of a message about several alerts: `lines` are (text, URL); the URL may be empty."""

    headline: str
    lines: tuple[tuple[str, str], ...]


def compose(notification: Notification) -> AlertText:
    """The message in reading order: what fails, for whom, since when, how much, what to do."""
    facts = [*_undelivered(notification), *_failing_codes(notification)]
    if for_whom := _who_is_hit(notification):
        facts.append(("For whom", for_whom))
    facts += (
        _after_the_end(notification) if notification.reason == "resolved" else _while_firing(notification)
    )
    links = [("Open the alert", notification.link), ("Runbook", notification.runbook)]
    footer = f"Rule {notification.rule}, alert {notification.incident_id}. {notification.why}".rstrip()
    return AlertText(_headline(notification), tuple(facts), tuple(link for link in links if link[1]), footer)


def compose_digest(notifications: Sequence[Notification]) -> Digest:
    """The text about several alerts, one line each, in order of time."""
    counted = Counter(_REASON_WORDS[notification.reason] for notification in notifications)
    text = ", ".join(f"{number(count)} {words}" for words, count in counted.most_common())
    lines = tuple((_headline(notification), notification.link) for notification in notifications)
    return Digest(f"News of {number(len(notifications))} alerts: {text}", lines)


def plain_text(message: AlertText) -> str:
    """The message as plain text."""
    lines = [message.headline, *(f"  {label}: {text}" for label, text in message.facts + message.links)]
    return "\n".join([*lines, f"  {message.footer}"])


def title(notification: Notification) -> str:
    """The title of the alert, the same in all of its messages."""
    leading = next(iter(notification.codes), None)
    if leading is not None and "code" in notification.group:
        return f"{leading.code} {leading.title}, {describe_group(notification.group)}"
    group = group_values(notification.group)
    return f"{notification.rule}, {group}" if group else notification.rule


def change_line(notification: Notification) -> str:
    """One line about the change, for readers who know the alert."""
    who = f" by {notification.actor}" if notification.actor else ""
    match notification.reason:
        case "acknowledged":
            return f"Acknowledged{who}"
        case "snoozed":
            until = f" until {moment(notification.snoozed_until)}" if notification.snoozed_until else ""
            return f"Snoozed{until}{who}"
        case "resolved":
            return (
                f"Resolved after {duration(_ended_at(notification) - notification.since)}. {notification.why}"
            )
        case "escalated":
            return f"Now {notification.severity}. {notification.why}"
        case "repeated":
            return f"Still firing. {notification.why}"
        case "fired":
            return f"Firing. {notification.why}"


def _headline(notification: Notification) -> str:
    subject, severity = _subject(notification), notification.severity
    matter = _matter(notification, subject)
    match notification.reason:
        case "fired":
            return f"{severity.upper()}: {matter}"
        case "repeated":
            return f"Still firing ({severity}): {matter}"
        case "escalated":
            return f"Now {severity.upper()}: {matter}"
        case "acknowledged" | "snoozed":
            return f"{change_line(notification)}: {subject}"
        case "resolved":
            return f"Resolved: {subject}, after {duration(_ended_at(notification) - notification.since)}"


def _matter(notification: Notification, subject: str) -> str:
    if notification.finding or notification.figures is None:
        return subject
    return f"{subject}: {percent(notification.figures.rate)} of messages fail"


def _subject(notification: Notification) -> str:
    if notification.finding:
        return notification.finding
    leading = next(iter(notification.codes), None)
    if leading is None or "code" in notification.group:
        return title(notification)
    name = f"mostly {leading.code} {leading.title}"
    return f"{describe_group(notification.group)}, {name}"


def _undelivered(notification: Notification) -> list[tuple[str, str]]:
    return [(f"Not delivered on {missed.channel}", missed.fault) for missed in notification.undelivered]


def _failing_codes(notification: Notification) -> list[tuple[str, str]]:
    if not notification.codes:
        return []
    leading, *others = notification.codes
    facts = [("What broke", f"{leading.code} {leading.title} ({leading.failure_class}). {leading.meaning}")]
    if others:
        facts.append(("Also", "; ".join(f"{c.code} {c.title}: {number(c.failures)}" for c in others)))
    return facts


def _who_is_hit(notification: Notification) -> str:
    describe = describe_group if notification.figures is not None else group_values
    parts = [describe(notification.group)]
    if notification.contacts:
        contacts = "contact" if notification.contacts == 1 else "contacts"
        parts.append(f"{number(notification.contacts)} {contacts}")
    if notification.slice is not None:
        parts.append(describe_slice(notification.slice))
    return "; ".join(part for part in parts if part)


def _while_firing(notification: Notification) -> list[tuple[str, str]]:
    """The facts of a firing alert."""
    lasting = duration(notification.at - notification.since)
    facts = [("Since", f"{moment(notification.since)} ({lasting})")]
    if notification.figures is not None:
        facts.append(("How bad", describe_figures(notification.figures)))
    facts += notification.details
    facts += _advice(notification)
    facts += _common_mistakes(notification.codes[:1])
    if notification.samples:
        facts.append(("Messages to look at", ", ".join(notification.samples)))
    return [*facts, *_handling(notification)]


def _advice(notification: Notification) -> list[tuple[str, str]]:
    advice = [notification.advice, *(code.advice for code in notification.codes[:1])]
    text = " ".join(dict.fromkeys(part for part in advice if part))
    return [("What to do", text)] if text else []


def _handling(notification: Notification) -> list[tuple[str, str]]:
    """Who has acknowledged or snoozed the alert."""
    facts = []
    if notification.acknowledged_by:
        at = f", {moment(notification.acknowledged_at)}" if notification.acknowledged_at else ""
        facts.append(("Acknowledged", f"by {notification.acknowledged_by}{at}"))
    if notification.snoozed_until and notification.snoozed_until > notification.at:
        facts.append(("Snoozed", f"until {moment(notification.snoozed_until)}"))
    return facts


def _after_the_end(notification: Notification) -> list[tuple[str, str]]:
    ended = _ended_at(notification)
    lasted = duration(ended - notification.since)
    facts = [("Lasted", f"{lasted}, from {moment(notification.since)} to {moment(ended)}")]
    if notification.figures is not None:
        facts.append(("Now", describe_figures(notification.figures)))
        facts.append(("At its worst", percent(notification.peak_rate)))
    return [*facts, *notification.details]


def _common_mistakes(codes: tuple[CodeFacts, ...]) -> list[tuple[str, str]]:
    return [("Often misread", code.mistaken_for) for code in codes if code.mistaken_for]


def _ended_at(notification: Notification) -> datetime:
    return notification.resolved_at or notification.at
