"""The search for failures to send again takes some at a time, and nothing that failures contain stops it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from tests.pipeline.sends.test_retries import DAY, PER_PERSON, RATE_LIMIT, SECOND, Senders, fail, senders
from tests.support.reports import report_failed_calls
from webhook_app.pipeline.sends import retries
from webhook_app.pipeline.sends.retries import RetryClaim, claim
from webhook_app.rules.sends.retries import Permission
from webhook_app.store.sends import retries as store
from webhook_app.store.sends import retry_search
from webhook_app.store.sends.retries import Retry, RetryFilters
from webhook_app.store.sends.retry_search import WEBHOOKS

__all__ = ["fail", "senders"]

NUMBERS = 200
ONE_ID = """
WITH series AS (
  INSERT INTO series (phone_number_id, waba_id, template, campaign, country) VALUES ('n', 'w', '', '', '') RETURNING id
), events AS (
  INSERT INTO status_events (message_id, phone_number_id, status, occurred_at, error_code, contact, series_id,
                             category, received_at)
  SELECT 'wamid.M', i, 'failed', :now, 130429, i, id, 'utility', :now FROM series, generate_series(1, :numbers) i
)
INSERT INTO failures (message_id, phone_number_id, occurred_at, participant, error_code, contact, series_id,
                      received_at)
