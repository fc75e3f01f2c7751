"""How pages write figures, times and contacts, as filters for templates. Returns text that is not escaped."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from webhook_app.channels import descriptions
from webhook_app.rules.incidents import formats
from webhook_app.whatsapp.events import NO_CODE
from webhook_app.whatsapp.people.contacts import display

_THIN = "\N{NARROW NO-BREAK SPACE}"

REASONS = {
    "opted_out": "Opted out",
    "manual": "Suppressed by hand",
    "hard": "Permanently unreachable",
    "unreachable": "Unreachable",
}
CHANGES = {
    "suppress": "added",
    "extend": "changed",
    "half_open": "expired, waiting for a probe",
    "lift": "lifted",
    "expire": "expired",
    "restore": "restored",
    "erase": "person erased",
}
"""Actions of the change log in words."""
SUPPRESS_DAYS = {
    "1": "for a day",
    "7": "for a week",
    "30": "for 30 days",
    "90": "for 90 days",
    "365": "for a year",
}
"""Durations of a suppression in days, with their labels."""
SCOPES = {"all": "everything", "marketing": "marketing only"}
RETRY_STATES = {
    "waiting": "Waits for a sender to claim it",
    "leased": "A sender has claimed it",
    "sent": "Sent again",
    "done": "Ended",
    "dead": "Dead letter",
}
RETRY_REASONS = {
    "delivered": "it was delivered",
    "resent": "the message was sent again",
    "code": "the error allows no retry",
    "used_up": "all retries are used up",
    "expired": "it is too old",
    "suppressed": "the contact may not be messaged",
    "gave_up": "the sender gave up",
}
SOURCES = {"webhook": "Meta's webhook", "send": "the answer to a send call"}
CHANNELS = {
    "slack": "Slack",
    "pagerduty": "PagerDuty",
    "email": "e-mail",
    "webhook": "the webhook",
    "alertmanager": "Alertmanager",
    "log": "the log",
}
CLASSES = {"broken": "Broken", "withheld": "Withheld", "unreachable": "Unreachable"}


def number(value: int) -> str:
    """1 204, with spaces that do not break."""
    return unbroken(formats.number(value))


def size(count: int) -> str:
    """Bytes in the unit that fits, 1.4 GB."""
    value, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return unbroken(
        f"{value:.1f} {units[0]}" if value < 10 and units[0] != "B" else f"{value:.0f} {units[0]}"
    )


def percent(share: float) -> str:
    """A share between 0 and 1 with three significant digits, 3.16 %."""
    return unbroken(formats.percent(min(share, 1.0)))


def unbroken(words: str) -> str:
    """The text with spaces that do not break."""
    return words.replace(" ", _THIN)


def stamp(at: datetime, now: datetime) -> str:
    """The time of day, 14:05 UTC, with the date unless it is today."""
    return f"{at:%H:%M} UTC" if at.date() == now.date() else moment(at)


def moment(at: datetime) -> str:
    """Day and time, 2026-09-30 14:05 UTC."""
    return formats.moment(at)


def ago(at: datetime, now: datetime) -> str:
    """The distance from now: just now, 4 min ago, in 2 d 3 h."""
    if at - now >= timedelta(minutes=1):
        return f"in {formats.duration(at - now)}"
    return f"{formats.duration(now - at)} ago" if now - at >= timedelta(minutes=1) else "just now"


def stored_moment(spelt: str) -> str:
    """Day and time of an ISO 8601 text."""
    return moment(datetime.fromisoformat(spelt))


def group_words(group: Mapping[str, str | int]) -> str:
    """What a rule groups by, in words: code 131026, business number 123, check books."""
    code, rest = group.get("code"), {name: held for name, held in group.items() if name != "code"}
    named = [] if code is None else [f"code {code_name(int(code))}"]
    return ", ".join(named + ([descriptions.describe_group(rest)] if rest else [])) or "everything"


def code_name(code: int) -> str:
    """The code as text; `no code` for failures without one."""
    return "no code" if code == NO_CODE else str(code)


def place(values: dict[str, Any]) -> str:
    """What failures have in common: template order_update, to DE, from number 123. Empty values are omitted."""
    words = {
        "template": "template {}",
        "country": "to {}",
        "phone_number_id": "from number {}",
    }
    return ", ".join(words[name].format(values[name]) for name in words if values.get(name))


FILTERS: dict[str, Callable[..., str]] = {
    "number": number,
    "size": size,
    "percent": percent,
    "stamp": stamp,
    "moment": moment,
    "ago": ago,
    "window_length": formats.window_length,
    "code_name": code_name,
    "group_words": group_words,
    "stored_moment": stored_moment,
    "contact": display,
    "place": place,
    "group": descriptions.describe_group,
}
"""By their names in templates."""
