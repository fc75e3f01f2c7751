"""/v1/funnel and /v1/latency: messages by stage, and the time between stages."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, convert, field

from webhook_app.store.counts import rates
from webhook_app.store.counts.messages import funnels
from webhook_app.store.counts.messages.funnels import StageCounts
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.entries import entry_from
from webhook_app.web.api.values import PhoneNumberId, Time, Word
from webhook_app.web.errors import ApiError

_SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

_Group = Literal[
    "phone_number_id",
    "template",
    "campaign",
    "country",
    "category",
    "billing",
    "pricing_model",
    "pricing_type",
]
_Minutes = Annotated[
    int, Meta(ge=1, le=31 * 1440, description="Full minutes in addition to the current one.")
]
_Until = Annotated[Time, Meta(description="The window ends with this minute instead of the current one.")]
_Share = Annotated[float | None, Meta(description="Share of the messages sent; null if none was sent.")]


class _FunnelSelection(Struct, kw_only=True, forbid_unknown_fields=True):
    """Filters for messages. An empty value matches messages without the value."""

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
    group_by: Annotated[tuple[_Group, ...], Meta(max_length=8, description="Comma-separated.")] = ()
    compare: Annotated[bool, Meta(description="false omits the previous period.")] = True
    billing: Annotated[
        Literal["", "free", "billable"] | None,
        Meta(description="Only messages that Meta calls so; '': unknown."),
    ] = None


class LatencyQuery(_FunnelSelection, kw_only=True):
    pass


class FunnelStages(Struct, kw_only=True):
    """Messages that first reached the stage in the window. Read implies delivered; failed ones may be delivered.

    `unread`: delivered in the window and not read since. A reader can hide that they read a message.
    """

    sent: int
    delivered: int
    read: int
    failed: int
    unread: int
    delivered_share: _Share
    read_share: _Share
    failed_share: _Share


class FunnelGroup(Struct, kw_only=True):
    """One group in the window and in the previous period (null: not compared)."""

    phone_number_id: str | UnsetType = UNSET
    template: str | UnsetType = UNSET
    campaign: str | UnsetType = UNSET
    country: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    billing: str | UnsetType = UNSET
    pricing_model: str | UnsetType = UNSET
    pricing_type: str | UnsetType = UNSET
    now: FunnelStages
    before: FunnelStages | None


class Funnel(Struct, kw_only=True):
    """Messages of a window by stage, compared with the previous window of the same length."""

    from_: Time = field(name="from")
    to: Time
    now: FunnelStages
    before: FunnelStages | None
    groups: list[FunnelGroup]


class Percentiles(Struct, kw_only=True):
    """Seconds within which that share of the messages reached the stage; null without messages."""

    messages: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class LatencyAnswer(Struct, kw_only=True):
    """The time between stages, for messages with both stages in the window."""

    from_: Time = field(name="from")
    to: Time
    sent_to_delivered: Percentiles
    delivered_to_read: Percentiles


def get_funnel(call: Call, query: FunnelQuery) -> Funnel:
    """Count messages by stage (sent, delivered, read, failed), in total and by group, the largest group first.

    A message counts once per stage, in the window in which it first reached it, so that windows add up.
    """
    start, end = _window(call, query)
    wanted = query.group_by, query.filters(), query.billing
    found = funnels.funnel(call.connection, start, end, *wanted)
    earlier: dict[tuple[str, ...], StageCounts] | None = None
    if query.compare:
        earlier = funnels.funnel(call.connection, start - (end - start), start, *wanted)
    keys = sorted({*found, *(earlier or {})}, key=lambda key: (-found.get(key, StageCounts()).sent, key))
    groups = [
        FunnelGroup(
            **dict(zip(query.group_by, key, strict=True)),
            now=_stages(found.get(key)),
            before=None if earlier is None else _stages(earlier.get(key)),
        )
        for key in keys
        if query.group_by
    ]
    before = None if earlier is None else _stages(_sum(earlier))
    return Funnel(from_=start, to=end, now=_stages(_sum(found)), before=before, groups=groups)


def get_latency(call: Call, query: LatencyQuery) -> LatencyAnswer:
    """Return the times from sent to delivered and from delivered to read, as percentiles."""
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


def _sum(found: dict[tuple[str, ...], StageCounts]) -> StageCounts:
    total = StageCounts()
    for counts in found.values():
        total.add(counts)
    return total


def _stages(found: StageCounts | None) -> FunnelStages:
    counts = found or StageCounts()

    def share(count: int) -> float | None:
        return count / counts.sent if counts.sent else None

    return entry_from(
        counts,
        FunnelStages,
        delivered_share=share(counts.delivered),
        read_share=share(counts.read),
        failed_share=share(counts.failed),
    )


def _percentiles(messages: int, seconds: list[float]) -> Percentiles:
    rounded: list[float | None] = [round(value, 3) for value in seconds]
    rounded = rounded or [None] * len(_SHARES)
    return Percentiles(messages=messages, **dict(zip(_SHARES, rounded, strict=True)))


ENDPOINTS = (
    Endpoint("GET", "/v1/funnel", get_funnel, "viewer"),
    Endpoint("GET", "/v1/latency", get_latency, "viewer"),
)
