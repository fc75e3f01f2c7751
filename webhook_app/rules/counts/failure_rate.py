"""How often messages fail, and how sure the count lets us be: values in, a rate with its interval out.

No windows, rules or queries here: whoever counts hands over two whole numbers.
"""

from functools import lru_cache
from math import sqrt
from statistics import NormalDist

from msgspec import Struct


class Counts(Struct, frozen=True, gc=False):
    """What one window holds for one group."""

    attempts: int
    failures: int


class Interval(Struct, frozen=True, gc=False):
    """Shares between 0 and 1."""

    low: float
    high: float


class Rate(Struct, frozen=True, gc=False):
    """A failure rate and its two-sided Wilson interval, as shares between 0 and 1."""

    attempts: int
    failures: int
    rate: float
    low: float
    high: float


@lru_cache(maxsize=64)
def _z(confidence: float) -> float:
    # Taken from the lower tail: near 1 the upper one rounds to a probability of exactly 1, which has no z.
    return -NormalDist().inv_cdf((1 - confidence) / 2)


def wilson(failures: int, attempts: int, confidence: float) -> Interval:
    """Where the true share lies with this confidence (at least 0, below 1); at 0 both ends are the raw rate.

    Wilson's score interval (1927): unlike the textbook one it stays inside 0..1 and holds for few failures.
    Without attempts nothing is known: 0 to 1. More failures than attempts count as all failed.
    """
    if attempts <= 0:
        return Interval(0.0, 1.0)
    share = min(max(failures / attempts, 0.0), 1.0)
    weight = _z(confidence) ** 2 / attempts
    middle = (share + weight / 2) / (1 + weight)
    reach = sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    # At the ends the formula is exact on paper and off by a rounding error here.
    low = 0.0 if share == 0 else max(middle - reach, 0.0)
    high = 1.0 if share == 1 else min(middle + reach, 1.0)
    return Interval(low, high)


def measure(attempts: int, failures: int, confidence: float = 0.95) -> Rate:
    """The rate of a window; without attempts the rate is 0 and its interval 0 to 1.

    A failure may be seen before its attempt is counted: the rate never leaves 0..1, the counts stay as given.
    """
    interval = wilson(failures, attempts, confidence)
    rate = min(max(failures / attempts, 0.0), 1.0) if attempts > 0 else 0.0
    return Rate(attempts, failures, rate, interval.low, interval.high)
