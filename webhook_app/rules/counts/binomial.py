"""The exact binomial test: is a share of failures above a threshold by more than chance explains?

The one-sided Clopper-Pearson lower bound is above a threshold exactly when `upper_tail` at that threshold is below the
error (Clopper and Pearson, Biometrika 26, 1934). It needs no minimum sample: 3 of 3 can be enough, 30 of 3 000 is not.
"""

from functools import lru_cache
from math import exp, lgamma, log, log1p

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
    term = exp(
        lgamma(attempts + 1)
        - lgamma(failures + 1)
        - lgamma(attempts - failures + 1)
        + failures * log(share)
        + (attempts - failures) * log1p(-share)
    )
    odds = share / (1 - share)
    total, at = term, failures
    while at < attempts and term > total * _PRECISION:
        term *= odds * (attempts - at) / (at + 1)
        at += 1
        total += term
    return min(total, 1.0)


@lru_cache(maxsize=4096)
def lower_bound(failures: int, attempts: int, error: float) -> float:
    """Return the share that the true one exceeds with probability 1 - `error` (0 when nothing failed).

    The root in p of upper_tail(failures, attempts, p) = error, by bisection. More failures than attempts count as all
    failed.
    """
    failures = min(failures, attempts)
    if failures <= 0:
        return 0.0
    low, high = 0.0, failures / attempts
    while high - low > high * _BOUND_PRECISION:
        middle = (low + high) / 2
        if upper_tail(failures, attempts, middle) < error:
            low = middle
        else:
            high = middle
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
