"""Connections have their session parameters, and the pool never hands out one that has ended."""

from urllib.parse import quote

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.support.waiting import wait_for
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import connect, is_libpq_url, make_engine


def test_a_connection_that_the_server_ended_is_replaced_before_its_use(database_url):
    engine = make_engine(database_url, application="tests", pool_size=1)
    mine = text("SELECT pg_backend_pid()")
    with engine.connect() as connection:
        first = connection.execute(mine).scalar_one()
    with engine.connect() as connection:
        assert connection.execute(mine).scalar_one() == first, "an idle one is used again"
    with connect(database_url, application="tests") as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
    with engine.connect() as connection:
        assert connection.execute(mine).scalar_one() != first
    engine.dispose()


def shown(url: str, *names: str, **more: bool) -> list[str]:
    with connect(url, application="tests", **more) as connection:  # type: ignore[arg-type]
        return [(connection.execute(f"SHOW {name}").fetchone() or [""])[0] for name in names]  # type: ignore[arg-type]


def test_a_connection_has_its_parameters_set_after_connecting(database_url):
    names = ("TimeZone", "jit", "statement_timeout", "lock_timeout", "plan_cache_mode", "application_name")
    assert shown(database_url, *names, plans_once=True) == [
        "UTC", "off", "30s", "10s", "force_generic_plan", "tests",
    ]  # fmt: skip


def test_the_server_ends_a_frozen_process_s_transaction_and_releases_its_locks(database_url):
    assert shown(database_url, "idle_in_transaction_session_timeout") == ["1min"]
    shorter = f"{database_url} options='-c idle_in_transaction_session_timeout=50ms'"
    frozen, other = (make_engine(url, application="tests") for url in (shorter, database_url))
    holder = frozen.connect()
    assert locks.try_until_commit(holder, locks.SUPPRESS_LOCK)
    with other.begin() as waiting:
        locks.hold_until_commit(
            waiting, locks.SUPPRESS_LOCK
        )  # fails after `lock_timeout` if it is not released
    with pytest.raises(DBAPIError):
        holder.execute(text("SELECT 1"))
    holder.close()
    for engine in (frozen, other):
        engine.dispose()


def test_a_silent_session_loses_its_lock(database_url):
    with (
        connect(database_url, application="frozen") as frozen,
        connect(database_url, application="tests") as other,
    ):
        assert locks.try_acquire(frozen, locks.REPLAY_LOCK)
        locks.end_session_if_silent(frozen, 1)
        wait_for(lambda: locks.try_acquire(other, locks.REPLAY_LOCK))


def test_options_of_the_url_are_kept_and_win_except_for_the_time_zone(database_url):
    options = "-c search_path=elsewhere -c work_mem=7MB --statement-timeout=7s -ctimezone=Asia/Tokyo"
    both = shown(
        f"{database_url} options='{options}'", "search_path", "work_mem", "statement_timeout", "TimeZone"
    )
    assert both == ["elsewhere", "7MB", "7s", "UTC"]
    as_url = f"postgresql:///?{database_url.replace(' ', '&')}&options={quote(options)}"
    assert shown(as_url, "search_path", "jit") == ["elsewhere", "off"]


@pytest.mark.parametrize(
    ("url", "is_usable"),
    [
        ("postgresql://", True),
        ("postgres://u:p@h1,h2:5432/d?target_session_attrs=read-write", True),
        ("postgresql+psycopg://u@h/d", True),
        ("dbname=d host=/tmp", True),
        ("mysql://u:p@h/d", False),
        ("postgresql://u:p@h:port/d?unknown=1", False),
        ("h", False),
    ],
)
def test_a_url_that_libpq_cannot_read_is_known_before_connecting(url, is_usable):
    assert is_libpq_url(url) == is_usable
