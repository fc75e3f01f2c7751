"""Composes the text of a notification about an incident: headline, facts, links and footer.

Independent of channels: nothing is escaped or formatted yet. One incident, one voice: every message has the same title,
one piece of advice, and figures that later messages do not contradict.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.channels.descriptions import describe_figures, describe_group, describe_values
from webhook_app.channels.notification import CodeFacts, Figures, Notification
from webhook_app.rules.accounts.names import with_names
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
    "split": "webhooks or other API keys show it too, so it goes on as another incident",
}
_ENDING_WORDS = {
    "recovered": "recovered",
    "quiet": "no traffic",
    "faded": "no failure for 24 h",
    "chronic": "chronic",
    "rules": "rules changed",
    "split": "goes on as another incident",
}
_CONFIRMED = "no longer only reported by senders"
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
    return text_with_names(_compose(notification), notification.names)


def text_with_names(message: MessageText, names: Mapping[str, str]) -> MessageText:
    """The message with names instead of Meta's ids; links keep the ids."""
    facts = tuple((with_names(label, names), with_names(text, names)) for label, text in message.facts)
    return MessageText(with_names(message.headline, names), facts, message.links, message.footer)


def _compose(notification: Notification) -> MessageText:
    facts = [*_undelivered(notification), *_failing_codes(notification), *_latest_finding(notification)]
    if notification.confirmed:
        facts.append(("Now also", notification.confirmed))
    if for_whom := _who_is_hit(notification):
        facts.append(("For whom", for_whom))
    facts += _after_the_end(notification) if notification.is_over else _while_open(notification)
    links = [("Open the incident", notification.link), ("Runbook", notification.runbook)]
    rules = dict.fromkeys([notification.rule, *(each.rule for each in notification.evidence)])
    footer = f"Incident {notification.incident_id}, {_plural('rule', len(rules))} {', '.join(rules)}"
    return MessageText(
        _headline(notification), tuple(facts), tuple(link for link in links if link[1]), footer
    )


def compose_digest(notifications: Sequence[Notification]) -> Digest:
    """The text about several incidents, one line each, in order of time."""
    counted = Counter(_REASON_WORDS[notification.reason] for notification in notifications)
    text = ", ".join(f"{number(count)} {words}" for words, count in counted.most_common())
    lines = tuple(
        (with_names(_headline(notification), notification.names), notification.link)
        for notification in notifications
    )
    return Digest(f"News of {number(len(notifications))} incidents: {text}", lines)


def plain_text(message: MessageText) -> str:
    """The message as plain text."""
    lines = [message.headline, *(f"  {label}: {text}" for label, text in message.facts + message.links)]
    return "\n".join(line.replace("\n", "\n    ") for line in [*lines, f"  {message.footer}"])


def change_line(notification: Notification) -> str:
    """One line about the change, for readers who know the incident."""
    who = f" by {notification.actor}" if notification.actor else ""
    if notification.reason == "snoozed":
        until = f" until {moment(notification.snoozed_until)}" if notification.snoozed_until else ""
        return f"Snoozed{until}{who}"
    now = with_names(_state(notification), notification.names)
    lines = {
        "acknowledged": f"Acknowledged{who}",
        "resolved": f"Ended after {_lasted(notification)}. {_ending(notification)}",
        "past": f"In the past, for {_lasted(notification)}. {_ending(notification)}",
        "escalated": f"Now {notification.severity}: {now}"
        if not notification.confirmed
        else f"{_CONFIRMED.capitalize()}: {with_names(notification.confirmed, notification.names)}",
        "repeated": f"Still open: {now}",
        "again": f"Opened again: {now}",
        "fired": f"Opened: {now}",
    }
    return lines[notification.reason]


def _state(notification: Notification) -> str:
    """The figures or the finding, in one line."""
    if notification.figures is not None:
        return _impact(notification, notification.figures)
    return notification.finding or notification.title


def _headline(notification: Notification) -> str:
    title, severity, matter = notification.title, notification.severity, _title_and_share(notification)
    ended = _ENDING_WORDS.get(notification.ended_how, "recovered")
    headlines = {
        "fired": f"{severity.upper()}: {matter}",
        "again": f"{severity.upper()} again: {matter}",
        "repeated": f"Still open ({severity}): {matter}",
        "escalated": f"Now {severity.upper()}: {matter}"
        if not notification.confirmed
        else f"{severity.upper()}, {_CONFIRMED}: {matter}",
        "resolved": f"Ended after {_lasted(notification)} ({ended}): {title}",
        "past": f"In the past, for {_lasted(notification)}: {title}",
    }
    return headlines.get(notification.reason) or f"{change_line(notification)}: {title}"