SELECT 'wamid.M', i, :now, '', 130429, i, id, :now FROM series, generate_series(1, :numbers) i
"""
READ = "SELECT coalesce(sum(idx_tup_fetch + seq_tup_read), 0) FROM pg_stat_xact_all_tables WHERE relname LIKE :like"


def searched_at(engine: Engine, reported_by: str = WEBHOOKS) -> datetime:
    """Up to when failures have been searched."""
    asked = text("SELECT searched_at FROM retry_progress WHERE reported_by = :key")
    with engine.connect() as connection:
        found: datetime = connection.execute(asked, {"key": reported_by}).scalar_one()
        return found


def test_a_search_takes_the_first_failures_and_the_next_one_goes_on_there(
    engine, senders: Senders, fail, now, monkeypatch
):
    monkeypatch.setattr(retries, "_SEARCH_LIMIT", 2)
    senders.claim(0)
    for seconds in (3600, 5400, 7200):
        fail(PER_PERSON, seconds=seconds)
    senders.claim(3 * 24 * 3600)
    assert len(senders.all()) == 2
    assert searched_at(engine) == now + 5400 * SECOND + timedelta(minutes=5)
    senders.claim(3 * 24 * 3600 + 2)
    assert len(senders.all()) == 3
    assert searched_at(engine) == now + 3 * DAY + 2 * SECOND


def test_after_a_search_whose_clock_was_ahead_the_next_one_misses_nothing(senders: Senders, fail):
    senders.claim(2 * 3600)
    fail(PER_PERSON, seconds=10)
    senders.claim(600)
    assert len(senders.all()) == 1


def test_what_nobody_claimed_while_it_mattered_is_not_read(senders: Senders, fail):
    senders.claim(0)
    fail(PER_PERSON, seconds=60)
    senders.claim(8 * 24 * 3600)
    assert senders.all() == []


def test_failures_that_cannot_be_read_in_time_stop_no_search(
    engine, senders: Senders, fail, now, monkeypatch
):
    monkeypatch.setattr(retry_search, "_MILLISECONDS", 20)
    senders.claim(0)
    with engine.begin() as locking:
        locking.execute(text("LOCK TABLE failures IN ACCESS EXCLUSIVE MODE"))
        assert senders.claim(60) == []
    assert searched_at(engine) == now + 60 * SECOND
    found = fail(seconds=61)
    monkeypatch.setattr(retry_search, "_MILLISECONDS", 5_000)
    assert [each.retry.message_id for each in senders.claim(70)] == [found]


@pytest.mark.parametrize("minutes", [1, 50])
def test_failed_calls_that_a_key_makes_up_come_before_no_call_of_another_key(
    engine, senders: Senders, now, monkeypatch, minutes
):
    monkeypatch.setattr(retries, "_SEARCH_LIMIT", 2)
    report_failed_calls(engine, 5, now - timedelta(minutes=minutes), RATE_LIMIT, key="rival")
    report_failed_calls(engine, 1, now, RATE_LIMIT, key="shop")
    assert len(senders.claim(60, key="shop")) == 1
    assert len(senders.all()) == 1
    senders.claim(60, key="rival")
    assert len(senders.all()) == 3


def test_a_message_that_failed_at_many_numbers_is_read_once_for_each(engine, now):
    with engine.begin() as connection:
        connection.execute(text(ONE_ID), {"now": now, "numbers": NUMBERS})
        connection.execute(text("SET LOCAL enable_seqscan = off"))  # else so few are read whole, if analysed
        before = connection.execute(text(READ), {"like": "status_events%"}).scalar_one()
        asked = (connection, WEBHOOKS, now - DAY, now, [RATE_LIMIT], [], 1000)
        found = retry_search.find(*asked)
        read = connection.execute(text(READ), {"like": "status_events%"}).scalar_one() - before
    assert [each.category for each in found] == ["utility"] * NUMBERS
    assert read <= 3 * NUMBERS, "else each reads the events of all"


def test_a_long_backlog_is_read_only_as_far_as_needed(engine, now):
    backlog = text("""
        WITH series AS (
          INSERT INTO series (phone_number_id, waba_id, template, campaign, country) VALUES ('n', 'w', '', '', '')
          RETURNING id)
        INSERT INTO failures (message_id, phone_number_id, occurred_at, participant, error_code, contact, series_id,
                              received_at)
        SELECT i, 'n', :now - i * interval '1 min', '', 131049, i, id, :now FROM series, generate_series(1, 2000) i""")
    with engine.begin() as connection:
        connection.execute(backlog, {"now": now})
        connection.execute(text("SET LOCAL random_page_cost = 1000"))  # else so few are read in order anyway
        before = connection.execute(text(READ), {"like": "failures%"}).scalar_one()
        found = retry_search.find(connection, WEBHOOKS, now - 7 * DAY, now, [], [PER_PERSON], 10)
        read = connection.execute(text(READ), {"like": "failures%"}).scalar_one() - before
    assert len(found) == 10
    assert read < 100


def test_the_messages_of_a_contact_are_read_once_for_all_of_its_retries(engine, now):
    made = text("""
        WITH series AS (
          INSERT INTO series (phone_number_id, waba_id, template, campaign, country) VALUES ('n', 'w', 'offer', '', '')
          RETURNING id
        ), made AS (
          INSERT INTO sends (message_id, phone_number_id, failed, contact, template, campaign, category, sent_at,
                             registered_at, reported_by)
          SELECT 's' || i, 'n', FALSE, '1', 'offer', '', '', :now + i * interval '1 s', :now, 'shop'
          FROM generate_series(1, 2000) i)
        INSERT INTO retries (message_id, phone_number_id, occurred_at, error_code, contact, series_id, category,
                             first_message_id, first_failed_at, state, attempts, failed_at, last_code, due_at)
        SELECT i, 'n', :now, 130429, '1', id, '', i, :now, 'waiting', 0, :now, 130429, :now
        FROM series, generate_series(1, 40) i""")
    with engine.begin() as connection:
        connection.execute(made, {"now": now})
        due = store.take_due(connection, RetryFilters(key="shop"), now, 100)
        before = connection.execute(text(READ), {"like": "sends"}).scalar_one()
        found = retry_search.facts(connection, due, "shop")
        read = connection.execute(text(READ), {"like": "sends"}).scalar_one() - before
    assert {each.later_message_id for each in found.values()} == {"s1"}
    assert read <= 2000, "else each of the 40 retries reads them all"


def test_a_claim_that_takes_long_keeps_no_other_from_finding_failures(engine, senders: Senders, fail, now):
    fail()
    others = []

    def may_message(due: Sequence[Retry]) -> list[Permission]:
        fail(seconds=2)
        others.extend(senders.claim(62, key="other"))
        raise InterruptedError

    asked, wanted = RetryClaim(limit=1, lease=60 * SECOND), RetryFilters(key="shop")
    with pytest.raises(InterruptedError), engine.begin() as connection:
        claim(connection, asked, wanted, may_message, now + 3 * SECOND)
    assert len(others) == 1
    assert len(senders.all()) == 2, "what a claim found stays, also if it fails"
