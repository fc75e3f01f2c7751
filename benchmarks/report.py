"""The targets, and how results are printed. It measures nothing."""

from dataclasses import dataclass, field
from statistics import median

from benchmarks.costs import CpuSeconds
from benchmarks.load import Outcome, combined
from benchmarks.servers import BEFORE, EMPTY, FASTAPI, FASTAPI_EACH, FASTAPI_TOGETHER, SERVICE, Server

SINGLE = 1
BATCH = 100
LIMIT_P50_MS = 25.0
LIMIT_P99_MS = 250.0
LIMIT_WORKER_MB = 150.0
RATIOS: tuple[tuple[str, str, str, int, float | None], ...] = (
    ("webhook_app / empty handler, 1 status per POST", SERVICE.name, EMPTY.name, SINGLE, 1.0),
    ("webhook_app / FastAPI, 1 status per POST", SERVICE.name, FASTAPI.name, SINGLE, 1.5),
    (
        "webhook_app / FastAPI, one INSERT per status, 100 per POST",
        SERVICE.name,
        FASTAPI_EACH.name,
        BATCH,
        4.0,
    ),
    (
        "webhook_app / FastAPI, one transaction, 100 per POST",
        SERVICE.name,
        FASTAPI_TOGETHER.name,
        BATCH,
        None,
    ),
    ("webhook_app / FastAPI, executemany, 100 per POST", SERVICE.name, FASTAPI.name, BATCH, None),
)


@dataclass(frozen=True)
class Costs:
    """CPU seconds of one server per million events, by statuses per POST, and the memory of its largest worker."""

    spent: dict[int, CpuSeconds]
    worker_mb: float


@dataclass
class Results:
    """Outcomes by server and batch size, one per round; the machine's speed during them; errors found."""

    servers: tuple[Server, ...] = ()
    outcomes: dict[tuple[str, int], list[Outcome]] = field(default_factory=dict)
    pace: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    offered: dict[float, Outcome] = field(default_factory=dict)
    """By the POST/s offered."""
    target_rate: float = 0.0
    """The one that has targets."""
    costs: dict[str, Costs] = field(default_factory=dict)

    def add(self, server: str, statuses: int, outcome: Outcome) -> None:
        self.outcomes.setdefault((server, statuses), []).append(outcome)

    def rates(self, server: str, statuses: int) -> list[float]:
        """Statuses per second, round by round."""
        return [outcome.rate * statuses for outcome in self.outcomes.get((server, statuses), [])]

    def ratios(self, above: str, below: str, statuses: int) -> list[float]:
        """Return the ratio in each round, because the machine's speed varies between rounds."""
        pairs = zip(
            self.rates(above, statuses), self.rates(below, statuses), strict=False
        )  # one may be left out
        return [high / low for high, low in pairs if low]


@dataclass(frozen=True)
class Verdict:
    """One target and the measured value."""

    what: str
    measured: str
    target: str
    met: bool

    def __str__(self) -> str:
        mark = "ok" if self.met else "MISSED"
        return f"  {mark:<6}  {self.what:<58} {self.measured:>22}   target {self.target}"


def round_line(number: int, statuses: int, results: Results) -> str:
    cells = [
        f"{server.name} {results.rates(server.name, statuses)[number]:>7,.0f}"
        for server in results.servers
        if results.rates(server.name, statuses)
    ]
    return f"  round {number + 1:>2}   {'   '.join(cells)}   pace {results.pace[-1]:.0f} ms"


def summary(results: Results) -> str:
    """Return the table, the offered load, the machine's speed, and each target with its verdict."""
    parts = [_table(results)]
    if results.costs:
        parts.append(_costs(results))
    parts += [
        f"offered {rate:,.0f} POST/s: {_outcome_text(outcome)}" for rate, outcome in results.offered.items()
    ]
    if results.pace:
        parts.append(f"speed of the machine: {_spread(results.pace)} ms for a fixed piece of Python")
    verdicts = [
        *map(str, _verdicts(results)),
        *(f"  fault: {fault}" for fault in results.faults),
    ]
    return "\n" + "\n\n".join([*parts, "\n".join(verdicts)])


def all_met(results: Results) -> bool:
    return all(verdict.met for verdict in _verdicts(results))


