"""The exact binomial test: is a share of failures above a threshold by more than chance explains?

The one-sided Clopper-Pearson lower bound is above a threshold exactly when `upper_tail` at that threshold is below the
error (Clopper and Pearson, Biometrika 26, 1934). It needs no minimum sample: 3 of 3 can be enough, 30 of 3 000 is not.
"""

from functools import lru_cache
from math import exp, lgamma, log, log1p, sqrt

_PRECISION = 1e-12  # relative; later terms cannot change a digit that matters
_BOUND_PRECISION = 1e-10  # relative, of the lower bound


def upper_tail(failures: int, attempts: int, share: float) -> float:
    """Return the probability of `failures` or more among `attempts` when each fails with probability `share`.

    Exact to about ten digits where it is small; 1.0 stands for anything from about a half up.
    """
    if failures <= 0:
        return 1.0
    if share <= 0 or failures > attempts:
        return 0.0
    if share >= 1 or failures <= attempts * share:
        return 1.0
    return min(_tail(failures, attempts, share, _ways(failures, attempts))[0], 1.0)


def _ways(failures: int, attempts: int) -> float:
    """The logarithm of the number of ways to choose the failures."""
    return lgamma(attempts + 1) - lgamma(failures + 1) - lgamma(attempts - failures + 1)


def _tail(failures: int, attempts: int, share: float, ways: float) -> tuple[float, float]:
    """The upper tail for a share below failures / attempts, and its first term: exactly so many failures."""
    first = exp(ways + failures * log(share) + (attempts - failures) * log1p(-share))
    odds = share / (1 - share)
    total = term = first
    for at in range(failures, attempts):
        term *= odds * (attempts - at) / (at + 1)
        total += term
        if term <= total * _PRECISION:
            break
    return total, first


@lru_cache(maxsize=4096)
def lower_bound(failures: int, attempts: int, error: float) -> float:
    """Return the share that the true one exceeds with probability 1 - `error` (0 when nothing failed).

    The root in p of upper_tail(failures, attempts, p) = error. More failures than attempts count as all failed.

    Newton's method on the logarithms of both, where the tail is nearly a straight line: its derivative by p is
    failures / p times the first term. It starts where Wilson's bound is; a step out of the bracket is replaced by its
    middle.
    """
    failures = min(failures, attempts)
    if failures <= 0:
        return 0.0
    low, high, ways = 0.0, failures / attempts, _ways(failures, attempts)
    spread = -2 * log(error) / attempts  # z squared / attempts of a normal tail with about this error
    share = (high + spread / 2 - sqrt(spread * (high * (1 - high) + spread / 4))) / (1 + spread)
    while high - low > high * _BOUND_PRECISION:
        tail, first = _tail(failures, attempts, share, ways)
        if tail < error:
            low = share
        else:
            high = share
        following = share * exp(min(tail * log(error / tail) / (failures * first), 1.0)) if first > 0 else 0.0
        if abs(following - share) <= share * _BOUND_PRECISION:
            return min(share, following)
        share = following if low < following < high else (low + high) / 2
    return low


@lru_cache(maxsize=1024)
def fewest_failures(attempts: int, threshold: float, error: float) -> int:
    """Return how many failures among `attempts` put the lower bound above the threshold; attempts + 1: none do.

    Failures are needed in proportion for large samples, so the search starts at the expected number.
    """
    low, high = int(attempts * threshold), attempts + 1
    while high - low > 1:
        middle = (low + high) // 2
        if upper_tail(middle, attempts, threshold) < error:
            high = middle
        else:
            low = middle
    return high
