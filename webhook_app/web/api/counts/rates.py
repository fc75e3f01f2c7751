"""/v1/rates and /v1/series: failure rates of one window or over time, by code, number, template and so on."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, convert, field

from webhook_app.rules.counts.failure_rate import measure
from webhook_app.store.counts import rates
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.values import Code, PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError
from webhook_app.whatsapp.events import NO_CODE

_MAX_POINTS = 2_000
_MAX_GROUPS = 1_000

_Group = Literal["code", "phone_number_id", "waba_id", "template", "campaign", "country"]
_Share = Annotated[float, Meta(description="A share between 0 and 1.")]
_Minutes = Annotated[
    int, Meta(ge=1, le=90 * 1440, description="Full minutes in addition to the current one.")
]
_Until = Annotated[Time, Meta(description="The window ends with this minute instead of the current one.")]
_Code = Annotated[int | None, Meta(description="null: failures without a code.")]


class _RateSelection(Struct, kw_only=True, forbid_unknown_fields=True):
    """Filters for messages. An empty value matches messages without the value."""

    until: _Until | None = None
    phone_number_id: PhoneNumberId | None = None
    waba_id: Word | None = None
    template: Word | None = None
    campaign: Word | None = None
    country: Annotated[Word, Meta(description="ISO 3166, two letters.")] | None = None
    code: Code | None = None

    def filters(self) -> rates.Filters:
        return convert(self, rates.Filters, from_attributes=True)


class RatesQuery(_RateSelection, kw_only=True):
    window_minutes: _Minutes = 15
    group_by: Annotated[tuple[_Group, ...], Meta(max_length=6, description="Comma-separated.")] = ()


class SeriesQuery(_RateSelection, kw_only=True):
    window_minutes: _Minutes = 24 * 60
    step_minutes: Annotated[int, Meta(ge=1, le=1440, description="At most 2000 points.")] = 15


class Classes(Struct):
    """Distinct failed messages by class. The failure rate counts `broken` and `unreachable`."""

    broken: int
    withheld: int
    unreachable: int


class GroupRate(Struct, kw_only=True):
    """The rate of one group. The attempts of a code are those of the whole group, whatever their code."""

    code: _Code | UnsetType = UNSET
    phone_number_id: str | UnsetType = UNSET
    waba_id: str | UnsetType = UNSET
    template: str | UnsetType = UNSET
    campaign: str | UnsetType = UNSET
    country: str | UnsetType = UNSET
    attempts: int
    failures: int
    rate: _Share
    low: _Share
    high: _Share


class Rates(Struct, kw_only=True):
    """Attempts, failures and failure rate of a window, with the rate's 95 % Wilson interval."""

    from_: Time = field(name="from")
    to: Time
    attempts: int
    failures: int
    rate: _Share
    low: _Share
    high: _Share
    classes: Classes
    groups: list[GroupRate]


class Point(Struct, kw_only=True):
    """One point in time. `sent`, `delivered` and `read` count status events; the other fields count messages."""

    at: Time
    attempts: int
    failures: int
    rate: _Share
    low: _Share
    high: _Share
    classes: Classes
    sent: int
    delivered: int
    read: int


class Series(Struct, kw_only=True):
    """Failure rates over time: a point for every step, including those without messages."""

    from_: Time = field(name="from")
    to: Time
    step_minutes: int
    points: list[Point]


def get_rates(call: Call, query: RatesQuery) -> Rates:
    """Return the failure rates of the last minutes, in total and by group, the worst group first.

    The failure rate counts failures of the classes broken and unreachable. With `code`, or grouped by code, it counts
    the failures with that code, of any class. Code -2 stands for codes beyond the ceiling of 500 new ones within an
    hour. At most 1000 groups are returned, those with most failures; the totals count all.
    """
    start, end = _window(call, query.until, query.window_minutes)
    found = rates.rates(call.connection, start, end, query.group_by, query.filters())
    groups = [row | {"code": None} if row.get("code") == NO_CODE else row for row in found.groups]
    classes, listed = Classes(**found.classes), [GroupRate(**row) for row in groups[:_MAX_GROUPS]]
    return entry_from(found, Rates, from_=start, to=end, classes=classes, groups=listed)


def get_series(call: Call, query: SeriesQuery) -> Series:
    """Return failure rates over time, for charts."""
    start, end = _window(call, query.until, query.window_minutes)
    if (end - start) / timedelta(minutes=query.step_minutes) > _MAX_POINTS:
        message = f"step_minutes: more than {_MAX_POINTS} points; choose a longer step or a shorter window."
        raise ApiError(400, "bad_parameter", message)
    points = rates.series(call.connection, start, end, query.step_minutes, query.filters())
    return Series(from_=start, to=end, step_minutes=query.step_minutes, points=list(map(_point, points)))


def _window(call: Call, until: datetime | None, minutes: int) -> tuple[datetime, datetime]:
    try:
        return rates.window(until or call.now, minutes)
    except OverflowError:
        raise ApiError(400, "bad_parameter", "until: out of range.") from None


def _point(counts: dict[str, Any]) -> Point:
    rate = measure(counts["attempts"], counts["failures"])
    classes = Classes(**counts["classes"])
    return Point(**counts | {"classes": classes, "rate": rate.rate, "low": rate.low, "high": rate.high})


ENDPOINTS = (
    Endpoint("GET", "/v1/rates", get_rates, "viewer"),
    Endpoint("GET", "/v1/series", get_series, "viewer"),
)
