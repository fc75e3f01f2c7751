"""What an operator must read at three in the morning: a notification in, headline and facts out, as text.

Nothing here knows how a channel spells bold or links, and nothing is escaped yet.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.channels.notification import CodeFacts, Notification
from webhook_app.channels.spelling import (
    describe_figures,
    describe_group,
    describe_slice,
    duration,
    moment,
    named,
    number,
    percent,
)

_REASON_WORDS = {
    "fired": "firing",
    "repeated": "still firing",
    "escalated": "more severe",
    "acknowledged": "acknowledged",
    "snoozed": "snoozed",
    "resolved": "resolved",
}


class AlertText(Struct, frozen=True):
    """The words of one message: `facts` are (label, text), `links` are (label, address)."""

    headline: str
    facts: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    footer: str


class Digest(Struct, frozen=True):
    """The words of a message about several alerts: `lines` are (text, address), the address may be empty."""

    headline: str
    lines: tuple[tuple[str, str], ...]


def compose(notification: Notification) -> AlertText:
    """The message, in the order in which it is read: what, for whom, since when, how bad, what to do."""
    facts = [*_undelivered(notification), *_what(notification)]
    if for_whom := _for_whom(notification):
        facts.append(("For whom", for_whom))
    facts += _end(notification) if notification.reason == "resolved" else _course(notification)
    links = [("Open the alert", notification.link), ("Runbook", notification.runbook)]
    footer = f"Rule {notification.rule}, alert {notification.alert_id}. {notification.why}".rstrip()
    return AlertText(_headline(notification), tuple(facts), tuple(link for link in links if link[1]), footer)


def compose_digest(notifications: Sequence[Notification]) -> Digest:
    """What has happened to many alerts at once, a line for each, in the order in which it happened."""
    counted = Counter(_REASON_WORDS[notification.reason] for notification in notifications)
    told = ", ".join(f"{number(count)} {words}" for words, count in counted.most_common())
    lines = tuple((_headline(notification), notification.link) for notification in notifications)
    return Digest(f"News of {number(len(notifications))} alerts: {told}", lines)


def plain(message: AlertText) -> str:
    """The message as lines of text."""
    lines = [message.headline, *(f"  {label}: {text}" for label, text in message.facts + message.links)]
    return "\n".join([*lines, f"  {message.footer}"])


def title(notification: Notification) -> str:
    """What the incident is called from its first message to its last, whatever the figures do meanwhile."""
    leading = next(iter(notification.codes), None)
    if leading is not None and "code" in notification.group:
        return f"{leading.code} {leading.title}, {describe_group(notification.group)}"
    group = named(notification.group)
    return f"{notification.rule}, {group}" if group else notification.rule


def news(notification: Notification) -> str:
    """What has just happened, in one line, to somebody who knows the alert."""
    who = f" by {notification.actor}" if notification.actor else ""
    match notification.reason:
        case "acknowledged":
            return f"Acknowledged{who}"
        case "snoozed":
            until = f" until {moment(notification.snoozed_until)}" if notification.snoozed_until else ""
            return f"Snoozed{until}{who}"
        case "resolved":
            return f"Resolved after {duration(_ended(notification) - notification.since)}. {notification.why}"
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
            return f"{news(notification)}: {subject}"
        case "resolved":
            return f"Resolved: {subject}, after {duration(_ended(notification) - notification.since)}"


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


def _what(notification: Notification) -> list[tuple[str, str]]:
    if not notification.codes:
        return []
    leading, *others = notification.codes
    facts = [("What broke", f"{leading.code} {leading.title} ({leading.failure_class}). {leading.meaning}")]
    if others:
        facts.append(("Also", "; ".join(f"{c.code} {c.title}: {number(c.failures)}" for c in others)))
    return facts


def _for_whom(notification: Notification) -> str:
    describe = describe_group if notification.figures is not None else named
    parts = [describe(notification.group)]
    if notification.contacts:
        contacts = "contact" if notification.contacts == 1 else "contacts"
        parts.append(f"{number(notification.contacts)} {contacts}")
    if notification.slice is not None:
        parts.append(describe_slice(notification.slice))
    return "; ".join(part for part in parts if part)


def _course(notification: Notification) -> list[tuple[str, str]]:
    """Of an alert that goes on."""
    lasting = duration(notification.at - notification.since)
    facts = [("Since", f"{moment(notification.since)} ({lasting})")]
    if notification.figures is not None:
        facts.append(("How bad", describe_figures(notification.figures)))
    facts += notification.details
    facts += _to_do(notification)
    facts += _misread(notification.codes[:1])
    if notification.samples:
        facts.append(("Messages to look at", ", ".join(notification.samples)))
    return [*facts, *_cared_for(notification)]


def _to_do(notification: Notification) -> list[tuple[str, str]]:
    advice = [notification.advice, *(code.advice for code in notification.codes[:1])]
    told = " ".join(dict.fromkeys(part for part in advice if part))
    return [("What to do", told)] if told else []


def _cared_for(notification: Notification) -> list[tuple[str, str]]:
    """Who takes care of it: then nobody else needs to get up."""
    facts = []
    if notification.acknowledged_by:
        at = f", {moment(notification.acknowledged_at)}" if notification.acknowledged_at else ""
        facts.append(("Acknowledged", f"by {notification.acknowledged_by}{at}"))
    if notification.snoozed_until and notification.snoozed_until > notification.at:
        facts.append(("Snoozed", f"until {moment(notification.snoozed_until)}"))
    return facts


def _end(notification: Notification) -> list[tuple[str, str]]:
    ended = _ended(notification)
    lasted = duration(ended - notification.since)
    facts = [("Lasted", f"{lasted}, from {moment(notification.since)} to {moment(ended)}")]
    if notification.figures is not None:
        facts.append(("Now", describe_figures(notification.figures)))
        facts.append(("At its worst", percent(notification.peak_rate)))
    return [*facts, *notification.details]


def _misread(codes: tuple[CodeFacts, ...]) -> list[tuple[str, str]]:
    return [("Often misread", code.mistaken_for) for code in codes if code.mistaken_for]


def _ended(notification: Notification) -> datetime:
    return notification.resolved_at or notification.at
