"""The migrations build exactly the schema from an empty database, can run twice, and can be reversed."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from psycopg.conninfo import make_conninfo
from sqlalchemy import text

from webhook_app.migrating import migrate_database
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.operations.readiness import migrations_fault
from webhook_app.store.postgres.engine import connect
from webhook_app.store.postgres.locks import MIGRATION_LOCK
from webhook_app.store.postgres.partitions import partitions
from webhook_app.store.schema import PARTITIONED, metadata
from webhook_app.store.suppressions import lists, suppressions
from webhook_app.store.suppressions.suppressions import Suppression
from webhook_app.whatsapp.people.contacts import phone_key

MIGRATE = "import sys; from webhook_app.migrating import migrate_database; migrate_database(sys.argv[1])"
FRESH = "webhook_app_fresh"


@pytest.fixture
def fresh_database(server_url: str) -> Iterator[str]:
    """The URL of a database without any table."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {FRESH}")
        connection.execute(f"CREATE DATABASE {FRESH}")
    yield make_conninfo(server_url, dbname=FRESH)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {FRESH} WITH (FORCE)")


def test_migrations_and_schema_are_equal(engine):
    def ours(_thing: object, name: str | None, kind: str, reflected: bool, _other: object) -> bool:
        return not (kind == "table" and reflected and name not in metadata.tables)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_second_migration_changes_nothing(engine, database_url):
    migrate_database(database_url)
    with engine.connect() as connection:
        assert migrations_fault(connection) == ""


def test_every_partitioned_table_has_future_partitions_and_a_default(engine):
    with engine.connect() as connection:
        for table, step in PARTITIONED.items():
            dated = partitions(connection, table)
            assert len(dated) >= (8 if step == "day" else 1)
            default = connection.execute(text("SELECT to_regclass(:name)"), {"name": f"{table}_default"})
            assert default.scalar_one() is not None


def test_a_downgrade_leaves_an_empty_database(engine, database_url):
    config = Config("alembic.ini")
    config.attributes["url"] = database_url
    command.downgrade(config, "base")
    with engine.connect() as connection:
        left = connection.execute(
            text(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
            )
        )
        assert list(left.scalars()) == ["alembic_version"]


def test_people_stored_under_an_old_spelling_of_their_number_keep_their_opt_out(engine, database_url):
    config = Config("alembic.ini")
    config.attributes["url"] = database_url
    command.downgrade(config, "0020")
    now = datetime.now(UTC)
    old_keys = ["22507123456", "22944123456", "22520812345"]
    others = ["225071234567", "22510123456", "491715550117"]
    rows = [
        Suppression(contact=key, reason="opted_out", since=now, actor="person") for key in old_keys + others
    ]
    with engine.begin() as connection:
        suppressions.apply(connection, rows, [], now)
    migrate_database(database_url)
    suppress(engine, (), Thresholds(), now)
    with engine.connect() as connection:
        stored = {row.contact for row in lists.list_page(connection, 100)}
    assert stored == {phone_key(key) for key in old_keys} | set(others)
    assert not stored & set(old_keys)


def test_a_database_without_migrations_is_reported(engine):
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    with engine.connect() as connection:
        assert migrations_fault(connection) != ""


def test_every_statement_that_stores_a_failure_labels_it_with_its_error(engine):
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO failures (message_id, occurred_at, error_code, series_id, details, received_at)"
                " SELECT 'wamid.' || i, now() - i * interval '1 hour', 131026, 1, 'details ' || i % 3, now()"
                " FROM generate_series(1, 50) i"
            )
        )
        connection.execute(
            text("UPDATE failures SET details = 'corrected' WHERE message_id IN ('wamid.1', 'wamid.2')")
        )
        known = connection.execute(
            text(
                "SELECT count(*), count(DISTINCT error_id), count(e.id) FROM failures f"
                " LEFT JOIN failure_errors e ON e.id = f.error_id AND e.details = f.details"
            )
        ).one()
    assert tuple(known) == (50, 4, 50)


def test_two_concurrent_migrations_of_a_new_database_both_succeed(server_url, fresh_database):
    runs = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, fresh_database], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ends = [(run.communicate(timeout=60)[1], run.returncode) for run in runs]
    assert [code for _, code in ends] == [0, 0], ends


def test_a_waiting_migration_does_not_block_a_concurrent_index_build(database_url):
    """CREATE INDEX CONCURRENTLY waits for older transactions; one that waits for our lock would be a deadlock."""
    with (
        connect(database_url, application="tests") as first,
        connect(database_url, application="tests") as watch,
    ):
        first.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        waiting = subprocess.Popen([sys.executable, "-c", MIGRATE, database_url])
        try:
            seen = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'webhook_app migrate'"
            deadline = time.monotonic() + 30
            while watch.execute(seen).fetchone() == (0,) and time.monotonic() < deadline:
                time.sleep(0.05)
            first.execute("SET statement_timeout = '10s'")
            first.execute("CREATE INDEX CONCURRENTLY silences_tried ON silences (author)")
        finally:
            first.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
        assert waiting.wait(30) == 0
