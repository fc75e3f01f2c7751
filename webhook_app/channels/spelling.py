"""How groups, slices, figures and times are spelt wherever people read of alerts: values in, words out."""

from datetime import datetime, timedelta

from webhook_app.channels.notification import Figures, Slice

_GROUP_WORDS = {
    "phone_number_id": "business number",
    "waba_id": "WhatsApp account",
    "template": "template",
    "campaign": "campaign",
    "country": "country",
}


def describe_group(group: dict[str, str | int]) -> str:
    """The group in words, without its code."""
    return named(group) or "all messages"


def named(group: dict[str, str | int]) -> str:
    """The same; empty for the group of all messages."""
    held = [(_GROUP_WORDS.get(key, key), value) for key, value in _in_order(group).items()]
    return ", ".join(f"{words} {value}" if value else f"no {words}" for words, value in held)


def _in_order(group: dict[str, str | int]) -> dict[str, str | int]:
    known = [key for key in _GROUP_WORDS if key in group]
    return {key: group[key] for key in [*known, *sorted(group.keys() - _GROUP_WORDS.keys() - {"code"})]}


def describe_slice(held: Slice) -> str:
    """What most failures share."""
    parts = []
    if held.template is not None:
        parts.append(f"template {held.template}" if held.template else "messages without a template name")
    if held.country is not None:
        parts.append(f"to {held.country}" if held.country else "to numbers of no known country")
    if held.phone_number_id is not None:
        parts.append(f"from business number {held.phone_number_id}")
    return f"{percent(held.share)} of the failures are {' '.join(parts)}"


def describe_figures(figures: Figures) -> str:
    """How bad it is, against what is allowed."""
    if not figures.attempts and not figures.failures:
        return f"no messages in the last {figures.window_minutes} min"
    between = f"{percent(figures.low)} to {percent(figures.high)}"
    told = (
        f"{number(figures.failures)} of {number(figures.attempts)} messages failed in"
        f" {figures.window_minutes} min: {percent(figures.rate)} (95 % interval {between})"
    )
    return f"{told}; the threshold is {percent(figures.threshold)}" if figures.threshold else told


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
