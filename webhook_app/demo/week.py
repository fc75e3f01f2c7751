"""The week before the demo, as data: an ordinary business, and what went wrong on which day. Pure: `now` comes in."""

import heapq
from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.simulator.changes import (
    number_quality_change,
    number_tier_change,
    template_paused_change,
    template_quality_change,
    template_status_change,
    unknown_status_change,
)
from webhook_app.simulator.faults import BACKGROUND, PROVIDER_DOWN, SimulatedFault
from webhook_app.simulator.plan import Timed, Told, plan
from webhook_app.simulator.scenarios import Phase, Scenario
from webhook_app.simulator.send_calls import TOKEN_EXPIRED
from webhook_app.simulator.senders import NUMBERS, SEASONAL_OFFER, WIN_BACK

DAYS = 7
RATE = 0.03
"""Messages per second on average, outside of campaigns and incidents."""

_BUSY = 6.0
_HOURLY = (  # by UTC: a business in Europe and the Americas
    0.35, 0.25, 0.20, 0.20, 0.25, 0.40, 0.70, 1.10, 1.40, 1.60, 1.60, 1.50,
    1.40, 1.50, 1.60, 1.60, 1.50, 1.40, 1.25, 1.10, 0.95, 0.85, 0.75, 0.55,
)  # fmt: skip
_LOOK = timedelta(hours=3)
_CLOSE_LOOK = timedelta(minutes=5)
_LATELY = timedelta(minutes=15)


class PlannedIncident(Struct, frozen=True):
    """Something that happened: from `begins` for `lasts`, and how soon after its end it is over for good."""

    name: str
    begins: datetime
    lasts: timedelta
    phase: Phase
    settles: timedelta = timedelta(minutes=45)


class Week(Struct, frozen=True):
    """What to play from `start` for `seconds`, what Meta says besides, and when to look."""

    start: datetime
    seconds: float
    scenario: Scenario
    troubles: tuple[PlannedIncident, ...]
    notices: tuple[Timed, ...]

    @property
    def ends(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def told(self, seed: int) -> Iterator[Told]:
        """Everything that reached the receiver, by time."""
        messages = plan(self.scenario, seed, RATE, self.seconds, self.start)
        return heapq.merge(messages, self.notices, key=lambda told: told.at)

    def looks(self) -> Iterator[datetime]:
        """Every three hours; every five minutes while something is wrong, and when the week is nearly over."""
        at, end = self.start, self.ends
        while at < end:
            near = any(one.begins <= at < one.begins + one.lasts + one.settles for one in self.troubles)
            coming = [one.begins for one in self.troubles if one.begins > at]
            step = _CLOSE_LOOK if near else min([_LOOK, *(moment - at for moment in coming)])
            left = end - at
            if _LATELY < left < step + _LATELY:
                step = left - _LATELY
            at = min(at + (_CLOSE_LOOK if left <= _LATELY else step), end)
            yield at


def week_before(now: datetime) -> Week:
    """The seven days that end at `now`."""
    start = now - timedelta(days=DAYS)
    troubles = _troubles(now)
    return Week(start, DAYS * 86_400.0, _scenario(start, troubles), troubles, _notices(now, troubles))


def _troubles(now: datetime) -> tuple[PlannedIncident, ...]:
    def at(days: int, hour: int) -> datetime:
        return (now - timedelta(days=days)).replace(hour=hour, minute=10, second=0, microsecond=0)

    minutes = timedelta(minutes=1)
    broken_image = (SimulatedFault(131053, 0.16), *BACKGROUND)
    return (
        PlannedIncident("old list", at(6, 9), 40 * minutes, Phase(0, pace=_BUSY, old_list_share=0.6)),
        PlannedIncident("outage", at(5, 14), 30 * minutes, Phase(0, pace=_BUSY, faults=PROVIDER_DOWN)),
        PlannedIncident("paused", at(4, 10), 60 * minutes, Phase(0, pace=_BUSY, paused=SEASONAL_OFFER)),
        PlannedIncident("broken image", at(3, 15), 40 * minutes, Phase(0, pace=_BUSY, faults=broken_image)),
        PlannedIncident("token", at(2, 8), 40 * minutes, Phase(0, refused_with=TOKEN_EXPIRED)),
        PlannedIncident(
            "silence", at(1, 11), 60 * minutes, Phase(0, pace=_BUSY, held=True, calls_reported=True)
        ),
    )


def _scenario(start: datetime, troubles: tuple[PlannedIncident, ...]) -> Scenario:
    whole = timedelta(days=DAYS)
    phases = [Phase(0.0)]
    for one in troubles:
        # After it there is more traffic for a while: what was left waiting goes out.
        again = Phase((one.begins + one.lasts - start) / whole, pace=_BUSY)
        usual = Phase((one.begins + one.lasts + one.settles - start) / whole)
        phases += [replace(one.phase, begins=(one.begins - start) / whole), again, usual]
    return Scenario(
        name="week",
        story="A week of a business that sends offers, orders and login codes.",
        phases=tuple(phases),
        audience=2600,
        unreachable_share=0.008,
        old_list=1200,
        replies_share=0.03,
        opt_outs_share=0.006,
        hourly=_HOURLY,
    )


def _notices(now: datetime, troubles: tuple[PlannedIncident, ...]) -> tuple[Timed, ...]:
    """What Meta says of numbers and templates, and one status that nobody knows yet."""
    first, second, third = NUMBERS
    paused = next(one for one in troubles if one.name == "paused")
    hour = timedelta(hours=1)
    week = now - timedelta(days=DAYS)
    told = [
        *((week + hour, number, number_tier_change(number, "TIER_10K")) for number in NUMBERS),
        (week + 2 * hour, first, template_status_change(SEASONAL_OFFER, "APPROVED")),
        (week + 2 * hour, first, template_status_change(WIN_BACK, "APPROVED")),
        (troubles[0].begins + 3 * hour, first, template_quality_change(WIN_BACK, "GREEN", "YELLOW")),
        # The pause itself is news of the scenario; the end of it is not.
        (paused.begins + paused.lasts, first, template_status_change(SEASONAL_OFFER, "APPROVED")),
        (now - 20 * hour, first, template_quality_change(WIN_BACK, "YELLOW", "RED")),
        (now - 19 * hour, first, template_paused_change(WIN_BACK)),
        (now - 5 * hour, third, number_quality_change(third, "FLAGGED", "TIER_10K")),
        (now - 2 * hour, second, unknown_status_change(second, "queued_on_device", now - 2 * hour)),
    ]
    return tuple(sorted((Timed(at, n.waba_id, change) for at, n, change in told), key=lambda told: told.at))
