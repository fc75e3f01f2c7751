"""Who carries the failures of a group: its parts by template, country and so on, with what each has too many. Pure."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from msgspec import Struct, convert

from webhook_app.channels.notification import Slice
from webhook_app.store.counts.window_counts import Counted, WindowCounts

SLICED = ("phone_number_id", "template", "country")
_MOST = 0.5  # a slice with fewer of the failures does not say where they come from


class SlicePart(Struct, frozen=True, kw_only=True):
    """Messages that share these values. `excess`: failures over what they would have if they failed like the rest."""

    values: dict[str, str]
    attempts: int
    failures: int
    excess: float

    @property
    def rate(self) -> float:
        return min(self.failures / self.attempts, 1.0) if self.attempts else float(self.failures > 0)


def leading_slice(own: WindowCounts, counted: Counted, group: dict[str, str | int]) -> Slice | None:
    """The narrowest part that carries most of the excess; None when it is spread, or the group says it all.

    A part is not named for having most of the messages.
    """
    total = own.failures(counted)
    free = [name for name in SLICED if name not in group]
    for size in range(len(free), 0, -1):
        tops = [held[0] for names in combinations(free, size) if (held := parts(own, counted, names))]
        if total and tops and (top := max(tops, key=lambda part: part.excess)).excess / total >= _MOST:
            return convert({**top.values, "failures": top.failures, "share": top.failures / total}, Slice)
    return None


def parts(own: WindowCounts, counted: Counted, names: Sequence[str]) -> list[SlicePart]:
    """Every part with failures, by these dimensions, the largest excess first."""
    failed = own.failures_by(lambda mark: tuple(getattr(mark.series, name) for name in names), counted)
    tried: Counter[tuple[str, ...]] = Counter()
    for series, attempts in own.attempts.items():
        tried[tuple(getattr(series, name) for name in names)] += attempts
    total, attempts = sum(failed.values()), sum(tried.values())
    found = []
    for key, failures in failed.items():
        values = tuple(map(str, key))
        inside = max(tried[values], failures)
        outside = max(attempts - inside, 0)
        elsewhere = (total - failures) / outside if outside else 0.0
        named = dict(zip(names, values, strict=True))
        excess = failures - elsewhere * inside
        found.append(SlicePart(values=named, attempts=inside, failures=failures, excess=excess))
    return sorted(found, key=lambda part: (-part.excess, -part.failures, *part.values.values()))
