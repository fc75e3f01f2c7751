"""One Postgres per run, migrated once; tests commit into a copy of the migrated database that is emptied after each.

TEST_DATABASE_URL uses a server of one's own (its role must be allowed to create databases).
"""

import gc
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine

from tests.channels.fake_slack import FakeSlack, fake_slack
from tests.support.kept_connections import KeptConnections
from tests.support.traffic import Traffic
from webhook_app.channels.slack import SlackWebhook
from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.store.postgres.engine import connect, libpq_url, make_engine
from webhook_app.store.postgres.partitions import ensure
from webhook_app.store.schema import metadata

# A busy machine generates slowly; that says nothing about the code.
settings.register_profile("default_here", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default_here")

TEMPLATE = "webhook_app_template"


SLOW = (
    *(
        "tests/browser/",
        "tests/test_up.py",
        "tests/faults/",
        "tests/benchmarks/",
        "tests/fuzzing/",
        "tests/demo/",
    ),
    *(
        "tests/test_scheduler.py",
        "tests/test_embedded.py",
        "tests/test_packaging.py",
        "tests/test_end_to_end.py",
    ),
    *("tests/test_makefile.py", "tests/test_cli.py", "tests/test_migrations.py", "tests/pipeline/receiving/"),
    *("tests/web/api/test_fuzz.py", "tests/simulator/"),
)
"""Files that take longest. They run first, so that no process has one left when the others are done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(SLOW))


def pytest_collection_finish() -> None:
    """Keep the tests themselves out of the search for cycles."""
    gc.freeze()


def pytest_configure() -> None:
    """Look for cycles less often: each application is one of 50 000 objects, and the thousands of tests stay.

    Log plain tracebacks: structlog's default draws all local variables, which takes a tenth of a second each.
    """
    gc.set_threshold(200_000, 20, 5)
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a running server; the embedded one unless TEST_DATABASE_URL is set."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield libpq_url(given)
        return
    with tempfile.TemporaryDirectory(prefix="webhook_app_tests_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "postgres")
        with psycopg.connect(server.url, autocommit=True) as connection:
            for setting in (
                "fsync",
                "full_page_writes",
                "synchronous_commit",
            ):  # tests/faults has a durable one
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.url
        server.stop()


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """The name of the migrated database that others are copied from. Its commits need not reach the disk."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}")
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    migrate_database(make_conninfo(server_url, dbname=TEMPLATE))
    return TEMPLATE


CONNECTIONS = KeptConnections()


