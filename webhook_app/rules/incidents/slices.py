"""Localisation: the part of the traffic in which an incident's failures are concentrated. Counts in, a slice out.

The approach is that of Adtributor (Bhagwan et al., NSDI 2014) and Squeeze (Li et al., ISSRE 2019), in a form that
people can check by hand: a part is blamed for its excess, the failures beyond what the rest has now and what the part
usually has. Of the parts that carry nearly all of the excess, the smallest one is named.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from math import inf, sqrt
from typing import NamedTuple

from msgspec import Struct

from webhook_app.rules.counts.binomial import upper_tail
from webhook_app.rules.counts.failure_rate import Counts

Cell = tuple[str, ...]
"""The values of one series, in the order of the dimensions passed beside it."""

MIN_SHARE = 0.9
"""A slice carries at least this share of the excess."""
NEARLY_ALL = 0.95
"""A value with this share of the day's messages says nothing about where failures come from."""
MAX_VALUES = 5
"""Values of one dimension that are named together."""
_MIN_FAILURES = 3
_MIN_USUAL = 50  # attempts of the past from which on it says what is usual
_MIN_SHARE_OF_FAILURES = 1 / 3
_CLEARLY_MORE = 1.25  # by so much several values have to explain more than the best single one
_CHANCE = 0.01
_NOISE = 2  # standard deviations
_SUSPICIOUS = 3  # standard deviations beyond what is expected
_ADDS = 1.02  # one more value has to add at least so much to the excess


class Slice(Struct, frozen=True):
    """Values by dimension: a message belongs if it has one of each. `excess`: failures beyond those expected."""

    values: dict[str, tuple[str, ...]]
    attempts: int
    failures: int
    excess: float

    @property
    def size(self) -> int:
        """How many values it names."""
        return sum(map(len, self.values.values()))


class _Part(NamedTuple):
    attempts: int
    failures: int
    expected: float
    """Failures that would be usual."""


def localise(
    dimensions: tuple[str, ...],
    now: Mapping[Cell, Counts],
    usual: Mapping[Cell, Counts],
    day: Mapping[Cell, int],
) -> Slice | None:
    """Return the part with the excess failures, or None when the failures are spread, or too few to say.

    `now`: the window's counts by cell; `usual`: those of the weeks before; `day`: attempts of the last 24 hours, in
    which a value that nearly all messages have is not worth a name. An empty value (no template) is never named.
    1. Every combination of one value in some dimensions that carries 90 % of the excess is a candidate.
    2. Without one, up to five values of a single dimension together are.
    3. The candidate with the fewest messages is returned; of equals the one with the fewest values.
    """
    search = _Search(dimensions, now, usual)
    traffic = _traffic(now, day)
    named = {pair for pair, share in traffic.items() if pair[1] and share < NEARLY_ALL}
    if search.total.failures < _MIN_FAILURES:
        return None
    places = range(len(dimensions))
    singles = [
        one
        for count in range(1, len(dimensions) + 1)
        for chosen in combinations(places, count)
        for one in search.single(chosen, named)
    ]
    together = [one for place in places if (one := search.several(place, named, traffic)) is not None]
    needed = MIN_SHARE * search.all_excess(singles, together)
    found = [one for one in singles if search.carries(one, needed)] or [
        one for one in together if search.carries(one, needed)
    ]
    found = [one for one in found if search.stands_out(one)]
    return min(found, key=lambda one: (one.attempts, one.size, sorted(one.values)), default=None)


_NOTHING = _Part(0, 0, 0.0)
_OTHERS = "\0"
"""Stands for all values of a dimension that have no failures."""


def _failing_values(now: Mapping[Cell, Counts]) -> list[set[str]]:
    """The values with failures, by place of the dimension. Only these are searched, of thousands of values."""
    failing = [cell for cell, counts in now.items() if counts.failures]
    return [set(values) for values in zip(*failing, strict=True)] or [set() for _ in next(iter(now), ())]


