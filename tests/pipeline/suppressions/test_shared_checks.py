"""Checks at the same moment share a statement, and each gets its own answer; a dead connection costs nobody theirs."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from tests.pipeline.switch import Switch
from webhook_app.pipeline.suppressions import shared_checks
from webhook_app.pipeline.suppressions.shared_checks import SharedChecks
from webhook_app.store.postgres.engine import connect, driver
from webhook_app.store.suppressions import checks, suppressions
from webhook_app.store.suppressions.checks import CheckRequest

ONE, OTHER = "590238114470021", "590238114470038"
PEOPLE = [f"1202555{n:04}" for n in range(40)]


@pytest.fixture
def put(engine, now):
    def add(contact, number):
        with engine.begin() as connection:
            suppressions.put(
                connection, contact, phone_number_id=number, scope="all", until=now + timedelta(days=9),
                seen_as=contact, actor="ann", note="", now=now,
            )  # fmt: skip

    return add


@pytest.fixture
def together(database_url, now):
    made = SharedChecks(lambda: connect(database_url, application="checks"), lambda: now)
    yield made
    made.close()


def blocked(known):
    return {contact: [row.phone_number_id for row in rows] for contact, rows in known.standing.items()}


def test_each_of_many_at_once_gets_its_own_answer_and_they_share_statements(
    together, put, engine, now, monkeypatch
):
    for place, contact in enumerate(PEOPLE):
        if place % 2:
            put(contact, (ONE, OTHER, "")[place % 3])
    sizes = []

    def counted(connection, questions, moment):
        sizes.append(len(questions))
        return checks.read_facts(connection, questions, moment)

    monkeypatch.setattr(shared_checks, "read_facts", counted)
    questions = [CheckRequest(PEOPLE[n : n + 3], (None, ONE, OTHER)[n % 3]) for n in range(36)] * 5
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(together.known, questions))
    with engine.connect() as connection:
        for question, answer in zip(questions, answers, strict=True):
            (alone,) = checks.read_facts(driver(connection), [question], now)
            assert blocked(answer) == blocked(alone)
            assert answer.version == alone.version == 20
    assert sum(sizes) == len(questions)
    assert len(sizes) < len(questions)


def test_who_comes_while_a_statement_runs_is_asked_for_with_the_next(together, monkeypatch):
    runs, go_on, sizes = threading.Event(), threading.Event(), []

    def slowly(connection, questions, moment):
        sizes.append(len(questions))
        runs.set()
        assert go_on.wait(10)
        return checks.read_facts(connection, questions, moment)

    monkeypatch.setattr(shared_checks, "read_facts", slowly)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(together.known, CheckRequest(PEOPLE[:1], None))
        assert runs.wait(10)
        later = [pool.submit(together.known, CheckRequest(PEOPLE[:1], None)) for _ in range(5)]
        while len(together._next.questions) < 5:
            threading.Event().wait(0.005)
        go_on.set()
        assert [each.result(10).standing for each in (first, *later)] == [{}] * 6
    assert sizes == [1, 5]


def test_a_connection_that_died_meanwhile_is_made_anew(together, database_url, put):
    put(PEOPLE[0], ONE)
    question = CheckRequest(PEOPLE[:1], ONE)
    assert blocked(together.facts(question)) == {PEOPLE[0]: [ONE]}
    with psycopg.connect(database_url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'checks' AND datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert ended == [(True,)]
    assert blocked(together.facts(question)) == {PEOPLE[0]: [ONE]}


def test_a_statement_that_took_too_long_is_not_tried_again(together, monkeypatch):
    question = CheckRequest(PEOPLE[:1], None)
    together.facts(question)
    tries = []

    def cancelled(connection, questions, moment):
        tries.append(1)
        raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")

    monkeypatch.setattr(shared_checks, "read_facts", cancelled)
    with pytest.raises(psycopg.errors.QueryCanceled):
        together.facts(question)
    assert tries == [1]
    monkeypatch.undo()
    assert together.facts(question).standing == {}


def test_while_the_database_is_away_everybody_hears_of_it_and_the_next_is_answered(database_url, now):
    database = Switch(database_url)
    together = SharedChecks(database, lambda: now)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(together.known, CheckRequest(PEOPLE[:1], None)) for _ in range(20)]
    assert all("nobody there" in str(each.exception()) for each in asked)
    database.is_away = False
    assert together.facts(CheckRequest(PEOPLE[:1], None)).standing == {}
    together.close()
