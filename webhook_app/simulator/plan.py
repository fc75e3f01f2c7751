"""Plays a scenario on a virtual clock: what Meta tells, and what senders report, at which moment. No clock, no network.

The same scenario, seed and start give the same plan. The people depend on the seed alone, so that a second
run meets the same ones; message ids depend on the start too, so that a second run sends new messages.
"""

import heapq
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from msgspec import Struct
from msgspec.structs import replace

from webhook_app.simulator import faults
from webhook_app.simulator.answers import answers
from webhook_app.simulator.changes import status_change, template_paused_change
from webhook_app.simulator.message_events import Json, SimulatedMessage, SimulatedStatus, life, wamid
from webhook_app.simulator.people import Person, audience
from webhook_app.simulator.scenarios import OLD_LIST_TEMPLATE, Phase, Scenario
from webhook_app.simulator.send_calls import SimulatedCall, accepted, refused
from webhook_app.simulator.senders import EVERYDAY, NUMBERS, ORDER_UPDATE, Template


class Timed(Struct, frozen=True):
    """One change of one account, and the moment at which Meta tells it (aware UTC)."""

    at: datetime
    waba_id: str
    change: Json


Told = Timed | SimulatedCall
"""What reaches the receiver: by Meta's webhook, or by a sender's report."""


def plan(
    scenario: Scenario, seed: int, rate: float, duration_s: float, start: datetime, history: int = 0
) -> Iterator[Told]:
    """Everything the receiver is told, by time; `rate` is messages per second, each with 1 to 3 statuses.

    With `history`, that many contacts begin with failures on earlier days. What is due after the end is
    left out.
    """
    if rate <= 0 or duration_s <= 0 or history < 0:
        raise ValueError("rate and duration must be positive, history not negative")
    return _Play(scenario, seed, duration_s, start, history).told(rate)


