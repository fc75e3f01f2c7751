"""A simulated outage suppresses nobody, and those who are truly gone are suppressed later all the same."""

from benchmarks.outage import drill


def test_an_outage_suppresses_nobody_and_afterwards_the_gone_still_are(engine, database_url, now):
    found = drill(engine, database_url, 600, now)
    assert found.alerts >= 1
    assert found.suppressed_in_the_outage == 0
    assert (found.wrongly, found.missed) == (0, 0)
    assert found.suppressed_in_the_end == found.gone == 3
