"""Failure rates with their Wilson intervals, from two counts. Knows no windows, rules or queries."""

from functools import lru_cache
from math import sqrt
from statistics import NormalDist

from msgspec import Struct


class Counts(Struct, frozen=True, gc=False):
    """The messages of one group in one window."""

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
    # From the lower tail: close to 1, the upper tail's probability rounds to exactly 1, which has no quantile.
    return -NormalDist().inv_cdf((1 - confidence) / 2)


def wilson(failures: int, attempts: int, confidence: float) -> Interval:
    """The interval that holds the true share with this confidence (at least 0, below 1); at 0 it is the raw rate.

    Wilson's score interval (1927) stays inside 0..1 and is valid for few failures, unlike the normal approximation.
    Without attempts it is 0 to 1. If failures exceed attempts, all attempts count as failed.
    """
    if attempts <= 0:
        return Interval(0.0, 1.0)
    share = min(max(failures / attempts, 0.0), 1.0)
    weight = _z(confidence) ** 2 / attempts
    centre = (share + weight / 2) / (1 + weight)
    half_width = sqrt(weight * (share * (1 - share) + weight / 4)) / (1 + weight)
    # At 0 and 1 the formula is exact, but floating point is not.
    low = 0.0 if share == 0 else max(centre - half_width, 0.0)
    high = 1.0 if share == 1 else min(centre + half_width, 1.0)
    return Interval(low, high)


def measure(attempts: int, failures: int, confidence: float = 0.95) -> Rate:
    """The rate of a window and its interval; without attempts the rate is 0 and the interval 0 to 1.

    A failure may be counted before its attempt: the rate is limited to 0..1, the counts are kept as given.
    """
    interval = wilson(failures, attempts, confidence)
    rate = min(max(failures / attempts, 0.0), 1.0) if attempts > 0 else 0.0
    return Rate(attempts, failures, rate, interval.low, interval.high)
