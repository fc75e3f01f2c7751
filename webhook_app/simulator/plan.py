"""Turns a scenario into events on a virtual clock: Meta's webhooks and senders' reports. No clock, no network.

The same scenario, seed and start give the same plan. The people depend on the seed alone, so that a second run
uses the same people. Message ids also depend on the start, so that a second run sends new messages.
"""

import heapq
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.simulator import faults
from webhook_app.simulator.messages import (
    EVERYDAY,
    NUMBERS,
    ORDER_UPDATE,
    SimulatedMessage,
    SimulatedStatus,
    Template,
    status_events,
    wamid,
)
from webhook_app.simulator.payloads import TimedChange, status_change, template_paused_change
from webhook_app.simulator.people import Person, audience
from webhook_app.simulator.replies import draw_replies
from webhook_app.simulator.scenarios import OLD_LIST_TEMPLATE, Phase, Scenario
from webhook_app.simulator.send_calls import SimulatedCall, accepted, refused

PlannedEvent = TimedChange | SimulatedCall
"""An event for the receiver: a change by Meta's webhook, or a sender's report of a call."""


def plan(
    scenario: Scenario, seed: int, rate: float, duration_s: float, start: datetime, history: int = 0
) -> Iterator[PlannedEvent]:
    """Return all events by time. `rate` is messages per second, each with 1 to 3 statuses.

    `history` is a number of contacts with failures on earlier days. Events due after the end are left out.
    """
    if rate <= 0 or duration_s <= 0 or history < 0:
        raise ValueError("rate and duration must be positive, history not negative")
    return _Planner(scenario, seed, duration_s, start, history).events(rate)


