"""States that last weeks: what is told once as a finding, and when it is an incident again."""

import time
from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from benchmarks.judgement.scenarios import BROKEN, HEALTHY, MONDAY, UNREACHABLE, number
from benchmarks.judgement.traffic import DAY, HOUR, MINUTE, Fault, Sender, SimulatedPast
from webhook_app.pipeline.operations.backtest import BacktestIncident, BacktestRun
from webhook_app.rules.accounts.health_states import ReportedHealth
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.accounts.health import Subject

_STEP = timedelta(minutes=30)
_FIRST_JOB = MONDAY + 8 * DAY + 4 * HOUR + 30 * MINUTE


class LastingScenario(Struct, frozen=True, kw_only=True):
    """Weeks of traffic, and what is expected: the kinds of findings, and how many openings of incidents are told."""

    name: str
    senders: Sequence[Sender]
    faults: Sequence[Fault] = ()
    reports: Sequence[tuple[Subject, list[ReportedHealth]]] = ()
    first_day: int = 0
    days: int
    findings: tuple[str, ...] = ()
    openings: int = 0
    by_minute: tuple[int, ...] = ()
    """The hours that are judged every minute; the others every 30 minutes."""


class LastingOutcome(Struct, kw_only=True):
    """How it ended."""

    scenario: LastingScenario
    findings: list[str]
    openings: int
    told: list[BacktestIncident]
    seconds: float

    @property
    def is_right(self) -> bool:
        return (
            sorted(self.findings) == sorted(self.scenario.findings)
            and self.openings == self.scenario.openings
        )

    @property
    def text(self) -> str:
        found = ", ".join(self.findings) or "none"
        state = "ok" if self.is_right else "WRONG"
        return f"{state:7} findings {found}, {self.openings} openings told  {self.scenario.name}; {self.seconds:.0f} s"


class _ReportedPast(SimulatedPast):
    """Traffic with reports of Meta."""

    def __init__(self, scenario: LastingScenario) -> None:
        super().__init__(scenario.senders, scenario.faults, MONDAY)
        self._reports = scenario.reports

    def reported_health(self) -> list[tuple[Subject, list[ReportedHealth]]]:
        return list(self._reports)


def play_lasting(scenario: LastingScenario, rules: Sequence[Rule]) -> LastingOutcome:
    """Play one scenario through the code that evaluates live."""
    begin, now = time.perf_counter(), MONDAY + scenario.first_day * DAY
    end = now + scenario.days * DAY
    run = BacktestRun(_ReportedPast(scenario), rules, now)
    while now <= end:
        run.evaluate(now)
        now += MINUTE if now.hour in scenario.by_minute else _STEP
    told = [each for each in run.found_incidents(end) if each.told_at is not None]
    return LastingOutcome(
        scenario=scenario,
        findings=[each.kind for each in run.findings.found()],
        openings=sum(message.reason in ("opened", "again") for each in told for message in each.messages),
        told=told,
        seconds=time.perf_counter() - begin,
    )


def _job(days: int) -> list[Sender]:
    """Six messages of a job at 04:30 of each day."""
    return [
        number(
            "n0",
            6 * 1440 / 5,
            template="job",
            usual=(),
            start=_FIRST_JOB + day * DAY,
            end=_FIRST_JOB + day * DAY + 5 * MINUTE,
        )
        for day in range(days)
    ]


_DEAD = [number("n0", 300, template="order", usual=((UNREACHABLE, 0.04),))]
_YELLOW = (
    Subject(
        subject="template",
        subject_id="918",
        waba_id="A",
        phone_number_id="",
        name="order",
        language="en",
        keys=["918"],
    ),
    [ReportedHealth(aspect="quality", value="YELLOW", detail={}, occurred_at=MONDAY + 2 * HOUR)],
)

LASTING: tuple[LastingScenario, ...] = (
    LastingScenario(
        name="4 % 131026 every day at 300 messages a day, for 14 days",
        senders=_DEAD,
        days=14,
        findings=("chronic",),
    ),
    LastingScenario(
        name="4 % 131026 every day for 14 days, then 12 %",
        senders=_DEAD,
        faults=[
            Fault(start=MONDAY + 14 * DAY, end=MONDAY + 16 * DAY, code=UNREACHABLE, share=0.083),
        ],
        first_day=8,
        days=8,
        findings=("chronic",),
        openings=1,
    ),
    LastingScenario(
        name="a job at 04:30 that fails on four days",
        senders=[number("n0", 3_000, template="order"), *_job(4)],
        faults=[Fault(start=_FIRST_JOB, end=_FIRST_JOB + 5 * DAY, code=BROKEN, where={"template": "job"})],
        first_day=8,
        days=5,
        findings=("recurring",),
        openings=2,
        by_minute=(4,),
    ),
    LastingScenario(
        name="a YELLOW template",
        senders=[number("n0", 2_000, template="order")],
        reports=[_YELLOW],
        days=1,
        findings=("template_quality",),
    ),
    LastingScenario(
        name="a healthy fleet for 14 days",
        senders=[
            number(f"n{place}", 500 * (place + 1), template=f"t{place}", usual=HEALTHY) for place in range(10)
        ],
        days=14,
    ),
)
