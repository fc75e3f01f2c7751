"""The temporary PostgreSQL of one run, with a fresh database for each server. Durable; deleted afterwards."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from webhook_app.embedded import EmbeddedPostgres

COMMIT_SAMPLE = 300


class Postgres:
    """A running PostgreSQL; `url(name)` is the URL of one of its databases."""

    def __init__(self, url: str, folder: Path, pid: int) -> None:
        self._url = url
        self.pid = pid
        self.folder = folder

    def url(self, database: str) -> str:
        return self._url.replace("/postgres?", f"/{database}?", 1)

    def value(self, sql: str, database: str = "postgres") -> object:
        """Return the first value of the first row, read outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            row = connection.execute(sql).fetchone()
        return row[0] if row else None

    @contextmanager
    def fresh(self, database: str) -> Iterator[str]:
        """Create a database for one server and drop it afterwards, so that no server pays for another's vacuum."""
        self._run(f"CREATE DATABASE {database}")
        try:
            yield self.url(database)
        finally:
            self._run(f"DROP DATABASE {database} WITH (FORCE)")

    def checkpoint(self) -> None:
        """Run a checkpoint, so that every measurement starts equally far from the next one."""
        self._run("CHECKPOINT")

    def commit_milliseconds(self) -> float:
        """Measure one durable commit on this disk."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("CREATE TABLE commit_cost (at timestamptz)")
            begin = time.perf_counter()
            for _ in range(COMMIT_SAMPLE):
                connection.execute("INSERT INTO commit_cost VALUES (now())")
            return 1000 * (time.perf_counter() - begin) / COMMIT_SAMPLE

    def _run(self, sql: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql)


def start_postgres(folder: Path, memory_share: float) -> EmbeddedPostgres:
    """Start the embedded PostgreSQL, with `memory_share` of the machine's memory as shared_buffers unless it is 0."""
    server = EmbeddedPostgres(folder)
    if not memory_share:
        return server
    try:
        megabytes = int(memory_share * psutil.virtual_memory().total / 2**20)
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET shared_buffers = '{megabytes}MB'")
    finally:
        server.stop()
    return EmbeddedPostgres(folder)


@contextmanager
def temporary_postgres(*, memory_share: float = 0.0) -> Iterator[Postgres]:
    """Start the embedded PostgreSQL with the settings of `make run` in a temporary folder.

    `memory_share` is its share of the machine's memory. Raises RuntimeError if commits are not durable.
    """
    with tempfile.TemporaryDirectory(prefix="webhook-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = start_postgres(Path(folder) / "pg", memory_share)
        try:
            postgres = Postgres(server.url, Path(folder), server.pid or 0)
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                if postgres.value(f"SHOW {setting}") != "on":
                    raise RuntimeError(f"{setting} is off: the results would be meaningless")
            yield postgres
        finally:
            server.stop()