class _Planner:
    def __init__(
        self, scenario: Scenario, seed: int, duration_s: float, start: datetime, history: int
    ) -> None:
        self.scenario, self.start, self.duration_s = scenario, start, duration_s
        self.rng = random.Random(f"{scenario.name} {seed} {start.timestamp()}")  # noqa: S311 no secret
        self.contacts = _choose_contacts(scenario, random.Random(f"people {seed}"), history)  # noqa: S311 no secret
        self.stops: dict[str, tuple[datetime, datetime]] = {}
        """For each user id with a marketing opt-out: from when until when."""
        self.queue: list[tuple[datetime, int, PlannedEvent]] = []
        self.serial = count()

    def events(self, rate: float) -> Iterator[PlannedEvent]:
        for change in (*self._history(), *self._template_pauses()):
            self._schedule(change)
        for elapsed in self._send_times(rate):
            yield from self._due(self.start + timedelta(seconds=elapsed))
            for event in self._message(elapsed):
                self._schedule(event)
        yield from self._due(self.start + timedelta(seconds=self.duration_s))

    def _send_times(self, rate: float) -> Iterator[float]:
        """Return when messages are sent, in seconds after the start."""
        elapsed = 0.0
        while elapsed < self.duration_s - 1e-6:
            yield elapsed
            hour = (self.start + timedelta(seconds=elapsed)).hour
            elapsed += 1 / (rate * self._phase(elapsed).rate_factor * self.scenario.hourly[hour])

    def _schedule(self, event: PlannedEvent) -> None:
        """Queue an event; a webhook of a phase that holds webhooks waits for the next phase that does not."""
        elapsed = (event.at - self.start).total_seconds()
        if isinstance(event, TimedChange) and self._phase(elapsed).webhooks_held:
            open_phases = (phase for phase in self.scenario.phases if not phase.webhooks_held)
            starts = [phase.starts_at * self.duration_s for phase in open_phases]
            later = [start for start in starts if start > elapsed]
            if not later:
                return
            event = replace(event, at=self.start + timedelta(seconds=min(later)))
        heapq.heappush(self.queue, (event.at, next(self.serial), event))

    def _due(self, until: datetime) -> Iterator[PlannedEvent]:
        while self.queue and self.queue[0][0] <= until:
            yield heapq.heappop(self.queue)[2]

    def _phase(self, elapsed: float) -> Phase:
        started = [phase for phase in self.scenario.phases if phase.starts_at * self.duration_s <= elapsed]
        return started[-1] if started else self.scenario.phases[0]

    def _history(self) -> Iterator[TimedChange]:
        for days in self.scenario.history_days:
            for position, person in enumerate(self.contacts.with_history):
                sent_at = self.start - timedelta(days=days, seconds=-7 * position)
                message = self._to(person, ORDER_UPDATE, f"orders-{days}-days-ago", sent_at)
                for event in status_events(self.rng, message, faults.UNDELIVERABLE):
                    yield _timed_status(message, event, self.start)
                for other in self._neighbours(person):
                    reached = self._to(other, ORDER_UPDATE, f"orders-{days}-days-ago", sent_at)
                    for event in status_events(self.rng, reached, None):
                        yield _timed_status(reached, event, self.start)

    def _neighbours(self, person: Person) -> list[Person]:
        """Two reachable people of the same number and country: on the days of a history the service worked."""
        same = [
            each
            for each in self.contacts.without_history
            if each.number_index == person.number_index and each.phone[:2] == person.phone[:2]
        ]
        return same[:2]

    def _template_pauses(self) -> Iterator[TimedChange]:
        for phase in self.scenario.phases:
            if phase.paused_template is not None:
                at = self.start + timedelta(seconds=phase.starts_at * self.duration_s)
                for waba_id in sorted({number.waba_id for number in NUMBERS}):
                    yield TimedChange(at, waba_id, template_paused_change(phase.paused_template))

    def _message(self, elapsed: float) -> Iterator[PlannedEvent]:
        """Return all events of one message that is sent `elapsed` seconds after the start."""
        phase = self._phase(elapsed)
        age = timedelta(seconds=phase.age_s)
        message = self._compose(phase, self.start + timedelta(seconds=elapsed) - age)
        if phase.refused_with:
            yield refused(message, phase.refused_with, self.rng.getrandbits(64))
            return
        if phase.calls_reported:
            yield accepted(message)
        events = status_events(self.rng, message, self._code(phase, message))
        yield from (_timed_status(message, event, event.due + age) for event in events)
        if events[-1].status["status"] == "read":
            yield from self._replies(message, events[-1].due, age)

    def _compose(self, phase: Phase, sent_at: datetime) -> SimulatedMessage:
        if self.rng.random() < phase.old_list_share:
            person = self.rng.choice(self.contacts.old_list)
            template = OLD_LIST_TEMPLATE
            return SimulatedMessage(
                wamid(self.rng, person), NUMBERS[0], person, template, template.campaign, sent_at
            )
        last = phase is self.scenario.phases[-1]
        person = self.rng.choice(self.contacts.everyone if last else self.contacts.without_history)
        template = _choose_template(self.rng, person)
        return self._to(person, template, template.campaign, sent_at)

    def _to(self, person: Person, template: Template, campaign: str, sent_at: datetime) -> SimulatedMessage:
        number = NUMBERS[person.number_index]
        return SimulatedMessage(wamid(self.rng, person), number, person, template, campaign, sent_at)

    def _code(self, phase: Phase, message: SimulatedMessage) -> int | None:
        drawn = faults.draw_fault(self.rng.random(), phase.faults, message.template.category)
        if not message.person.reachable and phase.faults is not faults.PROVIDER_DOWN:
            return faults.UNDELIVERABLE
        if message.template is phase.paused_template:
            return faults.TEMPLATE_PAUSED
        stopped_at, resumed_at = self.stops.get(message.person.user_id, (message.sent_at, message.sent_at))
        if message.template.category == "marketing" and stopped_at <= message.sent_at < resumed_at:
            return faults.USER_STOPPED
        return drawn

    def _replies(self, message: SimulatedMessage, read_at: datetime, age: timedelta) -> Iterator[TimedChange]:
        shares = self.scenario.replies_share, self.scenario.opt_outs_share
        for reply in draw_replies(self.rng, message, read_at, *shares):
            user_id = message.person.user_id
            if reply.preference == "stop":
                self.stops[user_id] = (reply.at, datetime.max.replace(tzinfo=UTC))
            elif reply.preference == "resume":
                self.stops[user_id] = (self.stops[user_id][0], reply.at)
            yield TimedChange(reply.at + age, message.number.waba_id, reply.change)


class _Contacts(Struct, frozen=True):
    everyone: tuple[Person, ...]
    without_history: tuple[Person, ...]
    with_history: tuple[Person, ...]
    old_list: tuple[Person, ...]


def _choose_contacts(scenario: Scenario, rng: random.Random, history: int) -> _Contacts:
    people = audience(rng, scenario.audience + scenario.old_list, scenario.unreachable_share)
    everyday, rest = people[: scenario.audience], people[scenario.audience :]
    with_history = [replace(person, reachable=False) for person in everyday if person.phone][:history]
    chosen = {person.user_id for person in with_history}
    without_history = tuple(person for person in everyday if person.user_id not in chosen)
    share = scenario.old_list_unreachable_share
    # Marketing to US numbers has always failed with 131049 since April 2025, so no campaign includes them.
    old_list = tuple(replace(p, reachable=rng.random() >= share) for p in rest if p.country != "US")
    return _Contacts((*without_history, *with_history), without_history, tuple(with_history), old_list)


def _choose_template(rng: random.Random, person: Person) -> Template:
    choices = [pair for pair in EVERYDAY if person.country != "US" or pair[0].category != "marketing"]
    return rng.choices([template for template, _ in choices], [weight for _, weight in choices])[0]


def _timed_status(message: SimulatedMessage, event: SimulatedStatus, at: datetime) -> TimedChange:
    return TimedChange(at, message.number.waba_id, status_change(message, event.status))
