"""There is one leader at a time. A lost connection ends its leadership, and another candidate can take over at once."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from webhook_app.store.postgres.leadership import Leadership


@pytest.fixture
def candidate(database_url: str) -> Iterator[Callable[[], Leadership]]:
    made: list[Leadership] = []

    def make() -> Leadership:
        made.append(Leadership(database_url))
        return made[-1]

    yield make
    for each in made:
        each.release()


def end_leaders_session(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks JOIN pg_database d ON d.oid = database"
            " WHERE locktype = 'advisory' AND granted AND d.datname = current_database()"
        )


def test_only_one_of_two_leads_until_it_releases_the_lock(candidate):
    first, second = candidate(), candidate()
    assert (first.acquire(), second.acquire()) == (True, False)
    assert (first.check(), second.check()) == (True, False)
    assert (first.held, second.held) == (True, False)
    first.release()
    assert second.acquire()
    assert not first.held


def test_a_leader_notices_that_its_session_ended_and_another_can_lead(candidate, database_url):
    first, second = candidate(), candidate()
    assert first.acquire()
    end_leaders_session(database_url)
    assert second.acquire()
    assert not first.check()
    assert not first.held
    assert not first.acquire()


def test_there_is_no_leader_while_the_database_is_unreachable():
    alone = Leadership("postgresql://127.0.0.1:1/nothing")
    assert not alone.acquire()
    assert not alone.check()


def test_the_server_ends_the_session_of_a_silent_leader(candidate, database_url):
    leader = candidate()
    assert leader.acquire()
    assert leader._connection is not None
    row = leader._connection.execute("SHOW idle_session_timeout").fetchone()
    assert row == ("10s",)
