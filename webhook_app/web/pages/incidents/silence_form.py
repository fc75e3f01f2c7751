"""The form of a silence, read into matchers, end and comment, or into the error to show."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct

from webhook_app.rules.incidents.silences import MATCHED, matcher_fault, shared_matchers
from webhook_app.store.incidents.alerts import Alert

SPANS = {
    "1h": ("1 hour", timedelta(hours=1)),
    "4h": ("4 hours", timedelta(hours=4)),
    "8h": ("8 hours", timedelta(hours=8)),
    "1d": ("1 day", timedelta(days=1)),
    "7d": ("1 week", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
}
NOTHING = "none"
"""Typed for messages without a template, campaign or country."""

_LONGEST = timedelta(days=366)
_LONGEST_COMMENT = 500


class SilenceForm(Struct, frozen=True):
    """What the form shows: texts as typed, by the name of their field."""

    typed: dict[str, str]
    fault: str = ""


class SilenceRequest(Struct, frozen=True):
    """The silence that the form asks for."""

    matchers: dict[str, str | int]
    until: datetime
    comment: str


def for_alerts(alerts: Sequence[Alert]) -> SilenceForm:
    """The form filled in for an incident: what the groups of its alerts share, or their rule if they share nothing."""
    shared = shared_matchers([alert.group for alert in alerts])
    shared = shared or shared_matchers([{"rule": alert.rule} for alert in alerts])
    return SilenceForm({name: str(value) or NOTHING for name, value in shared.items()})


def read_form(given: Mapping[str, str], now: datetime) -> SilenceRequest | str:
    """Read the form; a text is the error to show to the user."""
    typed = {name: given.get(name, "").strip() for name in (*MATCHED, "span", "until", "comment")}
    matchers: dict[str, str | int] = {}
    for name in MATCHED:
        if not typed[name]:
            continue
        value = "" if typed[name] == NOTHING else typed[name]
        if name == "code":
            try:
                matchers[name] = int(value)
            except ValueError:
                return f"Error code: {typed[name]!r} is not a number such as 131026."
        else:
            matchers[name] = value
    if not matchers:
        return "Fill in at least one field. Empty fields match everything."
    if fault := matcher_fault(matchers):
        return f"{fault[:1].upper()}{fault[1:]}."
    if len(typed["comment"]) > _LONGEST_COMMENT or "\0" in typed["comment"]:
        return f"Comment: at most {_LONGEST_COMMENT} characters."
    until = _until(typed, now)
    return until if isinstance(until, str) else SilenceRequest(matchers, until, typed["comment"])


def _until(typed: Mapping[str, str], now: datetime) -> datetime | str:
    """A time that was typed takes precedence over a duration from the list."""
    if not typed["until"]:
        known = SPANS.get(typed["span"])
        return "Choose a duration." if known is None else now + known[1]
    try:
        until = datetime.fromisoformat(typed["until"])
        until = until.replace(tzinfo=UTC) if until.tzinfo is None else until.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter at the ends of the calendar
        return f"Until: {typed['until']!r} is not a time such as 2026-09-30T14:00."
    if until <= now:
        return "Until: that time has passed (all times are UTC)."
    return "Until: at most a year from now." if until > now + _LONGEST else until
