"""Finds the part of a group's traffic, by template, country and number, where failures are concentrated."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from msgspec import Struct, convert

from webhook_app.channels.notification import Slice
from webhook_app.store.counts.window_counts import Counted, WindowCounts

SLICE_DIMENSIONS = ("phone_number_id", "template", "country")
_MIN_SHARE = 0.5  # a slice with less of the excess does not locate the failures


class SlicePart(Struct, frozen=True, kw_only=True):
    """Messages with the same values. `excess`: their failures beyond the number expected at the rate of the rest."""

    values: dict[str, str]
    attempts: int
    failures: int
    excess: float

    @property
    def rate(self) -> float:
        return min(self.failures / self.attempts, 1.0) if self.attempts else float(self.failures > 0)


def leading_slice(own: WindowCounts, counted: Counted, group: dict[str, str | int]) -> Slice | None:
    """The narrowest part with most of the excess; None if failures are spread evenly or the group is specific enough.

    A large share of the messages alone does not qualify a part.
    """
    total = own.failures(counted)
    dimensions = [name for name in SLICE_DIMENSIONS if name not in group]
    for size in range(len(dimensions), 0, -1):
        candidates = [
            found_parts[0]
            for names in combinations(dimensions, size)
            if (found_parts := parts(own, counted, names))
        ]
        if (
            total
            and candidates
            and (top := max(candidates, key=lambda part: part.excess)).excess / total >= _MIN_SHARE
        ):
            return convert({**top.values, "failures": top.failures, "share": top.failures / total}, Slice)
    return None


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
