"""Numbers, shares and times as text, the same in alert messages, verdicts and pages."""

from datetime import datetime, timedelta


def number(value: int) -> str:
    """A whole number in groups of three digits, as in 12 000."""
    return f"{value:,}".replace(",", " ")


def percent(share: float) -> str:
    """A share between 0 and 1 as a percentage with three significant digits."""
    return f"{100 * share:.3g} %"


def moment(at: datetime) -> str:
    """A time in UTC, to the minute."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def duration(length: timedelta) -> str:
    """A duration in its two largest units: 2 d 3 h, 1 h 5 min, 4 min."""
    minutes = max(int(length.total_seconds()) // 60, 0)
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    units = [(days, "d"), (hours, "h"), (rest, "min")]
    shown = [f"{value} {unit}" for value, unit in units if value][:2]
    return " ".join(shown) or "less than a minute"


def window_length(minutes: int) -> str:
    """The length of a window as a duration: 15 min, 6 h, 7 d."""
    return duration(timedelta(minutes=minutes))
