"""How the pages spell figures, times and contacts, as filters for templates. Text out, and nothing escaped yet."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from webhook_app.channels import alert_text
from webhook_app.whatsapp.contacts import display
from webhook_app.whatsapp.events import NO_CODE

_THIN = "\N{NARROW NO-BREAK SPACE}"

REASONS = {
    "opted_out": "Opted out",
    "manual": "Stopped by hand",
    "hard": "Cannot be reached for good",
    "unreachable": "Could not be reached",
}
CLASSES = {"broken": "Broken", "withheld": "Withheld", "unreachable": "Unreachable"}


def number(value: int) -> str:
    """1 204, with spaces that do not break."""
    return f"{value:,}".replace(",", _THIN)


def percent(share: float) -> str:
    """A share between 0 and 1 with three digits that matter, as in 3.16 %."""
    return unbroken(alert_text.percent(min(share, 1.0)))


def unbroken(words: str) -> str:
    """The same on one line."""
    return words.replace(" ", _THIN)


def stamp(at: datetime, now: datetime) -> str:
    """The time of day, 14:05 UTC, with the day when it is another."""
    return f"{at:%H:%M} UTC" if at.date() == now.date() else moment(at)


def moment(at: datetime) -> str:
    """Day and time, 2026-09-30 14:05 UTC."""
    return alert_text.moment(at)


def ago(at: datetime, now: datetime) -> str:
    """How far from now: just now, 4 min ago, in 2 d 3 h."""
    if at - now >= timedelta(minutes=1):
        return f"in {alert_text.duration(at - now)}"
    return f"{alert_text.duration(now - at)} ago" if now - at >= timedelta(minutes=1) else "just now"


def code_name(code: int) -> str:
    """The code as people write it."""
    return "no code" if code == NO_CODE else str(code)


def place(values: dict[str, Any]) -> str:
    """What failures share, in words: template order_update, to DE, from number 123. Empty values are left out."""
    words = {
        "template": "template {}",
        "country": "to {}",
        "phone_number_id": "from number {}",
    }
    return ", ".join(words[name].format(values[name]) for name in words if values.get(name))


FILTERS: dict[str, Callable[..., str]] = {
    "number": number,
    "percent": percent,
    "stamp": stamp,
    "moment": moment,
    "ago": ago,
    "code_name": code_name,
    "contact": display,
    "place": place,
    "group": alert_text.describe_group,
}
"""By the names templates know them under."""
