"""What the numbers are held against, and how they are printed. Measures nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.load import Outcome
from benchmarks.servers import EMPTY, FASTAPI, SERVERS, SERVICE

SINGLE = 1
BATCH = 100
MOST_MEDIAN_MS = 25.0
MOST_P99_MS = 250.0
RATIOS = (
    ("webhook_app / empty handler, 1 status per POST", SERVICE.name, EMPTY.name, SINGLE, 0.5),
    ("webhook_app / FastAPI, 1 status per POST", SERVICE.name, FASTAPI.name, SINGLE, 1.0),
    ("webhook_app / FastAPI, 100 statuses per POST", SERVICE.name, FASTAPI.name, BATCH, 4.0),
)


@dataclass(frozen=True)
class Verdict:
    """One target with what was measured against it."""

    what: str
    measured: str
    target: str
    met: bool

    def __str__(self) -> str:
        mark = "ok" if self.met else "MISSED"
        return f"  {mark:<6}  {self.what:<50} {self.measured:>12}   target {self.target}"


@dataclass
class Results:
    """Statuses per second by server and batch size, a value per round, and everything that went wrong."""

    rates: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    offered: Outcome | None = None

    def add(self, server: str, statuses: int, outcome: Outcome) -> None:
        self.rates.setdefault((server, statuses), []).append(outcome.rate * statuses)

    def median(self, server: str, statuses: int) -> float | None:
        rates = self.rates.get((server, statuses))
        return median(rates) if rates else None


def line(name: str, statuses: int, outcome: Outcome) -> str:
    """One measurement as it is printed while the run goes on."""
    return (
        f"  {name:<12} {statuses:>3} per POST  {outcome.rate:>8,.0f} POST/s"
        f"  {outcome.rate * statuses:>8,.0f} statuses/s"
        f"  p50 {outcome.milliseconds(0.5):>6.1f}  p99 {outcome.milliseconds(0.99):>6.1f}"
        f"  max {outcome.milliseconds(1):>6.1f} ms  client {outcome.client_cpu:>4.0%} of a core"
        f"{'  ' + str(outcome.errors) if outcome.errors else ''}"
    )


def table(results: Results) -> str:
    heading = "statuses per second, median of the rounds (lowest - highest)"
    rows = [f"{heading:<76}{'1 per POST':>24}{'100 per POST':>26}"]
    for server in SERVERS:
        cells = [_cell(results.rates.get((server.name, statuses))) for statuses in (SINGLE, BATCH)]
        if any(cells):
            rows.append(f"{server.label:<76}{cells[0]:>24}{cells[1]:>26}")
    return "\n".join(rows)


def _cell(rates: Sequence[float] | None) -> str:
    return f"{median(rates):,.0f} ({min(rates):,.0f} - {max(rates):,.0f})" if rates else ""


def verdicts(results: Results, rate: float) -> list[Verdict]:
    """Every target that this run has numbers for."""
    found = []
    for what, ours, theirs, statuses, target in RATIOS:
        above, below = results.median(ours, statuses), results.median(theirs, statuses)
        if above is not None and below:
            ratio = above / below
            found.append(Verdict(what, f"{ratio:.2f}", f">= {target:.1f}", ratio >= target))
    if results.offered is not None:
        found += _offered(results.offered, rate)
    found.append(
        Verdict(
            "answers 200, rows equal to what was acknowledged", _faults(results), "all", not results.faults
        )
    )
    return found


def _offered(outcome: Outcome, rate: float) -> list[Verdict]:
    at = f"at {rate:,.0f} POST/s offered"
    middle, high = outcome.milliseconds(0.5), outcome.milliseconds(0.99)
    errors = sum(outcome.errors.values())
    return [
        Verdict(f"p50 {at}", f"{middle:.1f} ms", f"<= {MOST_MEDIAN_MS:.0f} ms", middle <= MOST_MEDIAN_MS),
        Verdict(f"p99 {at}", f"{high:.1f} ms", f"<= {MOST_P99_MS:.0f} ms", high <= MOST_P99_MS),
        Verdict(f"errors {at}", f"{errors}", "0", errors == 0 and outcome.accepted > 0),
    ]


def _faults(results: Results) -> str:
    return f"{len(results.faults)} faults" if results.faults else "all"
