"""In a gevent worker others run while a connection waits, and statements of any size get through."""

import gevent
import psycopg
import pytest

from webhook_app.store.postgres import driver_connection
from webhook_app.store.postgres.engine import connect


@pytest.fixture
def connection(database_url, monkeypatch):
    monkeypatch.setattr(driver_connection, "is_module_patched", lambda _name: True)
    with connect(database_url, application="tests") as made:
        yield made


def test_other_greenlets_run_while_a_statement_does(connection):
    turns = []

    def others():
        while True:
            turns.append(1)
            gevent.sleep(0.005)

    running = gevent.spawn(others)
    assert connection.execute("SELECT pg_sleep(0.1)").fetchall() == [("",)]
    running.kill()
    assert len(turns) > 3


def test_a_statement_larger_than_the_socket_s_buffer_is_sent_and_its_answer_received(connection):
    large = "0123456789" * 1_000_000
    assert connection.execute("SELECT %s", [large]).fetchone() == (large,)


def test_a_kept_cursor_serves_the_next_statement_also_after_an_error(connection):
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.kept_cursor.execute("SELECT 1 / $1::int", [0])
    assert connection.kept_cursor.execute("SELECT 1 / $1::int", [1]).fetchall() == [(1,)]


@pytest.mark.usefixtures("only_own_sessions")
def test_a_connection_that_the_server_ends_meanwhile_is_reported(connection, database_url):
    with connect(database_url, application="tests") as other:

        def end():
            gevent.sleep(0.05)
            other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])

        ending = gevent.spawn(end)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT pg_sleep(10)")
        ending.join()
