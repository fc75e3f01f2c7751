"""Composes the text of a notification about an incident: headline, facts, links and footer.

Independent of channels: nothing is escaped or formatted yet. One incident, one voice: every message has the same title,
one piece of advice, and figures that later messages do not contradict.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.channels.descriptions import describe_figures, describe_slice
from webhook_app.channels.notification import CodeFacts, Notification
from webhook_app.rules.incidents.formats import duration, moment, number, percent

_REASON_WORDS = {
    "fired": "opened",
    "again": "opened again",
    "repeated": "still open",
    "escalated": "more severe",
    "acknowledged": "acknowledged",
    "snoozed": "snoozed",
    "resolved": "ended",
    "past": "in the past",
}
ENDINGS = {
    "recovered": "recovered",
    "quiet": "no traffic any more, so nobody knows whether the cause is fixed",
    "faded": "no failure for 24 h",
    "chronic": "it lasted seven days and is now listed as a finding",
    "rules": "no rule covers it any more",
}
_MAX_NAMED = 3


class MessageText(Struct, frozen=True):
    """The text of one message: `facts` are (label, text), `links` are (label, URL)."""

    headline: str
    facts: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    footer: str


class Digest(Struct, frozen=True):
    """The text of a message about several incidents: `lines` are (text, URL); the URL may be empty."""

    headline: str
    lines: tuple[tuple[str, str], ...]


def compose(notification: Notification) -> MessageText:
    """The message in reading order: what broke, for whom, since when, how much, what to do."""
    facts = [*_undelivered(notification), *_failing_codes(notification)]
    if for_whom := _who_is_hit(notification):
        facts.append(("For whom", for_whom))
    facts += (
        _after_the_end(notification)
        if notification.reason in ("resolved", "past")
        else _while_open(notification)
    )
    links = [("Open the incident", notification.link), ("Runbook", notification.runbook)]
    rules = ", ".join(dict.fromkeys([notification.rule, *(each.rule for each in notification.evidence)]))
    footer = f"Incident {notification.incident_id}, rules: {rules}. {notification.why}".rstrip()
    return MessageText(
        _headline(notification), tuple(facts), tuple(link for link in links if link[1]), footer
    )


def compose_digest(notifications: Sequence[Notification]) -> Digest:
    """The text about several incidents, one line each, in order of time."""
    counted = Counter(_REASON_WORDS[notification.reason] for notification in notifications)
    text = ", ".join(f"{number(count)} {words}" for words, count in counted.most_common())
    lines = tuple((_headline(notification), notification.link) for notification in notifications)
    return Digest(f"News of {number(len(notifications))} incidents: {text}", lines)


def plain_text(message: MessageText) -> str:
    """The message as plain text."""
    lines = [message.headline, *(f"  {label}: {text}" for label, text in message.facts + message.links)]
    return "\n".join([*lines, f"  {message.footer}"])


def change_line(notification: Notification) -> str:
    """One line about the change, for readers who know the incident."""
    who = f" by {notification.actor}" if notification.actor else ""
    if notification.reason == "snoozed":
        until = f" until {moment(notification.snoozed_until)}" if notification.snoozed_until else ""
        return f"Snoozed{until}{who}"
    lines = {
        "acknowledged": f"Acknowledged{who}",
        "resolved": f"Ended after {_lasted(notification)}: {ENDINGS.get(notification.ended_how, 'recovered')}.",
        "escalated": f"Now {notification.severity}. {notification.why}",
        "repeated": f"Still open. {notification.why}",
        "again": f"Open again. {notification.why}",
        "fired": f"Opened. {notification.why}",
    }
    return lines.get(notification.reason, lines["resolved"])


def _headline(notification: Notification) -> str:
    title, severity = notification.title, notification.severity
    matter = title
    if notification.figures is not None and notification.figures.attempts:
        matter = f"{title}: {percent(notification.figures.rate)} of messages fail"
    headlines = {
        "fired": f"{severity.upper()}: {matter}",
        "again": f"{severity.upper()} again: {matter}",
        "repeated": f"Still open ({severity}): {matter}",
        "escalated": f"Now {severity.upper()}: {matter}",
        "resolved": f"Ended: {title}, after {_lasted(notification)}",
        "past": f"Past, seen in late webhooks: {title}, for {_lasted(notification)}",
    }
    return headlines.get(notification.reason) or f"{change_line(notification)}: {title}"


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
    parts = []
    if notification.slice is not None:
        parts.append(describe_slice(notification.slice))
    if notification.numbers:
        parts.append(_several("business number", notification.numbers))
    if notification.templates:
        parts.append(_several("template", notification.templates))
    if notification.failures:
        failures = f"{number(notification.failures)} failed {_plural('message', notification.failures)}"
        contacts = f"{number(notification.contacts)} {_plural('contact', notification.contacts)}"
        parts.append(f"{failures} to {contacts}{' so far' if notification.resolved_at is None else ''}")
    return "; ".join(parts)


def _several(noun: str, values: Sequence[str]) -> str:
    """Up to three values by name, the others as a number."""
    named = ", ".join(values[:_MAX_NAMED])
    if len(values) == 1:
        return f"{noun} {named}"
    more = f" and {number(len(values) - _MAX_NAMED)} more" if len(values) > _MAX_NAMED else ""
    return f"{number(len(values))} {noun}s: {named}{more}"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _while_open(notification: Notification) -> list[tuple[str, str]]:
    lasting = duration(notification.at - notification.since)
    facts = [("Since", f"{moment(notification.since)} ({lasting})")]
    if notification.figures is not None:
        facts.append(("How bad", describe_figures(notification.figures)))
        if notification.peak_rate > notification.figures.rate and notification.peak_at is not None:
            facts.append(
                ("At its worst", f"{percent(notification.peak_rate)} at {moment(notification.peak_at)}")
            )
    facts += notification.details
    if notification.advice:
        facts.append(("What to do", notification.advice))
    facts += _common_mistakes(notification.codes[:1])
    if notification.samples:
        facts.append(("Sample messages", ", ".join(notification.samples)))
    return [*facts, *_handling(notification)]


def _handling(notification: Notification) -> list[tuple[str, str]]:
    """Who has acknowledged or snoozed the incident."""
    facts = []
    if notification.acknowledged_by:
        at = f", {moment(notification.acknowledged_at)}" if notification.acknowledged_at else ""
        facts.append(("Acknowledged", f"by {notification.acknowledged_by}{at}"))
    if notification.snoozed_until and notification.snoozed_until > notification.at:
        facts.append(("Snoozed", f"until {moment(notification.snoozed_until)}"))
    return facts


def _after_the_end(notification: Notification) -> list[tuple[str, str]]:
    ended = _ended_at(notification)
    span = f"{_lasted(notification)}, from {moment(notification.since)} to {moment(ended)}"
    facts = [("Lasted", span), ("How it ended", ENDINGS.get(notification.ended_how, "recovered"))]
    if notification.peak_rate:
        at = f" at {moment(notification.peak_at)}" if notification.peak_at is not None else ""
        facts.append(("At its worst", f"{percent(notification.peak_rate)}{at}"))
    return [*facts, *notification.details]


def _common_mistakes(codes: tuple[CodeFacts, ...]) -> list[tuple[str, str]]:
    return [("Often misread", code.mistaken_for) for code in codes if code.mistaken_for]


def _lasted(notification: Notification) -> str:
    return duration(_ended_at(notification) - notification.since)


def _ended_at(notification: Notification) -> datetime:
    return notification.resolved_at or notification.at
