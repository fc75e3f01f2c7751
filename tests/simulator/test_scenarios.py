"""Each scenario run through the real pipeline: which alerts fire, and who is suppressed."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec import Struct
from sqlalchemy import Engine

from webhook_app.demo.backfill import Backfill
from webhook_app.scheduler.jobs import load_rules
from webhook_app.simulator.plan import plan
from webhook_app.simulator.scenarios import SCENARIOS
from webhook_app.store.incidents import alerts
from webhook_app.store.suppressions import lists

MINUTE = timedelta(minutes=1)


class Outcome(Struct):
    """Alerts that fired, by kind, with their codes; suppressions as (reason, scope, code)."""

    fired: dict[str, set[int]]
    suppressed: set[tuple[str, str, int]]


@pytest.fixture
def play(engine: Engine, database_url: str, now: datetime) -> Callable[..., Outcome]:
    def run(name: str, *, minutes: int = 40, rate: float = 1.0, history: int = 0) -> Outcome:
        length = minutes * MINUTE
        midnight = now.replace(hour=0, minute=0, second=0)
        start = midnight + timedelta(minutes=50)  # what comes three hours late is of the day before
        events = plan(SCENARIOS[name], 1, rate, length.total_seconds(), start, history)
        past = Backfill(engine, database_url, load_rules(None), {})
        for _ in past.run(events, [start + 4 * MINUTE * n for n in range(minutes // 4 + 1)]):
            pass
        past.close()
        return outcome(engine)

    return run


def outcome(engine: Engine) -> Outcome:
    fired: dict[str, set[int]] = {}
    with engine.connect() as connection:
        for alert in alerts.list_alerts(connection, limit=1000):
            if alert.fired_at is not None:
                fired.setdefault(alert.kind, set()).update(alert.codes)
        rows = lists.list_page(connection, limit=1000)
    return Outcome(fired, {(row.reason, row.scope, row.code) for row in rows})


def blocked(found: Outcome) -> set[Any]:
    """Return the suppressions of scope `all` that failures caused."""
    return {one for one in found.suppressed if one[0] in ("hard", "unreachable") and one[1] == "all"}


def test_on_a_steady_day_nothing_fires_and_nobody_is_blocked(play):
    found = play("steady")
    assert found.fired == {}
    assert blocked(found) == set()


def test_a_contact_that_failed_on_three_days_before_is_blocked(play):
    assert blocked(play("steady", minutes=8, history=3)) == {("unreachable", "all", 131026)}


def test_a_bad_list_fires_for_its_code_and_blocks_nobody_on_the_same_day(play):
    found = play("bad-list")
    assert found.fired["rate"] == {131026}
    assert blocked(found) == set()


def test_a_paused_template_fires_for_metas_notice_and_for_its_failures(play):
    found = play("template-paused")
    assert "health" in found.fired
    assert 132015 in found.fired["rate"]
    assert blocked(found) == set()


def test_an_outage_fires_and_blocks_nobody_even_one_failure_short_of_it(play):
    found = play("outage", history=5)
    assert {131000, 131016} <= found.fired["rate"]
    assert blocked(found) == set()


def test_an_expired_token_needs_attention(play):
    found = play("token-expired", minutes=20)
    assert found.fired["attention"] == {190}
    assert "silence" not in found.fired
    assert blocked(found) == set()


def test_opting_out_fires_no_alert_and_blocks_as_requested(play):
    found = play("opt-outs")
    assert set(found.fired) <= {"spike"}
    assert ("opted_out", "all", -1) in found.suppressed, "a typed STOP"
    assert ("opted_out", "marketing", -1) in found.suppressed, "a preference set in WhatsApp"
    assert blocked(found) == set()


def test_silence_fires_because_messages_were_sent(play):
    found = play("silence", minutes=80, rate=0.3)
    assert "silence" in found.fired
    assert "rate" not in found.fired


def test_a_backlog_fires_no_live_alert_and_blocks_nobody(play):
    found = play("backlog")
    assert found.fired == {}
    assert blocked(found) == set()
