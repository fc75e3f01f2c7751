"""The results of a simulator run: the tally while it runs, then the report as value, text and JSON."""

from collections import Counter
from typing import Any

import msgspec
from msgspec import Struct

from webhook_app.simulator.posts import Post, StatusKey
from webhook_app.simulator.send_calls import ACCEPTED

NO_ANSWER = "no answer"


class AnswerLatency(Struct, frozen=True):
    """Milliseconds from the start of a request to its answer of any status."""

    p50: float
    p99: float
    max: float


class SimulationReport(Struct, frozen=True):
    """Counts of POSTs and of their items; each copy counts as a POST."""

    scenario: str
    seed: int
    seconds: float
    interrupted: bool
    offered_posts: int
    offered_items: int
    copied_posts: int
    acknowledged_posts: int
    acknowledged_items: int
    retries: int
    refused: dict[str, int]
    """Answers other than 200 by code, and attempts without an answer."""
    latency_ms: AnswerLatency
    behind_s: float
    """Largest delay of a first attempt: above a second the simulator did not reach the requested rate."""
    statuses: dict[str, int]
    """Distinct acknowledged statuses by kind."""
    error_codes: dict[int, int]
    accepted_calls: int
    """Send calls that the sender reported as accepted."""
    refused_calls: dict[int, int]
    """Send calls that the sender reported as refused, by error code, without copies."""
    acknowledged: frozenset[StatusKey]
    """Every status that was acknowledged with 200 at least once."""

    @property
    def unacknowledged_posts(self) -> int:
        return self.offered_posts - self.acknowledged_posts

    @property
    def complete(self) -> bool:
        """Whether the whole scenario was sent and every POST acknowledged."""
        return not self.interrupted and self.unacknowledged_posts == 0


class Tally:
    """Counts during a run; used by one thread."""

    def __init__(self) -> None:
        self.interrupted = False
        self.posts = self.items = self.copies = 0
        self.acknowledged_posts = self.acknowledged_items = 0
        self.retries = 0
        self.behind_s = 0.0
        self.refused: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.acknowledged: set[StatusKey] = set()
        self.calls: Counter[int] = Counter()

    def offer(self, post: Post) -> None:
        self.posts += 1
        self.items += post.items
        self.copies += post.copy

    def answer(self, post: Post, code: int | None, latency_s: float) -> None:
        """Count one attempt; `code` is None without an answer."""
        if code is not None:
            self.latencies.append(latency_s)
        if code == 200:
            self.acknowledged_posts += 1
            self.acknowledged_items += post.items
            self.acknowledged.update(post.statuses)
            self.calls.update(() if post.copy else post.calls)
        else:
            self.refused[NO_ANSWER if code is None else str(code)] += 1

    def line(self, seconds: float) -> str:
        """Return the progress so far as one line."""
        waiting = self.posts - self.acknowledged_posts
        return (
            f"{seconds:4.0f} s  {self.items:,} items offered, {self.acknowledged_items:,} acknowledged, "
            f"{waiting:,} POSTs waiting, {self.retries:,} retries"
        )

    def report(self, scenario: str, seed: int, seconds: float) -> SimulationReport:
        return SimulationReport(
            scenario=scenario,
            seed=seed,
            seconds=round(seconds, 3),
            interrupted=self.interrupted,
            offered_posts=self.posts,
            offered_items=self.items,
            copied_posts=self.copies,
            acknowledged_posts=self.acknowledged_posts,
            acknowledged_items=self.acknowledged_items,
            retries=self.retries,
            refused=dict(sorted(self.refused.items())),
            latency_ms=_latency(self.latencies),
            behind_s=round(self.behind_s, 3),
            statuses=dict(sorted(Counter(key.status for key in self.acknowledged).items())),
            error_codes=_codes(self.acknowledged),
            accepted_calls=self.calls[ACCEPTED],
            refused_calls={code: number for code, number in self.calls.most_common() if code != ACCEPTED},
            acknowledged=frozenset(self.acknowledged),
        )


def as_text(report: SimulationReport) -> str:
    """Return the report for a terminal, one fact per line."""
    latency, twice = report.latency_ms, report.copied_posts
    ending = ", interrupted" if report.interrupted else ""
    lines = [
        f"scenario {report.scenario}, seed {report.seed}, {report.seconds:.1f} s{ending}",
        f"  offered       {_posts(report.offered_posts, report.offered_items)} ({twice:,} POSTs sent twice)",
        f"  acknowledged  {_posts(report.acknowledged_posts, report.acknowledged_items)}",
        f"  statuses      {len(report.acknowledged):,} distinct: {_counts(report.statuses)}",
        f"  failed with   {_counts(report.error_codes)}",
        f"  retries       {report.retries:,}; answers other than 200: {_counts(report.refused)}",
        f"  latency       p50 {latency.p50:.1f} ms, p99 {latency.p99:.1f} ms, max {latency.max:.1f} ms",
    ]
    if report.accepted_calls or report.refused_calls:
        calls = f"{report.accepted_calls:,} accepted; refused with {_counts(report.refused_calls)}"
        lines.insert(-2, f"  send calls    {calls}")
    if report.unacknowledged_posts:
        lines.insert(3, f"  UNANSWERED    {report.unacknowledged_posts:,} POSTs were never answered with 200")
    if report.behind_s > 1:
        lines.append(f"  behind        up to {report.behind_s:.1f} s: the requested rate was not reached")
    return "\n".join(lines)


def as_json(report: SimulationReport) -> bytes:
    """Return the report as JSON, with the number of acknowledged statuses instead of the statuses."""
    fields: dict[str, Any] = {name: getattr(report, name) for name in SimulationReport.__struct_fields__}
    fields["acknowledged_statuses"] = len(fields.pop("acknowledged"))
    fields |= {"unacknowledged_posts": report.unacknowledged_posts, "complete": report.complete}
    return msgspec.json.encode(fields)


def _posts(posts: int, items: int) -> str:
    return f"{posts:,} POSTs with {items:,} items"


def _counts(counts: dict[str, int] | dict[int, int]) -> str:
    return ", ".join(f"{name} ×{number:,}" for name, number in counts.items()) or "none"  # noqa: RUF001 times


def _codes(acknowledged: set[StatusKey]) -> dict[int, int]:
    counted = Counter(key.error_code for key in acknowledged if key.status == "failed")
    return dict(counted.most_common())


def _latency(seconds: list[float]) -> AnswerLatency:
    if not seconds:
        return AnswerLatency(0.0, 0.0, 0.0)
    ordered = sorted(seconds)
    p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * share))] for share in (0.50, 0.99))
    return AnswerLatency(*(round(latency * 1000, 3) for latency in (p50, p99, ordered[-1])))
