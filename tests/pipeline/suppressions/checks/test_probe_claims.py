"""The first caller that asks about a half-open suppression may send, within one request and between several."""

from datetime import timedelta

import pytest

from webhook_app.pipeline.suppressions.checks.probe_claims import resolve_probes
from webhook_app.rules.suppressions.verdict import SEND, CheckTerms, decide
from webhook_app.store.postgres.engine import driver
from webhook_app.store.suppressions import suppressions
from webhook_app.store.suppressions.checks import CheckRequest, read_facts
from webhook_app.store.suppressions.suppressions import Suppression

CONTACT = "12025550117"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def check(engine, now):
    """The verdicts on a contact whose suppression has expired, for this many callers in one request."""
    expired = Suppression(
        contact=CONTACT, reason="unreachable", since=now - 31 * DAY, until=now - HOUR, actor="system"
    )
    with engine.begin() as connection:
        suppressions.apply(connection, [expired], [], now - 31 * DAY)

    def run(callers=1, *, at=now, claim=True):
        with engine.begin() as connection:
            (facts,) = read_facts(driver(connection), [CheckRequest([CONTACT], None)], at)
            terms = CheckTerms(None, stop_blocks_all=False, now=at)
            verdicts = [decide(facts.suppressions[CONTACT], False, terms) for _ in range(callers)]
            resolve_probes(verdicts, lambda: connection, at, DAY, claim=claim)
        return [(each.verdict, each.probe) for each in verdicts]

    return run


def test_one_caller_of_a_request_claims_the_probe_and_later_requests_wait(check, now):
    assert check(3) == [("send", True), ("wait", False), ("wait", False)]
    assert check() == [("wait", False)]
    assert check(at=now + 25 * HOUR) == [("send", True)], "an unused probe is free again"


def test_without_a_claim_nothing_is_stored(check):
    assert check(2, claim=False) == [("send", True), ("send", True)]
    assert check() == [("send", True)]


def test_no_connection_is_opened_without_a_probe(now):
    verdicts = [SEND, None]
    resolve_probes(verdicts, pytest.fail, now, DAY, claim=True)
    assert verdicts == [SEND, None]
