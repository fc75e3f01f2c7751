"""Checks at the same moment share a statement and each gets its own answer, also when the connection was lost."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from tests.pipeline.switch import Switch
from tests.support.factories import handed_over, handover
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.suppressions.checks import shared_checks
from webhook_app.pipeline.suppressions.checks.check_connections import CheckConnections
from webhook_app.pipeline.suppressions.checks.shared_checks import SharedChecks
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
def shared(database_url, now):
    made = SharedChecks(lambda: connect(database_url, application="checks"), lambda: now)
    yield made
    made.close()


def blocked(facts):
    return {contact: [row.phone_number_id for row in rows] for contact, rows in facts.suppressions.items()}


def test_checks_look_rows_up_by_index_whatever_the_statistics_say(database_url):
    made = CheckConnections(lambda: connect(database_url, application="checks"))
    assert made.run(lambda connection: connection.execute("SHOW enable_seqscan").fetchone()) == ("off",)
    made.close()


def test_concurrent_checks_share_statements_and_each_gets_its_own_answer(
    shared, put, engine, now, monkeypatch
):
    for place, contact in enumerate(PEOPLE):
        if place % 2:
            put(contact, (ONE, OTHER, "")[place % 3])
    sizes = []

    def counted(connection, requests, moment, **more):
        sizes.append(len(requests))
        return checks.read_facts(connection, requests, moment, **more)

    monkeypatch.setattr(shared_checks, "read_facts", counted)
    requests = [CheckRequest(PEOPLE[n : n + 3], (None, ONE, OTHER)[n % 3]) for n in range(36)] * 5
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(shared.facts, requests))
    with engine.connect() as connection:
        for request, answer in zip(requests, answers, strict=True):
            (alone,) = checks.read_facts(driver(connection), [request], now)
            assert blocked(answer) == blocked(alone)
            assert answer.version == alone.version == 20
    assert sum(sizes) == len(requests)
    assert len(sizes) < len(requests)


def test_checks_that_arrive_while_a_statement_runs_share_the_next(shared, monkeypatch):
    runs, go_on, sizes = threading.Event(), threading.Event(), []

    def slowly(connection, requests, moment, **more):
        sizes.append(len(requests))
        runs.set()
        assert go_on.wait(10)
        return checks.read_facts(connection, requests, moment, **more)

    monkeypatch.setattr(shared_checks, "read_facts", slowly)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(shared.facts, CheckRequest(PEOPLE[:1], None))
        assert runs.wait(10)
        later = [pool.submit(shared.facts, CheckRequest(PEOPLE[:1], None)) for _ in range(5)]
        while len(shared._next.requests) < 5:
            threading.Event().wait(0.005)
        go_on.set()
        assert [each.result(10).suppressions for each in (first, *later)] == [{}] * 6
    assert sizes == [1, 5]


@pytest.mark.usefixtures("only_own_sessions")
def test_a_lost_connection_is_reopened(shared, database_url, put):
    put(PEOPLE[0], ONE)
    request = CheckRequest(PEOPLE[:1], ONE)
    assert blocked(shared.facts(request)) == {PEOPLE[0]: [ONE]}
    with psycopg.connect(database_url, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'checks' AND datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchall()
    assert ended == [(True,)]
    assert blocked(shared.facts(request)) == {PEOPLE[0]: [ONE]}


def test_a_statement_that_timed_out_is_not_repeated(shared, monkeypatch):
    request = CheckRequest(PEOPLE[:1], None)
    shared.facts(request)
    tries = []

    def cancelled(connection, requests, moment, **more):
        tries.append(1)
        raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")

    monkeypatch.setattr(shared_checks, "read_facts", cancelled)
    with pytest.raises(psycopg.errors.QueryCanceled):
        shared.facts(request)
    assert tries == [1]
    monkeypatch.undo()
    assert shared.facts(request).suppressions == {}


def test_every_check_fails_while_the_database_is_away_and_the_next_succeeds(database_url, now):
    database = Switch(database_url)
    shared = SharedChecks(database, lambda: now)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(shared.facts, CheckRequest(PEOPLE[:1], None)) for _ in range(20)]
    assert all("nobody there" in str(each.exception()) for each in asked)
    database.is_away = False
    assert shared.facts(CheckRequest(PEOPLE[:1], None)).suppressions == {}
    shared.close()


def test_the_first_handover_of_a_conversation_is_found_within_seconds(database_url, writer, now):
    moments = [now]
    shared = SharedChecks(lambda: connect(database_url, application="checks"), lambda: moments[-1])
    owned = lambda: bool(shared.facts(CheckRequest(PEOPLE[:1], ONE)).owners)  # noqa: E731
    assert not owned()
    writer.store([Delivery(handed_over(handover(at=now, sender=PEOPLE[0], number=ONE)))], now)
    moments.append(now + timedelta(seconds=5))
    assert owned()
    moments.append(now - timedelta(days=9))  # a clock that was set back
    assert owned()
    shared.close()
