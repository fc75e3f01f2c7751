"""`python -m benchmarks.judgement`: what the rules say of outages and of healthy traffic, in simulated time.

The scenarios are played through the code that evaluates live, over counts in memory. Each prints one line: told or
not, after how many minutes, messages, slice and advice. Then healthy fleets of 200 numbers are played, and the false
incidents per 200 numbers and day counted. Exit code 1: a scenario is wrong, or there are too many false incidents.
"""

import argparse
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from msgspec import Struct

from benchmarks.judgement.healthy import play_healthy
from benchmarks.judgement.lasting import LASTING, play_lasting
from benchmarks.judgement.scenarios import MONDAY, MUST_NOT_SAY, MUST_SEE, Scenario
from benchmarks.judgement.traffic import MINUTE, SimulatedPast
from webhook_app.pipeline.incidents.groups.rule_groups import REPLAYABLE
from webhook_app.pipeline.operations.backtest import BacktestIncident, BacktestRun
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

FALSE_INCIDENTS = 1.0
"""At most so many per 200 numbers and day."""


class Played(Struct, kw_only=True):
    """How a scenario ended."""

    scenario: Scenario
    told: list[BacktestIncident]
    faults: list[str]

    @property
    def delay(self) -> float | None:
        moments = [each.told_at for each in self.told if each.told_at is not None]
        return (min(moments) - self.scenario.begin) / MINUTE if moments else None


def play(scenario: Scenario, rules: Sequence[Rule], step: timedelta = MINUTE) -> Played:
    """Play one scenario and compare the incidents that people were told of with what is expected."""
    past = SimulatedPast(scenario.senders, scenario.faults, MONDAY)
    end = scenario.begin + timedelta(hours=scenario.hours)
    run, now = BacktestRun(past, rules, scenario.begin - 10 * MINUTE), scenario.begin - 10 * MINUTE
    while now <= end:
        run.evaluate(now)
        now += step
    told = [each for each in run.found_incidents(end) if each.told_at is not None]
    return Played(scenario=scenario, told=told, faults=_faults(scenario, told))


def _faults(scenario: Scenario, told: Sequence[BacktestIncident]) -> list[str]:
    found = []
    if len(told) != scenario.told:
        found.append(f"{len(told)} told instead of {scenario.told}")
    for incident in told[: scenario.told]:
        opened = [each for each in incident.messages if each.reason == "opened"]
        if len(opened) > 1:
            found.append(f"{len(opened)} openings")
        if scenario.advice and scenario.advice not in incident.advice:
            found.append(f"advice: {incident.advice[:60]}")
    if told and scenario.told == 1 and not scenario.any_slice and not _is_right(scenario, told[0]):
        found.append(f"slice {told[0].slice} instead of {scenario.slice and scenario.slice[0]}")
    first = min((each.told_at for each in told if each.told_at), default=None)
    if scenario.told and first is not None and (first - scenario.begin) / MINUTE > scenario.within:
        found.append(f"later than {scenario.within:g} min")
    return found


def _is_right(scenario: Scenario, incident: BacktestIncident) -> bool:
    if scenario.slice is None:
        return incident.slice is None
    return incident.slice in scenario.slice


def _print(played: Played) -> None:
    delay = "not told" if played.delay is None else f"after {played.delay:3.0f} min"
    messages = sum(len(each.messages) for each in played.told)
    state = "missing" if played.scenario.missing else "WRONG" if played.faults else "ok"
    print(f"{state:7} {delay:13} {messages:2} messages  {played.scenario.name}")
    for each in played.told:
        ended = each.ended_how or "open"
        print(f"        {each.title}; {ended}; {', '.join(message.reason for message in each.messages)}")
    if played.faults and not played.scenario.missing:
        print(f"        {'; '.join(played.faults)}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judgement", description=__doc__)
    parser.add_argument("--rules", type=Path, help="a rules file; without it the default rules")
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--days", type=int, default=4, help="days of healthy traffic for each seed")
    parser.add_argument("--seeds", type=int, default=2, help="fleets, each by a seed of its own")
    parser.add_argument("--first-seed", type=int, default=1, help="to play fleets in several processes")
    parser.add_argument("--step", type=int, default=5, help="minutes between evaluations of healthy traffic")
    given = parser.parse_args(arguments)
    text = given.rules.read_text("utf-8") if given.rules else default_rules_text()
    rules = [rule for rule in parse_rules(text) if rule.kind in REPLAYABLE]
    begin = time.perf_counter()
    played = []
    for scenario in (*MUST_SEE, *MUST_NOT_SAY):
        if given.only in scenario.name:
            played.append(play(scenario, rules))
            _print(played[-1])
    lasting = [play_lasting(each, rules) for each in LASTING if given.only in each.name]
    for lasted in lasting:
        print(lasted.text)
    judged = [each for each in played if not each.scenario.missing]
    wrong = [each for each in judged if each.faults]
    right = len(judged) - len(wrong) + sum(each.is_right for each in lasting)
    print(f"{right} of {len(judged) + len(lasting)} scenarios right; {time.perf_counter() - begin:.0f} s")
    false = 0.0
    if given.days:
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        outcome = play_healthy(rules, days=given.days, seeds=seeds, step=given.step)
        false = outcome.per_day
        print(outcome.text)
    is_wrong = bool(wrong) or not all(each.is_right for each in lasting)
    return 1 if is_wrong or false > FALSE_INCIDENTS else 0


if __name__ == "__main__":
    raise SystemExit(main())
