"""One Postgres per run, migrated once; a database per test that commits, copied from the migrated one.

TEST_DATABASE_URL uses a server of one's own (its role must be allowed to create databases).
"""

import os
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine

from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database
from webhook_app.store.engine import libpq_url, make_engine

TEMPLATE = "webhook_app_template"
PAYLOADS = Path(__file__).parent / "payloads"


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a running server; the embedded one unless TEST_DATABASE_URL is set."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield libpq_url(given)
        return
    with tempfile.TemporaryDirectory(prefix="webhook_app_tests_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "postgres")
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


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A migrated database of the test's own, for code that commits."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    yield make_conninfo(server_url, dbname=name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the test's own database."""
    made = make_engine(database_url, application="tests", pool_size=0)
    yield made
    made.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection whose work is rolled back."""
    with engine.connect() as opened:
        yield opened
        opened.rollback()


@pytest.fixture
def now() -> datetime:
    """The real minute the test runs in: partitions and windows are about now."""
    return datetime.now(UTC).replace(microsecond=0)
