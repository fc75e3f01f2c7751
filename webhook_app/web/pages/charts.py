"""Failure rates over time for charts, in shares of an alert's window, so that lines and alerts agree.

Plain values; static/charts.js draws them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from webhook_app.rules.incidents.rules_file.rule import FAILURE_KINDS
from webhook_app.store.counts import rates as counts
from webhook_app.store.counts.rates import EVERYTHING, Filters
from webhook_app.store.counts.window_counts import CLASSES
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.incidents import Incident
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.receiving import webhook_activity
from webhook_app.web.pages.wording import CLASSES as CLASS_NAMES
from webhook_app.web.pages.wording import code_name

_MINUTE = timedelta(minutes=1)
_WINDOW_MINUTES = 15
_MAX_MINUTES = 3 * 24 * 60
_MAX_POINTS = 360
_AROUND_MINUTES = 60  # shown before an alert began


class Line(Struct, frozen=True):
    """One kind of failure. `kind` chooses the colour; a rate is None where nothing was attempted."""

    name: str
    kind: str
    failures: list[int]
    rates: list[float | None]


class Band(Struct, frozen=True):
    """A period in which an alert was pending or firing, or an incident open."""

    start: str
    end: str
    kind: str
    label: str


class Chart(Struct, frozen=True):
    """Values at the moments `at` (UTC), each the last minute of its window."""

    at: list[str]
    attempts: list[int]
    lines: list[Line]
    bands: list[Band]
    threshold: float | None
    window_minutes: int
    volume: str = "Messages"
    """What `attempts` counts."""

    def rows(self, count: int) -> list[dict[str, Any]]:
        """About `count` of the moments, the latest first, for the table beside the chart."""
        step = max(len(self.at) // count, 1)
        return [
            {
                "at": self.at[place],
                "attempts": self.attempts[place],
                "lines": [(line.failures[place], line.rates[place]) for line in self.lines],
            }
            for place in range(len(self.at) - 1, -1, -step)
        ]


class _Period(Struct, frozen=True):
    """The time to shade: from `began_at` as pending, from `opened_at` as firing."""

    began_at: datetime
    opened_at: datetime | None
    ended_at: datetime | None
    label: str


def recent(
    connection: Connection, hours: int, incidents: Sequence[Incident], threshold: float | None, now: datetime
) -> Chart:
    """The chart of all messages of the last hours, with the incidents of that time."""
    _, end = counts.window(now, 0)
    start = end - timedelta(hours=hours)
    points, step = _points(connection, start, end, _WINDOW_MINUTES, EVERYTHING)
    periods = [_Period(each.opened_at, each.opened_at, each.ended_at, each.title) for each in incidents]
    bands = _merged([band for period in periods for band in _bands(period, start, end)])
    return _chart(points, step, _WINDOW_MINUTES, list(CLASSES), bands, threshold)


def around(connection: Connection, alert: Alert, now: datetime) -> Chart | None:
    """The chart of an alert, from an hour before it began until it ended, at most three days.

    Rates for kinds that count failures, volumes for silence and refused deliveries; None for other kinds.
    """
    period = _Period(alert.started_at, alert.fired_at, alert.resolved_at, alert.rule)
    return _around(connection, alert, period, now)


def around_incident(
    connection: Connection, incident: Incident, opened_at: datetime, leading: Alert, now: datetime
) -> Chart | None:
    """The chart of an incident: the figures of its leading alert, over the time of the incident."""
    period = _Period(incident.began_at, opened_at, incident.ended_at, incident.title)
    return _around(connection, leading, period, now)


def _around(connection: Connection, alert: Alert, period: _Period, now: datetime) -> Chart | None:
    start, end = _span(period, now)
    window = alert.window_minutes or _WINDOW_MINUTES
    bands = _bands(period, start, end)
    if alert.kind in FAILURE_KINDS:
        filters = Filters(**alert.group)  # type: ignore[arg-type]  # a code is a number, everything else a text
        points, step = _points(connection, start, end, window, filters)
        kinds = list(CLASSES) if filters.code is None else [code_name(filters.code)]
        return _chart(points, step, window, kinds, bands, alert.threshold or None)
    if alert.kind == "silence":
        points, step = _points(connection, start, end, window, Filters(**alert.group))  # type: ignore[arg-type]
        flow = [sum(point[name] for name in _EVENTS) + point["failures"] for point in points]
        return _flow([point["at"] for point in points], flow, step, window, bands, "Webhooks")
    if alert.kind == "signature":
        moments, step = _moments(start, end, window)
        refused = webhook_activity.rejections_by_step(connection, moments[0], end, step)
        flow = [refused.get(at, 0) for at in moments]
        return _flow(moments, flow, step, window, bands, "Refused deliveries")
    return None


_EVENTS = ("sent", "delivered", "read")


def _span(period: _Period, now: datetime) -> tuple[datetime, datetime]:
    _, end = counts.window(min(period.ended_at + timedelta(minutes=30), now) if period.ended_at else now, 0)
    start = period.began_at.replace(second=0, microsecond=0) - timedelta(minutes=_AROUND_MINUTES)
    return max(start, end - timedelta(minutes=_MAX_MINUTES)), end


def _flow(
    moments: Sequence[datetime], flow: list[int], step: int, window: int, bands: list[Band], volume: str
) -> Chart:
    width, last_minute = _width(window, step), timedelta(minutes=step - 1)
    at = [_spell(moment + last_minute) for moment in moments[width:]]
    return Chart(at, _trailing(flow, width), [], bands, None, window, volume)


def _moments(start: datetime, end: datetime, window: int) -> tuple[list[datetime], int]:
    """The moments from one window before `start`, and the minutes between them."""
    step = _step((end - start) // _MINUTE)
    steps = -(-((end - start) // _MINUTE) // step) + _width(window, step)
    return [end - place * step * _MINUTE for place in range(steps, 0, -1)], step


def _points(
    connection: Connection, start: datetime, end: datetime, window: int, filters: Filters
) -> tuple[list[dict[str, Any]], int]:
    """The series from one window before `start`, and its step in minutes."""
    moments, step = _moments(start, end, window)
    return counts.series(connection, moments[0], end, step, filters), step


def _step(minutes: int) -> int:
    """The smallest step that gives no more than _MAX_POINTS points."""
    return next((step for step in (1, 5) if minutes // step <= _MAX_POINTS), 15)


def _width(window: int, step: int) -> int:
    """How many steps a window has; by the minute the running minute is included, as in rules."""
    return window + 1 if step == 1 else max(window // step, 1)


def _chart(
    points: list[dict[str, Any]],
    step: int,
    window: int,
    kinds: list[str],
    bands: list[Band],
    threshold: float | None,
) -> Chart:
    width = _width(window, step)
    attempts = _trailing([point["attempts"] for point in points], width)
    lines = []
    for kind in kinds:
        own = [point["classes"][kind] if kind in CLASSES else point["failures"] for point in points]
        failures = _trailing(own, width)
        lines.append(Line(CLASS_NAMES.get(kind, kind), _colour(kind), failures, _rates(failures, attempts)))
    last_minute = timedelta(minutes=step - 1)
    at = [_spell(point["at"] + last_minute) for point in points[width:]]
    return Chart(at, attempts, lines, bands, threshold, window)


def _colour(kind: str) -> str:
    return kind if kind in CLASSES else "code"


def _trailing(values: list[int], width: int) -> list[int]:
    """For each value after the first `width`, the sum of the last `width` values."""
    return [sum(values[end - width : end]) for end in range(width + 1, len(values) + 1)]


def _rates(failures: list[int], attempts: list[int]) -> list[float | None]:
    return [min(f / a, 1.0) if a else None for f, a in zip(failures, attempts, strict=True)]


def _bands(period: _Period, start: datetime, end: datetime) -> list[Band]:
    over = period.ended_at or end
    spans = [(period.began_at, period.opened_at or over, "pending")]
    if period.opened_at is not None:
        spans.append((period.opened_at, over, "firing"))
    return [
        Band(_spell(max(first, start)), _spell(min(last, end)), kind, f"{kind}: {period.label}")
        for first, last, kind in spans
        if last > max(start, first) and first < end
    ]


def _merged(bands: Sequence[Band]) -> list[Band]:
    """Merge overlapping bands: shades on top of each other would hide the lines."""
    merged: list[Band] = []
    for band in sorted(bands, key=lambda band: (band.start, band.end)):
        last = merged[-1] if merged else None
        if last is not None and band.start <= last.end:
            merged[-1] = Band(last.start, max(last.end, band.end), last.kind, f"{last.kind}: several")
        else:
            merged.append(band)
    return merged


def _spell(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
