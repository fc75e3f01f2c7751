"""The week before the demo, as data: ordinary traffic and an incident a day. It reads no clock."""

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.simulator.faults import BACKGROUND, PROVIDER_DOWN, SimulatedFault
from webhook_app.simulator.messages import NUMBERS, SEASONAL_OFFER, WIN_BACK
from webhook_app.simulator.payloads import (
    TimedChange,
    number_quality_change,
    number_tier_change,
    template_paused_change,
    template_quality_change,
    template_status_change,
    unknown_status_change,
)
from webhook_app.simulator.plan import PlannedEvent, plan
from webhook_app.simulator.scenarios import Phase, Scenario
from webhook_app.simulator.send_calls import TOKEN_EXPIRED

DAYS = 7
RATE = 0.03
"""Messages per second on average, outside of campaigns and incidents."""

_BUSY_FACTOR = 6.0
_HOURLY_RATES = (  # by UTC: a business in Europe and the Americas
    0.35, 0.25, 0.20, 0.20, 0.25, 0.40, 0.70, 1.10, 1.40, 1.60, 1.60, 1.50,
    1.40, 1.50, 1.60, 1.60, 1.50, 1.40, 1.25, 1.10, 0.95, 0.85, 0.75, 0.55,
)  # fmt: skip
_USUAL_INTERVAL = timedelta(hours=3)
_SHORT_INTERVAL = timedelta(minutes=5)
_LAST_MINUTES = timedelta(minutes=15)


class PlannedIncident(Struct, frozen=True):
    """An incident of the week: its start, its duration, and the time that alerts need to resolve after it."""

    name: str
    starts_at: datetime
    duration: timedelta
    phase: Phase
    recovery: timedelta = timedelta(minutes=45)

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + self.duration

    @property
    def recovered_at(self) -> datetime:
        return self.ends_at + self.recovery


class Week(Struct, frozen=True):
    """A scenario from `start` for `seconds`, with Meta's notices about numbers and templates."""

    start: datetime
    seconds: float
    scenario: Scenario
    incidents: tuple[PlannedIncident, ...]
    notices: tuple[TimedChange, ...]

    @property
    def end(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def events(self, seed: int) -> Iterator[PlannedEvent]:
        """Return everything the receiver gets, by time."""
        messages = plan(self.scenario, seed, RATE, self.seconds, self.start)
        return heapq.merge(messages, self.notices, key=lambda event: event.at)

    def evaluation_times(self) -> Iterator[datetime]:
        """Return a time every three hours, and every five minutes during incidents and at the end of the week."""
        at = self.start
        while at < self.end:
            ongoing = any(one.starts_at <= at < one.recovered_at for one in self.incidents)
            until_next = [one.starts_at - at for one in self.incidents if one.starts_at > at]
            interval = _SHORT_INTERVAL if ongoing else min([_USUAL_INTERVAL, *until_next])
            left = self.end - at
            if _LAST_MINUTES < left < interval + _LAST_MINUTES:
                interval = left - _LAST_MINUTES
            at = min(at + (_SHORT_INTERVAL if left <= _LAST_MINUTES else interval), self.end)
            yield at


def week_before(now: datetime) -> Week:
    """Return the seven days that end at `now`."""
    start = now - timedelta(days=DAYS)
    incidents = _incidents(now)
    return Week(start, DAYS * 86_400.0, _scenario(start, incidents), incidents, _notices(now, incidents))


def _incidents(now: datetime) -> tuple[PlannedIncident, ...]:
    def at(days: int, hour: int) -> datetime:
        return (now - timedelta(days=days)).replace(hour=hour, minute=10, second=0, microsecond=0)

    minutes = timedelta(minutes=1)
    broken_image = (SimulatedFault(131053, 0.16), *BACKGROUND)
    return (
        PlannedIncident(
            "old list", at(6, 9), 40 * minutes, Phase(0, rate_factor=_BUSY_FACTOR, old_list_share=0.6)
        ),
        PlannedIncident(
            "outage", at(5, 14), 30 * minutes, Phase(0, rate_factor=_BUSY_FACTOR, faults=PROVIDER_DOWN)
        ),
        PlannedIncident(
            "paused",
            at(4, 10),
            60 * minutes,
            Phase(0, rate_factor=_BUSY_FACTOR, paused_template=SEASONAL_OFFER),
        ),
        PlannedIncident(
            "broken image", at(3, 15), 40 * minutes, Phase(0, rate_factor=_BUSY_FACTOR, faults=broken_image)
        ),
        PlannedIncident("token", at(2, 8), 40 * minutes, Phase(0, refused_with=TOKEN_EXPIRED)),
        PlannedIncident(
            "silence",
            at(1, 11),
            60 * minutes,
            Phase(0, rate_factor=_BUSY_FACTOR, webhooks_held=True, calls_reported=True),
        ),
    )


def _scenario(start: datetime, incidents: tuple[PlannedIncident, ...]) -> Scenario:
    whole = timedelta(days=DAYS)
    phases = [Phase(0.0)]
    for one in incidents:
        # After an incident traffic is higher for a while: the sender catches up.
        catching_up = Phase((one.ends_at - start) / whole, rate_factor=_BUSY_FACTOR)
        usual = Phase((one.recovered_at - start) / whole)
        phases += [replace(one.phase, starts_at=(one.starts_at - start) / whole), catching_up, usual]
    return Scenario(
        name="week",
        description="A week of a business that sends offers, orders and login codes.",
        phases=tuple(phases),
        audience=2600,
        unreachable_share=0.008,
        old_list=1200,
        replies_share=0.03,
        opt_outs_share=0.006,
        hourly=_HOURLY_RATES,
    )


def _notices(now: datetime, incidents: tuple[PlannedIncident, ...]) -> tuple[TimedChange, ...]:
    """Return Meta's notices about numbers and templates, and one status of an unknown kind."""
    first, second, third = NUMBERS
    paused = next(one for one in incidents if one.name == "paused")
    hour = timedelta(hours=1)
    week = now - timedelta(days=DAYS)
    notices = [
        *((week + hour, number, number_tier_change(number, "TIER_10K")) for number in NUMBERS),
        (week + 2 * hour, first, template_status_change(SEASONAL_OFFER, "APPROVED")),
        (week + 2 * hour, first, template_status_change(WIN_BACK, "APPROVED")),
        (incidents[0].starts_at + 3 * hour, first, template_quality_change(WIN_BACK, "GREEN", "YELLOW")),
        # The scenario reports the start of the pause, but not its end.
        (paused.ends_at, first, template_status_change(SEASONAL_OFFER, "APPROVED")),
        (now - 20 * hour, first, template_quality_change(WIN_BACK, "YELLOW", "RED")),
        (now - 19 * hour, first, template_paused_change(WIN_BACK)),
        (now - 5 * hour, third, number_quality_change(third, "FLAGGED", "TIER_10K")),
        (now - 2 * hour, second, unknown_status_change(second, "queued_on_device", now - 2 * hour)),
    ]
    changes = (TimedChange(at, number.waba_id, change) for at, number, change in notices)
    return tuple(sorted(changes, key=lambda change: change.at))