@pytest.fixture(scope="session", autouse=True)
def keep_connections() -> Iterator[None]:
    """A test gets the sessions of the tests before it, as new."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg, "connect", CONNECTIONS.connect)
        yield


class Database:
    """A copy of the migrated database, emptied after each test.

    Partitions that a test made are dropped, and those that it dropped are made again. After any other change of the
    schema the database is made anew, which takes as long as fifty tests.
    """

    def __init__(
        self, server_url: str, template: str, prepare: Callable[[str], object] = lambda _url: None
    ) -> None:
        """`prepare` makes partitions that all tests with it need, unless they exist."""
        self._server_url, self._template, self._prepare = server_url, template, prepare
        self.url = ""
        self._make()

    def _make(self) -> None:
        self._name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {self._name} TEMPLATE {self._template} STRATEGY FILE_COPY")
        self.url = make_conninfo(self._server_url, dbname=self._name)
        self._kept = psycopg.connect(
            self.url, autocommit=True
        )  # a new one would first have to learn the schema
        self._prepare(self.url)
        self._kept.execute(_EMPTY)
        self._remember_schema()
        CONNECTIONS.keep(self.url)

    def _remember_schema(self) -> None:
        self._shape, self._partitions = _shape(self._kept), _partitions(self._kept)
        self._rest = _shape(self._kept, besides="relispartition")

    def empty(self) -> None:
        """End the sessions that the test left, and delete its rows."""
        try:
            self._end_others()
            is_as_before = _shape(self._kept) == self._shape
            if is_as_before or _shape(self._kept, besides="relispartition") == self._rest:
                self._kept.execute("SELECT pg_temp.delete_all_rows()")
                self._kept.execute("SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'")
                if is_as_before or self._put_partitions_back():
                    return
        except psycopg.OperationalError:
            pass  # the test killed the server's connections, or the server
        self.drop()
        self._make()

    def _put_partitions_back(self) -> bool:
        """Whether there are the same ones again."""
        found = _partitions(self._kept)
        if changed := [name for name, state in found.items() if self._partitions.get(name) != state]:
            self._kept.execute(f"DROP TABLE {', '.join(changed)}")
        if self._partitions.keys() - (found.keys() - changed):
            _make_partitions(self.url)
            self._prepare(self.url)
        names = self._partitions.keys()
        self._remember_schema()
        return self._partitions.keys() == names

    def end_idle_sessions(self) -> None:
        """End those that earlier tests opened."""
        CONNECTIONS.end_idle(self.url)
        self._end_others()

    def _end_others(self) -> None:
        """End the sessions and wait: pg_terminate_backend itself checks only every 100 ms."""
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> ALL (%s)"
        kept = [[self._kept.info.backend_pid, *CONNECTIONS.processes(self.url)]]
        deadline = time.monotonic() + 5
        ending = f"SELECT pg_terminate_backend(pid) {others}"
        while self._kept.execute(ending, kept).fetchone() and time.monotonic() < deadline:
            time.sleep(0.001)

    def drop(self) -> None:
        self._kept.close()
        CONNECTIONS.forget(self.url)
        with psycopg.connect(self._server_url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {self._name} WITH (FORCE)")


_EMPTY = (
    "CREATE FUNCTION pg_temp.delete_all_rows() RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
    + "".join(f'DELETE FROM "{table.name}"; ' for table in metadata.sorted_tables)
    + "END $$"
)
"""A function of the session that empties the tables: its statements are planned once."""


def _shape(connection: psycopg.Connection[Any], *, besides: str = "false") -> object:
    """Changes with every table, index, column, constraint or setting that is made, renamed, altered or dropped.

    `besides`: which tables and indexes do not matter.
    """
    return connection.execute(
        "SELECT (SELECT array_agg((oid, relname, relfilenode, relnatts) ORDER BY oid)::text FROM pg_class"
        f"        WHERE relnamespace = n.oid AND NOT {besides}),"
        " (SELECT array_agg(c.oid ORDER BY c.oid)::text FROM pg_constraint c LEFT JOIN pg_class t ON t.oid = conrelid"
        f"  WHERE connamespace = n.oid AND ({besides}) IS NOT TRUE),"
        " (SELECT array_agg(setconfig)::text FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
        "  WHERE d.datname = current_database())"
        " FROM pg_namespace n WHERE nspname = 'public'"
    ).fetchone()


def _partitions(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The state of each partition by its name. It changes with its files, columns, indexes and constraints."""
    found = connection.execute(
        "SELECT relname, (oid, relfilenode, relnatts,"
        "  (SELECT array_agg((indexrelid, indisvalid) ORDER BY indexrelid) FROM pg_index WHERE indrelid = t.oid),"
        "  (SELECT array_agg(c.oid ORDER BY c.oid) FROM pg_constraint c WHERE conrelid = t.oid))::text"
        " FROM pg_class t WHERE relispartition AND relkind = 'r'"
    )
    return dict(found.fetchall())


def _make_partitions(url: str, *, days_back: int = 8) -> None:
    """Make those that the migrated database has, and for events that are older."""
    engine = make_engine(url, application="tests", pool_size=0)
    with engine.begin() as connection:
        ensure(connection, datetime.now(UTC), days_back=days_back)
    engine.dispose()


@pytest.fixture(scope="session")
def database(server_url: str, template: str) -> Iterator[Database]:
    made = Database(server_url, template)
    yield made
    made.drop()


@pytest.fixture(scope="session")
def database_of_weeks(server_url: str, template: str) -> Iterator[Database]:
    """One with partitions of the last 45 days; a module about old events has it as its `database`."""
    made = Database(server_url, template, partial(_make_partitions, days_back=46))
    yield made
    made.drop()


@pytest.fixture
def database_url(database: Database) -> Iterator[str]:
    """A migrated, empty database for code that commits."""
    yield database.url
    database.empty()


@pytest.fixture
def only_own_sessions(database: Database, database_url: str) -> None:
    """No session of an earlier test is left: for a test that ends sessions by their name."""
    database.end_idle_sessions()


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the test's own database."""
    made = make_engine(database_url, application="tests")
    yield made
    made.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection whose work is rolled back."""
    with engine.connect() as opened:
        yield opened
        opened.rollback()


@pytest.fixture
def writer(database_url: str) -> Iterator[BatchWriter]:
    """Stores deliveries in the test's database."""
    made = BatchWriter(lambda: connect(database_url, application="tests"), slot=3)
    yield made
    made.close()


@pytest.fixture
def traffic(database_url: str) -> Iterator[Traffic]:
    """Stores messages in the test's database."""
    made = Traffic(database_url)
    yield made
    made.close()


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    """A fake Slack that gives the answers it is set to give."""
    with fake_slack() as server:
        yield server


@pytest.fixture
def slack_webhook(slack: FakeSlack) -> SlackWebhook:
    """The channel to it, with a short timeout."""
    return SlackWebhook(slack.url, httpx.Timeout(0.3))


@pytest.fixture
def now() -> datetime:
    """The real minute the test runs in: partitions and windows are about now."""
    return datetime.now(UTC).replace(microsecond=0)
