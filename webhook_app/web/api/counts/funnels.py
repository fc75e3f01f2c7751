"""/v1/funnel and /v1/latency: how far messages got and how fast, by template, campaign and so on."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, convert, field

from webhook_app.store.counts import funnels, rates
from webhook_app.store.counts.funnels import Steps
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError

_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

_Group = Literal["phone_number_id", "template", "campaign", "country", "category"]
_Minutes = Annotated[int, Meta(ge=1, le=31 * 1440, description="The last full minutes, and the running one.")]
_Until = Annotated[Time, Meta(description="The window ends with this minute instead of the running one.")]
_Share = Annotated[float | None, Meta(description="Of the messages sent; null when none was.")]


class _FunnelSelection(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which messages count; an empty value asks for those without one."""

    window_minutes: _Minutes = 24 * 60
    until: _Until | None = None
    phone_number_id: PhoneNumberId | None = None
    waba_id: Word | None = None
    template: Word | None = None
    campaign: Word | None = None
    country: Annotated[Word, Meta(description="ISO 3166, two letters.")] | None = None

    def filters(self) -> rates.Filters:
        return convert(self, rates.Filters, from_attributes=True)


class FunnelQuery(_FunnelSelection, kw_only=True):
    group_by: Annotated[tuple[_Group, ...], Meta(max_length=5, description="Comma-separated.")] = ()
    compare: Annotated[bool, Meta(description="false leaves out the period before.")] = True


class LatencyQuery(_FunnelSelection, kw_only=True):
    pass


class FunnelSteps(Struct, kw_only=True):
    """Messages that first took the step in the window. Read implies delivered; one can have failed and arrived."""

    sent: int
    delivered: int
    read: int
    failed: int
    delivered_share: _Share
    read_share: _Share
    failed_share: _Share


class FunnelGroup(Struct, kw_only=True):
    """One group now and in the period before (null: not compared)."""

    phone_number_id: str | UnsetType = UNSET
    template: str | UnsetType = UNSET
    campaign: str | UnsetType = UNSET
    country: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    now: FunnelSteps
    before: FunnelSteps | None


class Funnel(Struct, kw_only=True):
    """How far the messages of a window got, and those of the window of the same length before it."""

    from_: Time = field(name="from")
    to: Time
    now: FunnelSteps
    before: FunnelSteps | None
    groups: list[FunnelGroup]


class Percentiles(Struct, kw_only=True):
    """Seconds within which that share of the messages got there; null without messages."""

    messages: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class LatencyAnswer(Struct, kw_only=True):
    """How long messages took whose steps both fell into the window."""

    from_: Time = field(name="from")
    to: Time
    sent_to_delivered: Percentiles
    delivered_to_read: Percentiles


def get_funnel(call: Call, query: FunnelQuery) -> Funnel:
    """How far messages got: sent, delivered, read, failed, in total and by group, the largest group first.

    A message counts where it first took a step, once, whatever was sent before the window: windows add up.
    """
    start, end = _window(call, query)
    filters = query.filters()
    found = funnels.funnel(call.connection, start, end, query.group_by, filters)
    earlier: dict[tuple[str, ...], Steps] | None = None
    if query.compare:
        earlier = funnels.funnel(call.connection, start - (end - start), start, query.group_by, filters)
    keys = sorted({*found, *(earlier or {})}, key=lambda key: (-found.get(key, Steps()).sent, key))
    groups = [
        FunnelGroup(
            **dict(zip(query.group_by, key, strict=True)),
            now=_steps(found.get(key)),
            before=None if earlier is None else _steps(earlier.get(key)),
        )
        for key in keys
        if query.group_by
    ]
    before = None if earlier is None else _steps(_total(earlier))
    return Funnel(from_=start, to=end, now=_steps(_total(found)), before=before, groups=groups)


def get_latency(call: Call, query: LatencyQuery) -> LatencyAnswer:
    """How long messages took from sent to delivered, and from delivered to read."""
    start, end = _window(call, query)
    found = funnels.latencies(call.connection, start, end, list(_SHARES.values()), query.filters())
    return LatencyAnswer(
        from_=start,
        to=end,
        sent_to_delivered=_percentiles(found.delivered, found.to_delivered),
        delivered_to_read=_percentiles(found.read, found.to_read),
    )


def _window(call: Call, query: _FunnelSelection) -> tuple[datetime, datetime]:
    try:
        start, end = rates.window(query.until or call.now, query.window_minutes)
        _ = start - timedelta(minutes=query.window_minutes + 1)
    except OverflowError:
        raise ApiError(400, "bad_parameter", "until: out of range.") from None
    return start, end


def _total(found: dict[tuple[str, ...], Steps]) -> Steps:
    return Steps(
        sum(each.sent for each in found.values()),
        sum(each.delivered for each in found.values()),
        sum(each.read for each in found.values()),
        sum(each.failed for each in found.values()),
    )


def _steps(found: Steps | None) -> FunnelSteps:
    steps = found or Steps()

    def share(count: int) -> float | None:
        return count / steps.sent if steps.sent else None

    return FunnelSteps(
        sent=steps.sent,
        delivered=steps.delivered,
        read=steps.read,
        failed=steps.failed,
        delivered_share=share(steps.delivered),
        read_share=share(steps.read),
        failed_share=share(steps.failed),
    )


def _percentiles(messages: int, seconds: list[float]) -> Percentiles:
    held: list[float | None] = [round(value, 3) for value in seconds]
    held = held or [None] * len(_SHARES)
    return Percentiles(messages=messages, **dict(zip(_SHARES, held, strict=True)))


ENDPOINTS = (
    Endpoint("GET", "/v1/funnel", get_funnel, "viewer"),
    Endpoint("GET", "/v1/latency", get_latency, "viewer"),
)
