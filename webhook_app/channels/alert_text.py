"""What an operator must read at three in the morning: a notification in, headline and facts out, as text.

Nothing here knows how a channel spells bold or links, and nothing is escaped yet.
"""

from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.channels.notification import CodeFacts, Figures, Notification, Slice

_GROUP_WORDS = {
    "phone_number_id": "business number",
    "waba_id": "WhatsApp account",
    "template": "template",
    "campaign": "campaign",
    "country": "country",
}


class AlertText(Struct, frozen=True):
    """The words of one message: `facts` are (label, text), `links` are (label, address)."""

    headline: str
    facts: tuple[tuple[str, str], ...]
    links: tuple[tuple[str, str], ...]
    footer: str


def compose(notification: Notification) -> AlertText:
    """The message, in the order in which it is read: what, for whom, since when, how bad, what to do."""
    over = notification.reason == "resolved"
    facts = [*_what(notification), ("For whom", _for_whom(notification))]
    facts += _end(notification) if over else _course(notification)
    links = [("Open the alert", notification.link), ("Runbook", notification.runbook)]
    footer = f"Rule {notification.rule}, alert {notification.alert_id}. {notification.why}"
    return AlertText(_headline(notification), tuple(facts), tuple(link for link in links if link[1]), footer)


def plain(message: AlertText) -> str:
    """The message as lines of text."""
    lines = [message.headline, *(f"  {label}: {text}" for label, text in message.facts + message.links)]
    return "\n".join([*lines, f"  {message.footer}"])


def _headline(notification: Notification) -> str:
    subject = _subject(notification)
    figures, severity = notification.figures, notification.severity
    match notification.reason:
        case "fired":
            return f"{severity.upper()}: {subject}: {percent(figures.rate)} of messages fail"
        case "repeated":
            return f"Still firing ({severity}): {subject}: {percent(figures.rate)} of messages fail"
        case "resolved":
            return f"Resolved: {subject}, after {duration(_ended(notification) - notification.since)}"


def _subject(notification: Notification) -> str:
    group = describe_group(notification.group)
    leading = next(iter(notification.codes), None)
    if leading is None:
        return group
    name = f"{leading.code} {leading.title}"
    return f"{name}, {group}" if "code" in notification.group else f"{group}, mostly {name}"


def _what(notification: Notification) -> list[tuple[str, str]]:
    if not notification.codes:
        return []
    leading, *others = notification.codes
    facts = [("What broke", f"{leading.code} {leading.title} ({leading.failure_class}). {leading.meaning}")]
    if others:
        facts.append(("Also", "; ".join(f"{c.code} {c.title}: {number(c.failures)}" for c in others)))
    return facts


def _for_whom(notification: Notification) -> str:
    parts = [describe_group(notification.group)]
    if notification.contacts:
        contacts = "contact" if notification.contacts == 1 else "contacts"
        parts.append(f"{number(notification.contacts)} {contacts}")
    if notification.slice is not None:
        parts.append(_describe_slice(notification.slice))
    return "; ".join(parts)


def _course(notification: Notification) -> list[tuple[str, str]]:
    """Of an alert that goes on."""
    lasting = duration(notification.at - notification.since)
    facts = [
        ("Since", f"{moment(notification.since)} ({lasting})"),
        ("How bad", _describe_figures(notification.figures)),
    ]
    facts += [("What to do", code.advice) for code in notification.codes[:1]]
    facts += _misread(notification.codes[:1])
    if notification.samples:
        facts.append(("Messages to look at", ", ".join(notification.samples)))
    return facts


def _end(notification: Notification) -> list[tuple[str, str]]:
    ended = _ended(notification)
    lasted = duration(ended - notification.since)
    return [
        ("Lasted", f"{lasted}, from {moment(notification.since)} to {moment(ended)}"),
        ("Now", _describe_figures(notification.figures)),
        ("At its worst", percent(notification.peak_rate)),
    ]


def _misread(codes: tuple[CodeFacts, ...]) -> list[tuple[str, str]]:
    return [("Often misread", code.mistaken_for) for code in codes if code.mistaken_for]


def _ended(notification: Notification) -> datetime:
    return notification.resolved_at or notification.at


def describe_group(group: dict[str, str | int]) -> str:
    """The group in words, without its code."""
    named = [(words, group[key]) for key, words in _GROUP_WORDS.items() if key in group]
    return (
        ", ".join(f"{words} {value}" if value else f"no {words}" for words, value in named) or "all messages"
    )


def _describe_slice(held: Slice) -> str:
    parts = []
    if held.template is not None:
        parts.append(f"template {held.template}" if held.template else "messages without a template name")
    if held.country is not None:
        parts.append(f"to {held.country}" if held.country else "to numbers of no known country")
    if held.phone_number_id is not None:
        parts.append(f"from business number {held.phone_number_id}")
    return f"{percent(held.share)} of the failures are {' '.join(parts)}"


def _describe_figures(figures: Figures) -> str:
    if not figures.attempts and not figures.failures:
        return f"no messages in the last {figures.window_minutes} min"
    between = f"{percent(figures.low)} to {percent(figures.high)}"
    return (
        f"{number(figures.failures)} of {number(figures.attempts)} messages failed in"
        f" {figures.window_minutes} min: {percent(figures.rate)} (95 % interval {between});"
        f" the threshold is {percent(figures.threshold)}"
    )


def number(value: int) -> str:
    """With thin groups of three, as in 12 000."""
    return f"{value:,}".replace(",", " ")


def percent(share: float) -> str:
    """A share between 0 and 1 with three digits that matter."""
    return f"{100 * share:.3g} %"


def moment(at: datetime) -> str:
    """A time in UTC, to the minute."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def duration(lasted: timedelta) -> str:
    """In the two largest units: 2 d 3 h, 1 h 5 min, 4 min."""
    minutes = max(int(lasted.total_seconds()) // 60, 0)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    units = [(days, "d"), (hours, "h"), (rest, "min")]
    shown = [f"{value} {unit}" for value, unit in units if value][:2]
    return " ".join(shown) or "less than a minute"
