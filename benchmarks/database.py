"""The temporary PostgreSQL of one run, with a fresh database for each server. Durable, and deleted after."""

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
    """A running server; `url(name)` leads to one of its databases."""

    def __init__(self, url: str, folder: Path, pid: int) -> None:
        self._url = url
        self.pid = pid
        self.folder = folder

    def url(self, database: str) -> str:
        return self._url.replace("/postgres?", f"/{database}?", 1)

    def value(self, sql: str, database: str = "postgres") -> object:
        """The first value of the first row, read outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            row = connection.execute(sql).fetchone()
        return row[0] if row else None

    @contextmanager
    def fresh(self, database: str) -> Iterator[str]:
        """A new database for one server, gone afterwards, so that nobody pays for another's vacuum."""
        self._run(f"CREATE DATABASE {database}")
        try:
            yield self.url(database)
        finally:
            self._run(f"DROP DATABASE {database} WITH (FORCE)")

    def checkpoint(self) -> None:
        """Start everybody at the same distance from the next checkpoint."""
        self._run("CHECKPOINT")

    def commit_milliseconds(self) -> float:
        """What one durable commit costs on this disk, alone."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("CREATE TABLE commit_cost (at timestamptz)")
            begin = time.perf_counter()
            for _ in range(COMMIT_SAMPLE):
                connection.execute("INSERT INTO commit_cost VALUES (now())")
            return 1000 * (time.perf_counter() - begin) / COMMIT_SAMPLE

    def _run(self, sql: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql)


def give_memory(server: EmbeddedPostgres, share: float) -> None:
    """Restart it with this share of the machine's memory as shared_buffers, as a server of its own would have."""
    megabytes = int(share * psutil.virtual_memory().total / 2**20)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"ALTER SYSTEM SET shared_buffers = '{megabytes}MB'")
    server.stop()
    server.start_again()


@contextmanager
def temporary_postgres(*, memory_share: float = 0.0) -> Iterator[Postgres]:
    """Start the embedded PostgreSQL, set up as `make run` does, in a temporary folder; refuse if not durable.

    With a `memory_share` it gets that share of the machine's memory.
    """
    with tempfile.TemporaryDirectory(prefix="webhook-bench-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "pg")
        try:
            if memory_share:
                give_memory(server, memory_share)
            postgres = Postgres(server.url, Path(folder), server.pid or 0)
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                if postgres.value(f"SHOW {setting}") != "on":
                    raise RuntimeError(f"{setting} is not on: numbers would mean nothing")
            yield postgres
        finally:
            server.stop()