class _Search:
    """Excess of parts of one window."""

    def __init__(
        self, dimensions: tuple[str, ...], now: Mapping[Cell, Counts], usual: Mapping[Cell, Counts]
    ) -> None:
        self._dimensions = dimensions
        self.total = _sum(now.values())
        overall = _sum(usual.values())
        self._is_learnt = overall.attempts >= _MIN_USUAL
        self._cells: dict[Cell, _Part] = {}
        failing = _failing_values(now)
        for cell, counts in now.items():
            expected = counts.attempts * _share(usual.get(cell, overall), overall) if self._is_learnt else 0.0
            key = tuple(
                [value if value in held else _OTHERS for value, held in zip(cell, failing, strict=True)]
            )
            part = self._cells.get(key, _NOTHING)
            self._cells[key] = _Part(
                part.attempts + counts.attempts, part.failures + counts.failures, part.expected + expected
            )
        self._all_expected = sum(part.expected for part in self._cells.values())

    def all_excess(self, singles: Sequence[Slice], together: Sequence[Slice]) -> float:
        """Return the excess failures of the whole window; infinity when no part has clearly more than the others.

        Without a past to compare with, the traffic outside of the most suspicious part says what is normal, and that
        part has to have a good share of the failures: otherwise the worst of many equal parts would be named.
        """
        if self._is_learnt:
            excess = self.total.failures - self._all_expected
            return excess if excess >= 1 else inf
        alone, joint = (max((one.excess for one in found), default=0.0) for found in (singles, together))
        top = joint if joint > _CLEARLY_MORE * alone else alone
        return top if top >= _MIN_SHARE_OF_FAILURES * self.total.failures else inf

    def carries(self, one: Slice, needed: float) -> bool:
        """Whether the part has the excess that is needed, less what the rest may have by chance."""
        lacking = needed - one.excess
        if (
            not 0 < lacking <= _NOISE * sqrt(self._all_expected)
        ):  # the noise of all: most parts are far from enough
            return lacking <= 0
        return lacking <= self._noise_beside(one)

    def _noise_beside(self, one: Slice) -> float:
        """The excess failures that the rest may have by chance."""
        parts = self._cells.items()
        expected = sum(part.expected for cell, part in parts if not self._lies_in(one.values, cell))
        return _NOISE * sqrt(expected)

    def stands_out(self, one: Slice) -> bool:
        """Whether the rest fails less often, by more than chance explains."""
        rest = max(self.total.attempts - one.attempts, 0)
        failures = max(self.total.failures - one.failures, 0)
        if rest <= (1 - NEARLY_ALL) * self.total.attempts:
            return self._is_learnt  # hardly any rest to compare with, only a past
        succeeded = max(rest - failures, 0)
        return upper_tail(succeeded, rest, 1 - min(one.failures / one.attempts, 1.0)) < _CHANCE

    def _lies_in(self, values: Mapping[str, tuple[str, ...]], cell: Cell) -> bool:
        return all(cell[self._dimensions.index(name)] in held for name, held in values.items())

    def _is_suspicious(self, part: _Part) -> bool:
        """Whether the part has more failures than chance explains, given its past."""
        return part.failures - part.expected >= _SUSPICIOUS * sqrt(max(part.expected, 1.0))

    def single(self, places: tuple[int, ...], named: Collection[tuple[int, str]]) -> list[Slice]:
        """Every combination of one value in each of these dimensions."""
        found = []
        for key, part in self._parts(places).items():
            if part.failures < _MIN_FAILURES or any(
                pair not in named for pair in zip(places, key, strict=True)
            ):
                continue
            names = [self._dimensions[place] for place in places]
            found.append(self._slice({name: (value,) for name, value in zip(names, key, strict=True)}, part))
        return found

    def several(
        self, place: int, named: Collection[tuple[int, str]], traffic: Mapping[tuple[int, str], float]
    ) -> Slice | None:
        """The values of one dimension that have more failures than they should, taken together, the worst first."""
        parts = {
            key[0]: part
            for key, part in self._parts((place,)).items()
            if (place, key[0]) in named and self._is_suspicious(part)
        }
        worst = sorted(parts, key=lambda value: (-self._excess(parts[value]), value))[:MAX_VALUES]
        best: Slice | None = None
        for count in range(2, len(worst) + 1):
            if sum(traffic[place, value] for value in worst[:count]) >= NEARLY_ALL:
                break
            taken = [parts[value] for value in worst[:count]]
            union = _Part(*(sum(figures) for figures in zip(*taken, strict=True)))
            made = self._slice({self._dimensions[place]: tuple(sorted(worst[:count]))}, union)
            if best is None or made.excess > best.excess * _ADDS:
                best = made
        return best

    def _parts(self, places: tuple[int, ...]) -> dict[Cell, _Part]:
        found: dict[Cell, list[float]] = defaultdict(lambda: [0, 0, 0.0])
        for cell, part in self._cells.items():
            sums = found[tuple([cell[place] for place in places])]
            sums[0] += part.attempts
            sums[1] += part.failures
            sums[2] += part.expected
        # A failure may be seen before its attempt is counted.
        return {
            key: _Part(int(max(attempts, failures)), int(failures), expected)
            for key, (attempts, failures, expected) in found.items()
            if failures
        }

    def _slice(self, values: dict[str, tuple[str, ...]], part: _Part) -> Slice:
        return Slice(values, part.attempts, part.failures, self._excess(part))

    def _excess(self, part: _Part) -> float:
        own = part.failures - part.expected
        outside = self.total.attempts - part.attempts
        if outside <= (1 - NEARLY_ALL) * self.total.attempts:  # no rest to compare with, only a past
            return own if self._is_learnt else 0.0
        expected = max(self._all_expected - part.expected, 0.0)
        by_chance = _NOISE * sqrt(expected)
        elsewhere = (self.total.failures - part.failures) - expected - by_chance
        return own - part.attempts * max(elsewhere / outside, 0.0)


def _traffic(now: Mapping[Cell, Counts], day: Mapping[Cell, int]) -> dict[tuple[int, str], float]:
    """The share of the day's messages that each (place of a dimension, value) seen in the window has."""
    attempts: Mapping[Cell, int] = day or {cell: counts.attempts for cell, counts in now.items()}
    total = sum(attempts.values())
    found: dict[tuple[int, str], float] = {
        (place, value): 0.0 for cell in now for place, value in enumerate(cell)
    }
    for cell, count in attempts.items():
        for pair in enumerate(cell):
            if pair in found:
                found[pair] += count / total if total else 1.0
    return found


def _sum(counts: Iterable[Counts]) -> Counts:
    attempts = failures = 0
    for held in counts:
        attempts += held.attempts
        failures += held.failures
    return Counts(max(attempts, failures), failures)


def _share(counts: Counts, overall: Counts) -> float:
    """The share of failures; that of all traffic where the part itself has too little of a past."""
    known = counts if counts.attempts >= _MIN_USUAL else overall
    return known.failures / known.attempts if known.attempts else 0.0