def _table(results: Results) -> str:
    rows = [
        "statuses per second: median of the rounds (lowest - highest); latency over all rounds; CPU of the client"
    ]
    for server in results.servers:
        lines = [_server_line(server, statuses, results) for statuses in server.measured]
        if any(lines):
            rows += [f"  {server.label}", *filter(None, lines)]
    return "\n".join(rows)


def _server_line(server: Server, statuses: int, results: Results) -> str:
    if not (rates := results.rates(server.name, statuses)):
        return ""
    outcome = combined(results.outcomes[server.name, statuses])
    return f"    {statuses:>4} per POST  {_spread(rates):<28} {_outcome_text(outcome)}"


def _costs(results: Results) -> str:
    rows = ["CPU seconds per million statuses, web + PostgreSQL; memory of the largest worker"]
    for server in results.servers:
        if (costs := results.costs.get(server.name)) is None:
            continue
        by_size = "   ".join(
            f"{size:>4} per POST {spent.web:5.1f} + {spent.postgres:5.1f}"
            for size, spent in costs.spent.items()
        )
        rows.append(f"  {server.name:<17} {by_size}   {costs.worker_mb:.0f} MB")
    return "\n".join(rows)


def _outcome_text(outcome: Outcome) -> str:
    p50, p99, most = (outcome.milliseconds(share) for share in (0.5, 0.99, 1.0))
    return (
        f"{outcome.rate:>7,.0f} POST/s  p50 {p50:.1f}  p99 {p99:.1f}  max {most:.1f} ms  "
        f"client {outcome.client_cpu:.0%} of a core{'  ' + str(outcome.errors) if outcome.errors else ''}"
    )


def _spread(values: list[float]) -> str:
    decimals = 0 if median(values) >= 10 else 2
    middle, low, high = (f"{value:,.{decimals}f}" for value in (median(values), min(values), max(values)))
    return f"{middle} ({low} - {high})"


def _verdicts(results: Results) -> list[Verdict]:
    """Return every target for which this run has results."""
    found = []
    for what, above, below, statuses, target in RATIOS:
        if ratios := results.ratios(above, below, statuses):
            goal = "none, to compare" if target is None else f">= {target:.1f}"
            found.append(Verdict(what, _spread(ratios), goal, median(ratios) >= (target or 0.0)))
    found += _compared_with_before(results)
    if results.target_rate in results.offered:
        found += _offered(results.offered[results.target_rate], results.target_rate)
    if (costs := results.costs.get(SERVICE.name)) is not None:
        measured, most = f"{costs.worker_mb:.0f} MB", f"<= {LIMIT_WORKER_MB:.0f} MB"
        found.append(
            Verdict("memory of the largest worker", measured, most, costs.worker_mb <= LIMIT_WORKER_MB)
        )
    correct = "yes" if not results.faults else f"{len(results.faults)} faults"
    found.append(Verdict("all answers 200, rows = acknowledged statuses", correct, "yes", not results.faults))
    return found


def _compared_with_before(results: Results) -> list[Verdict]:
    """Return rate and processor time for each size as shares of those of the earlier commit."""
    now, before = results.costs.get(SERVICE.name), results.costs.get(BEFORE)
    if now is None or before is None:
        return []
    found = []
    for size, spent in now.spent.items():
        earlier = before.spent[size]
        shares = {
            "rate": _spread(results.ratios(SERVICE.name, BEFORE, size)),
            "web CPU": f"{spent.web / earlier.web:.2f}",
            "PostgreSQL CPU": f"{spent.postgres / earlier.postgres:.2f}",
        }
        found += [
            Verdict(f"{what}, now / before, {size} per POST", share, "none, to compare", met=True)
            for what, share in shares.items()
        ]
    return found


def _offered(outcome: Outcome, rate: float) -> list[Verdict]:
    at = f"at {rate:,.0f} POST/s offered"
    middle, high = outcome.milliseconds(0.5), outcome.milliseconds(0.99)
    errors = sum(outcome.errors.values())
    return [
        Verdict(f"p50 {at}", f"{middle:.1f} ms", f"<= {LIMIT_P50_MS:.0f} ms", middle <= LIMIT_P50_MS),
        Verdict(f"p99 {at}", f"{high:.1f} ms", f"<= {LIMIT_P99_MS:.0f} ms", high <= LIMIT_P99_MS),
        Verdict(f"errors {at}", f"{errors}", "0", errors == 0 and outcome.accepted > 0),
    ]