class _Play:
    def __init__(
        self, scenario: Scenario, seed: int, duration_s: float, start: datetime, history: int
    ) -> None:
        self.scenario, self.start, self.duration_s = scenario, start, duration_s
        self.rng = random.Random(f"{scenario.name} {seed} {start.timestamp()}")  # noqa: S311 no secret
        self.cast = _cast(scenario, random.Random(f"people {seed}"), history)  # noqa: S311 no secret
        self.stops: dict[str, tuple[datetime, datetime]] = {}
        self.waiting: list[tuple[datetime, int, Told]] = []
        self.serial = count()

    def told(self, rate: float) -> Iterator[Told]:
        for timed in (*self._history(), *self._news()):
            self._tell(timed)
        for elapsed in self._moments(rate):
            yield from self._due(self.start + timedelta(seconds=elapsed))
            for told in self._message(elapsed):
                self._tell(told)
        yield from self._due(self.start + timedelta(seconds=self.duration_s))

    def _moments(self, rate: float) -> Iterator[float]:
        """When messages are sent, in seconds after the start."""
        elapsed = 0.0
        while elapsed < self.duration_s - 1e-6:
            yield elapsed
            hour = (self.start + timedelta(seconds=elapsed)).hour
            elapsed += 1 / (rate * self._phase(elapsed).pace * self.scenario.hourly[hour])

    def _tell(self, timed: Told) -> None:
        """Queue what is told for its moment, which a held phase puts off for what Meta tells."""
        elapsed = (timed.at - self.start).total_seconds()
        if isinstance(timed, Timed) and self._phase(elapsed).held:
            begins = (phase.begins * self.duration_s for phase in self.scenario.phases if not phase.held)
            later = [moment for moment in begins if moment > elapsed]
            if not later:
                return
            timed = replace(timed, at=self.start + timedelta(seconds=min(later)))
        heapq.heappush(self.waiting, (timed.at, next(self.serial), timed))

    def _due(self, until: datetime) -> Iterator[Told]:
        while self.waiting and self.waiting[0][0] <= until:
            yield heapq.heappop(self.waiting)[2]

    def _phase(self, elapsed: float) -> Phase:
        begun = [phase for phase in self.scenario.phases if phase.begins * self.duration_s <= elapsed]
        return begun[-1] if begun else self.scenario.phases[0]

    def _history(self) -> Iterator[Timed]:
        for days in self.scenario.history_days:
            for position, person in enumerate(self.cast.with_history):
                sent_at = self.start - timedelta(days=days, seconds=-7 * position)
                message = self._to(person, ORDER_UPDATE, f"orders-{days}-days-ago", sent_at)
                for step in life(self.rng, message, faults.UNDELIVERABLE):
                    yield _status(message, step, self.start)

    def _news(self) -> Iterator[Timed]:
        for phase in self.scenario.phases:
            if phase.paused is not None:
                at = self.start + timedelta(seconds=phase.begins * self.duration_s)
                for waba_id in sorted({number.waba_id for number in NUMBERS}):
                    yield Timed(at, waba_id, template_paused_change(phase.paused))

    def _message(self, elapsed: float) -> Iterator[Told]:
        """Everything that will be told because one message is sent `elapsed` seconds after the start."""
        phase = self._phase(elapsed)
        back = timedelta(seconds=phase.back_s)
        message = self._compose(phase, self.start + timedelta(seconds=elapsed) - back)
        if phase.refused_with:
            yield refused(message, phase.refused_with, self.rng.getrandbits(64))
            return
        if phase.calls_reported:
            yield accepted(message)
        steps = life(self.rng, message, self._code(phase, message))
        yield from (_status(message, step, step.due + back) for step in steps)
        if steps[-1].status["status"] == "read":
            yield from self._answered(message, steps[-1].due, back)

    def _compose(self, phase: Phase, sent_at: datetime) -> SimulatedMessage:
        if self.rng.random() < phase.old_list_share:
            person = self.rng.choice(self.cast.old_list)
            template = OLD_LIST_TEMPLATE
            return SimulatedMessage(
                wamid(self.rng, person), NUMBERS[0], person, template, template.campaign, sent_at
            )
        last = phase is self.scenario.phases[-1]
        person = self.rng.choice(self.cast.everyone if last else self.cast.without_history)
        template = _template(self.rng, person)
        return self._to(person, template, template.campaign, sent_at)

    def _to(self, person: Person, template: Template, campaign: str, sent_at: datetime) -> SimulatedMessage:
        return SimulatedMessage(
            wamid(self.rng, person), NUMBERS[person.home], person, template, campaign, sent_at
        )

    def _code(self, phase: Phase, message: SimulatedMessage) -> int | None:
        drawn = faults.draw(self.rng.random(), phase.faults, message.template.category)
        if not message.person.reachable and phase.faults is not faults.PROVIDER_DOWN:
            return faults.UNDELIVERABLE
        if message.template is phase.paused:
            return faults.TEMPLATE_PAUSED
        stopped_at, resumed_at = self.stops.get(message.person.user_id, (message.sent_at, message.sent_at))
        if message.template.category == "marketing" and stopped_at <= message.sent_at < resumed_at:
            return faults.USER_STOPPED
        return drawn

    def _answered(self, message: SimulatedMessage, read_at: datetime, back: timedelta) -> Iterator[Timed]:
        shares = self.scenario.replies_share, self.scenario.opt_outs_share
        for answer in answers(self.rng, message, read_at, *shares):
            person, never = message.person.user_id, datetime.max.replace(tzinfo=UTC)
            if answer.wish == "stop":
                self.stops[person] = (answer.at, never)
            elif answer.wish == "resume":
                self.stops[person] = (self.stops[person][0], answer.at)
            yield Timed(answer.at + back, message.number.waba_id, answer.change)


class _Cast(Struct, frozen=True):
    everyone: tuple[Person, ...]
    without_history: tuple[Person, ...]
    with_history: tuple[Person, ...]
    old_list: tuple[Person, ...]


def _cast(scenario: Scenario, rng: random.Random, history: int) -> _Cast:
    people = audience(rng, scenario.audience + scenario.old_list, scenario.unreachable_share)
    everyday, rest = people[: scenario.audience], people[scenario.audience :]
    with_history = [replace(person, reachable=False) for person in everyday if person.phone][:history]
    chosen = {person.user_id for person in with_history}
    without_history = tuple(person for person in everyday if person.user_id not in chosen)
    share = scenario.old_list_unreachable_share
    # Marketing to US numbers always fails with 131049 since April 2025: nobody plans a campaign with them.
    old_list = tuple(replace(p, reachable=rng.random() >= share) for p in rest if p.country != "US")
    return _Cast((*without_history, *with_history), without_history, tuple(with_history), old_list)


def _template(rng: random.Random, person: Person) -> Template:
    choices = [pair for pair in EVERYDAY if person.country != "US" or pair[0].category != "marketing"]
    return rng.choices([template for template, _ in choices], [weight for _, weight in choices])[0]


def _status(message: SimulatedMessage, step: SimulatedStatus, at: datetime) -> Timed:
    return Timed(at, message.number.waba_id, status_change(message, step.status))
