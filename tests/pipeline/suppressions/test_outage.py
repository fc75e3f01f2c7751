"""Evaluate and suppress: a simulated outage suppresses only contacts that are unreachable anyway."""

import pytest

from benchmarks.outage import run_outage


@pytest.mark.parametrize(("contacts", "gone"), [(40, 1), (600, 3)])
def test_an_outage_suppresses_nobody_and_unreachable_contacts_are_suppressed_later(
    engine, database_url, now, contacts, gone
):
    found = run_outage(engine, database_url, contacts, now)
    assert found.alerts >= 1
    assert found.suppressed_in_the_outage == 0
    assert (found.wrongly, found.missed) == (0, 0)
    assert found.suppressed_in_the_end == found.gone == gone
