"""Checks of thousands: more callers than connections, connections that die, and a database that is away."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from tests.pipeline.switch import Switch
from webhook_app.pipeline.suppressions import large_checks
from webhook_app.pipeline.suppressions.checks import SHARED_CHECK_LIMIT, Checks
from webhook_app.pipeline.suppressions.large_checks import MAX_CONCURRENT, LargeChecks
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
def many(database_url, now):
    made = LargeChecks(lambda: connect(database_url, application="many"), lambda: now)
    yield made
    made.close()


def blocked(known):
    return sorted(known.standing)


@pytest.mark.usefixtures("held")
def test_few_and_many_are_answered_the_same(database_url, now):
    checks = Checks(lambda: connect(database_url, application="checks"), lambda: now)
    parts = [
        PEOPLE[start : start + SHARED_CHECK_LIMIT] for start in range(0, len(PEOPLE), SHARED_CHECK_LIMIT)
    ]
    by_parts = [contact for part in parts for contact in blocked(checks.facts(CheckRequest(part, None)))]
    assert blocked(checks.facts(CheckRequest(PEOPLE, None))) == by_parts == HELD
    checks.close()


@pytest.mark.usefixtures("held")
def test_more_callers_than_lanes_are_all_answered(many):
    questions = [CheckRequest(PEOPLE[n:], None) for n in range(6 * MAX_CONCURRENT)]
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = list(pool.map(many.known, questions))
    for question, answer in zip(questions, answers, strict=True):
        assert blocked(answer) == [contact for contact in HELD if contact in question.contacts]


@pytest.mark.usefixtures("held")
def test_connections_that_died_meanwhile_are_made_anew(many, database_url):
    assert blocked(many.facts(CheckRequest(PEOPLE, None))) == HELD
    with psycopg.connect(database_url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'many' AND datname = current_database() ORDER BY pid LIMIT 1"
        ).fetchall()
    assert ended == [(True,)]
    assert blocked(many.facts(CheckRequest(PEOPLE, None))) == HELD


def test_what_took_too_long_is_not_tried_again(many, monkeypatch):
    many.facts(CheckRequest(PEOPLE, None))
    tries = []

    def cancelled(*_):
        tries.append(1)
        raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")

    monkeypatch.setattr(large_checks, "read_facts_of_thousands", cancelled)
    with pytest.raises(psycopg.errors.QueryCanceled):
        many.facts(CheckRequest(PEOPLE, None))
    assert tries == [1]
    monkeypatch.undo()
    assert many.facts(CheckRequest(PEOPLE, None)).standing == {}


def test_while_the_database_is_away_each_hears_of_it_and_the_next_is_answered(database_url, now):
    database = Switch(database_url)
    many = LargeChecks(database, lambda: now)
    for _ in range(2 * MAX_CONCURRENT):
        with pytest.raises(psycopg.OperationalError, match="nobody there"):
            many.facts(CheckRequest(PEOPLE, None))
    database.is_away = False
    assert many.facts(CheckRequest(PEOPLE, None)).standing == {}
    many.close()