def _title_and_share(notification: Notification) -> str:
    """The title, with the share of failures if the figures are about the place that the title names."""
    title, figures, place = notification.title, notification.figures, describe_group(notification.group)
    if figures is None or not figures.attempts:
        return title
    if notification.measure is not None:
        return f"{title}: {percent(figures.rate)} of messages"
    if title.endswith(place) or not notification.failures:
        return f"{title}: {percent(figures.rate)} of messages fail"
    return f"{title}: {_count('failed message', notification.failures)}"


def _undelivered(notification: Notification) -> list[tuple[str, str]]:
    return [(f"Not delivered on {missed.channel}", missed.fault) for missed in notification.undelivered]


def _failing_codes(notification: Notification) -> list[tuple[str, str]]:
    if not notification.codes:
        return []
    leading, *others = notification.codes
    facts = [("What broke", f"{leading.code} {leading.title} ({leading.failure_class}). {leading.meaning}")]
    if others:
        also = (f"{code.code} {code.title} ({_count('message', code.failures)})" for code in others)
        facts.append(("Also", "; ".join(also)))
    return facts


def _latest_finding(notification: Notification) -> list[tuple[str, str]]:
    """The current finding, unless the title says it. The title stays that of the first message."""
    if notification.is_over or not notification.finding or notification.finding in notification.title:
        return []
    return [("Now", notification.finding)]


def _who_is_hit(notification: Notification) -> str:
    part, parts = notification.slice, []
    if part is not None:
        named = describe_values(part.values)
        counted = "these messages" if notification.measure else "the failures"
        parts.append(f"{named} ({percent(part.share)} of {counted})" if part.share else named)
    for name, noun, values, more in (
        ("phone_number_id", "business number", notification.numbers, notification.more_numbers),
        ("template", "template", notification.templates, notification.more_templates),
    ):
        in_slice = part is not None and name in part.values
        if values and not in_slice and not notification.title.endswith(f"{noun} {values[0]}"):
            parts.append(_several(noun, values, more))
    if notification.failures:
        hit = (
            f"{_count('failed message', notification.failures)} to {_count('contact', notification.contacts)}"
        )
        parts.append(hit if notification.resolved_at else f"{hit} so far")
    if notification.reported:
        parts.append(f"{number(notification.reported)} more that only senders report")
    return "; ".join(parts)


def _several(noun: str, values: Sequence[str], more: int) -> str:
    """Up to three values by name, the others and `more` as a number."""
    named, count = values[:_MAX_NAMED], len(values) + more
    if count == 1:
        return f"{noun} {values[0]}"
    others = f" and {number(count - len(named))} more" if count > len(named) else ""
    return f"{_count(noun, count)}: {', '.join(named)}{others}"


def _count(noun: str, count: int) -> str:
    return f"{number(count)} {_plural(noun, count)}"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _while_open(notification: Notification) -> list[tuple[str, str]]:
    lasting = duration(notification.at - notification.since)
    facts = [("Since", f"{moment(notification.since)} ({lasting})")]
    if notification.figures is not None:
        facts.append(("Impact", _impact(notification, notification.figures)))
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


def _impact(notification: Notification, figures: Figures) -> str:
    """The figures, with the group they belong to unless the title names it."""
    place = describe_group(notification.group)
    return describe_figures(
        figures, "" if notification.title.endswith(place) else place, notification.measure
    )


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
    if notification.again:
        times = "once" if notification.again == 1 else f"{number(notification.again)} times"
        span = f"{span}; it opened again {times}"
    facts = [("Lasted", span), ("How it ended", _ending(notification))]
    if notification.peak_rate:
        at = f" at {moment(notification.peak_at)}" if notification.peak_at is not None else ""
        facts.append(("At its worst", f"{percent(notification.peak_rate)}{at}"))
    return [*facts, *notification.details]


def _ending(notification: Notification) -> str:
    """Why it ended, as a sentence."""
    text = notification.why or ENDINGS.get(notification.ended_how, "recovered")
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _common_mistakes(codes: tuple[CodeFacts, ...]) -> list[tuple[str, str]]:
    return [("Often misread", code.mistaken_for) for code in codes if code.mistaken_for]


def _lasted(notification: Notification) -> str:
    return duration(_ended_at(notification) - notification.since)


def _ended_at(notification: Notification) -> datetime:
    return notification.resolved_at or notification.at
