"""Finds the part of a group's traffic, by template, country and number, where failures are concentrated."""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from webhook_app.store.counts.window_counts import Counted, WindowCounts


class SlicePart(Struct, frozen=True, kw_only=True):
    """Messages with the same values. `excess`: their failures beyond the number expected at the rate of the rest."""

    values: dict[str, str]
    attempts: int
    failures: int
    excess: float

    @property
    def rate(self) -> float:
        return min(self.failures / self.attempts, 1.0) if self.attempts else float(self.failures > 0)


def parts(own: WindowCounts, counted: Counted, names: Sequence[str]) -> list[SlicePart]:
    """Every part with failures, by these dimensions, largest excess first."""
    failed = own.failures_by(lambda mark: tuple(getattr(mark.series, name) for name in names), counted)
    attempts_by: Counter[tuple[str, ...]] = Counter()
    for series, attempts in own.attempts.items():
        attempts_by[tuple(getattr(series, name) for name in names)] += attempts
    total, attempts = sum(failed.values()), sum(attempts_by.values())
    found = []
    for key, failures in failed.items():
        values = tuple(map(str, key))
        inside = max(attempts_by[values], failures)
        outside = max(attempts - inside, 0)
        elsewhere = (total - failures) / outside if outside else 0.0
        named = dict(zip(names, values, strict=True))
        excess = failures - elsewhere * inside
        found.append(SlicePart(values=named, attempts=inside, failures=failures, excess=excess))
    return sorted(found, key=lambda part: (-part.excess, -part.failures, *part.values.values()))
