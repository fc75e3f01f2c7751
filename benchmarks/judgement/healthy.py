"""Healthy traffic of 200 numbers, and how many incidents the rules find in it."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from benchmarks.judgement.scenarios import BROKEN, MONDAY, OVERLOADED, TEMPLATE_MISSING, UNREACHABLE
from benchmarks.judgement.traffic import (
    ALL_DAY,
    DAY,
    HOUR,
    MINUTE,
    OFFICE,
    QUIET_WEEKEND,
    WEEKDAYS,
    Sender,
    SimulatedPast,
)
from webhook_app.pipeline.operations.backtest import BacktestIncident, BacktestRun
from webhook_app.rules.counts.dimensions import SeriesKey
from webhook_app.rules.incidents.rules_file.rule import Rule

NUMBERS = 200
LEAST, MOST = 5, 20_000
"""Messages of a number in a day."""
_LEARNT_AFTER = 8 * DAY


class HealthyOutcome(Struct, kw_only=True):
    """The false incidents of all seeds."""

    days: int
    told: list[BacktestIncident]
    untold: int
    seconds: float

    @property
    def per_day(self) -> float:
        """False incidents that are notified, per 200 numbers and day."""
        return len(self.told) / self.days

    @property
    def text(self) -> str:
        rules = Counter(alert.rule for each in self.told for alert in each.alerts[:1])
        named = ", ".join(f"{name} {count}" for name, count in rules.most_common())
        return (
            f"healthy: {NUMBERS} numbers, {self.days} days, {NUMBERS * self.days} days of one number:"
            f" {self.per_day:.2f} false incidents per {NUMBERS} numbers and day ({named or 'none'}),"
            f" {self.untold} more untold; {self.seconds:.0f} s"
        )


def healthy_fleet(seed: int) -> list[Sender]:
    """200 numbers in 20 accounts; one in eight sends a campaign on most days."""
    chance, outcomes, senders = random.Random(seed), random.Random(f"outcomes {seed}"), []
    for place in range(NUMBERS):
        number, account = f"n{place}", f"a{place % 20}"
        per_day = LEAST * (MOST / LEAST) ** chance.random()
        hours = chance.choice((ALL_DAY, OFFICE, OFFICE))
        weekdays = chance.choice(((1.0,) * 7, QUIET_WEEKEND, WEEKDAYS))
        broken = chance.choice((BROKEN, OVERLOADED, TEMPLATE_MISSING))
        usual = ((broken, chance.uniform(0, 0.01)), (UNREACHABLE, chance.uniform(0, 0.06)))
        template, country = f"t{place % 40}", chance.choice(("DE", "DE", "FR", "BR", "IN"))
        senders.append(
            Sender(
                series=SeriesKey(number, account, template, "", country),
                per_day=per_day,
                hours=hours,
                weekdays=weekdays,
                usual=usual,
                unreported=0.97 if place % 25 == 0 else outcomes.uniform(0.02, 0.25),
                slow=outcomes.uniform(0.01, 0.15),
            )
        )
        if place % 8 == 0:
            senders += _campaigns(chance, outcomes, senders[-1])
    return senders


def _campaigns(chance: random.Random, outcomes: random.Random, sender: Sender) -> list[Sender]:
    """Bursts of an hour with a list of another quality each."""
    found = []
    for day in range(40):
        if chance.random() < 0.4:
            continue
        start = MONDAY + day * DAY + chance.randint(8, 18) * HOUR
        unreachable = min(sender.usual[1][1] * chance.uniform(0.5, 1.4), 0.06)
        found.append(
            Sender(
                series=sender.series._replace(campaign=f"c{day}"),
                per_day=chance.uniform(50, 3_000) * 24,
                usual=(sender.usual[0], (UNREACHABLE, unreachable)),
                unreported=min(sender.unreported * outcomes.uniform(0.5, 1.4), 1.0),
                slow=sender.slow * outcomes.uniform(0.5, 1.4),
                start=start,
                end=start + HOUR,
            )
        )
    return found


def play_healthy(rules: Sequence[Rule], *, days: int, seeds: Sequence[int], step: int) -> HealthyOutcome:
    """Play so many days for each seed, after eight days of which nothing is judged."""
    begin = time.perf_counter()
    told: list[BacktestIncident] = []
    untold = 0
    for seed in seeds:
        start = MONDAY + _LEARNT_AFTER
        run = BacktestRun(SimulatedPast(healthy_fleet(seed), (), MONDAY, seed), rules, start)
        now, end = start, start + days * DAY
        while now <= end:
            run.evaluate(now)
            now += timedelta(minutes=step) if step else MINUTE
        found = run.found_incidents(end)
        told += [each for each in found if each.told_at is not None]
        untold += sum(each.told_at is None for each in found)
        for each in found:
            if each.told_at is not None:
                rate = each.messages[0].rate
                share = "" if rate is None else f" {rate:.3f}"
                print(f"  false   {each.told_at:%a %H:%M} {each.title}: {each.alerts[0].rule}{share}")
    return HealthyOutcome(
        days=days * len(seeds), told=told, untold=untold, seconds=time.perf_counter() - begin
    )
