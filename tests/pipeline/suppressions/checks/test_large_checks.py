"""Large checks: more callers than connections, lost connections, and an unavailable database."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from tests.pipeline.switch import Switch
from webhook_app.pipeline.suppressions.checks import large_checks
from webhook_app.pipeline.suppressions.checks.checks import SHARED_CHECK_LIMIT, Checks
from webhook_app.pipeline.suppressions.checks.large_checks import MAX_CONCURRENT, LargeChecks
from webhook_app.store.postgres.engine import connect
from webhook_app.store.suppressions import suppressions
from webhook_app.store.suppressions.checks import CheckRequest

PEOPLE = [f"1202555{n:04}" for n in range(3 * SHARED_CHECK_LIMIT)]
HELD = PEOPLE[::7]


@pytest.fixture
def held(engine, now):
    with engine.begin() as connection:
        for contact in HELD:
            suppressions.put(
                connection, contact, until=now + timedelta(days=9), seen_as=contact, actor="ann", now=now
            )


@pytest.fixture
def large(database_url, now):
    made = LargeChecks(lambda: connect(database_url, application="large"), lambda: now)
    yield made
    made.close()


def blocked(facts):
    return sorted(facts.suppressions)


@pytest.mark.usefixtures("held")
def test_small_and_large_checks_give_the_same_answers(database_url, now):
    checks = Checks(lambda: connect(database_url, application="checks"), lambda: now)
    parts = [
        PEOPLE[start : start + SHARED_CHECK_LIMIT] for start in range(0, len(PEOPLE), SHARED_CHECK_LIMIT)
    ]
    by_parts = [contact for part in parts for contact in blocked(checks.facts(CheckRequest(part, None)))]
    assert blocked(checks.facts(CheckRequest(PEOPLE, None))) == by_parts == HELD
    checks.close()


@pytest.mark.usefixtures("held")
def test_more_callers_than_connections_are_all_answered(large):
    requests = [CheckRequest(PEOPLE[n:], None) for n in range(6 * MAX_CONCURRENT)]
    with ThreadPoolExecutor(len(requests)) as pool:
        answers = list(pool.map(large.facts, requests))
    for request, answer in zip(requests, answers, strict=True):
        assert blocked(answer) == [contact for contact in HELD if contact in request.contacts]


@pytest.mark.usefixtures("only_own_sessions", "held")
def test_lost_connections_are_reopened(large, database_url):
    assert blocked(large.facts(CheckRequest(PEOPLE, None))) == HELD
    with psycopg.connect(database_url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'large' AND datname = current_database() ORDER BY pid LIMIT 1"
        ).fetchall()
    assert ended == [(True,)]
    assert blocked(large.facts(CheckRequest(PEOPLE, None))) == HELD


def test_a_statement_that_timed_out_is_not_repeated(large, monkeypatch):
    large.facts(CheckRequest(PEOPLE, None))
    tries = []

    def cancelled(*_):
        tries.append(1)
        raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")

    monkeypatch.setattr(large_checks, "read_facts_of_thousands", cancelled)
    with pytest.raises(psycopg.errors.QueryCanceled):
        large.facts(CheckRequest(PEOPLE, None))
    assert tries == [1]
    monkeypatch.undo()
    assert large.facts(CheckRequest(PEOPLE, None)).suppressions == {}


def test_every_check_fails_while_the_database_is_away_and_the_next_succeeds(database_url, now):
    database = Switch(database_url)
    large = LargeChecks(database, lambda: now)
    for _ in range(2 * MAX_CONCURRENT):
        with pytest.raises(psycopg.OperationalError, match="nobody there"):
            large.facts(CheckRequest(PEOPLE, None))
    database.is_away = False
    assert large.facts(CheckRequest(PEOPLE, None)).suppressions == {}
    large.close()
