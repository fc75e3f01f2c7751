"""Disk space per message, while it is new and once it is settled, and the time that settling takes.

Webhooks as Meta sends them (the statuses of a message in three POSTs, twenty POSTs in a commit, three in a hundred
messages failing) are stored as those of a day twelve days ago. Sizes include indexes.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine, text

from benchmarks.payloads import posts
from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database
from webhook_app.pipeline.counts.count_funnels import count_stages
from webhook_app.pipeline.operations.settle import settle_days
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.operations.disk_usage import table_sizes
from webhook_app.store.postgres import partitions
from webhook_app.store.postgres.engine import connect, make_engine

PER_COMMIT = 20
AGE = timedelta(days=12)
TABLES = ("status_events", "messages", "settled_messages", "message_stages", "failures", "deliveries")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    messages = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "pg")
        migrate_database(server.url)
        engine = make_engine(server.url, application="benchmark", statement_seconds=600)
        try:
            _measure(engine, server.url, messages)
        finally:
            engine.dispose()
            server.stop()


def _measure(engine: Engine, url: str, messages: int) -> None:
    now = datetime.now(UTC).replace(hour=12)
    with engine.begin() as connection:
        partitions.ensure(connection, now, days_back=AGE.days + 1)
    _store(url, messages, now - AGE)
    begin = time.perf_counter()
    count_stages(engine, now)
    print(f"{messages} messages counted in {time.perf_counter() - begin:.1f} s")
    stored = _attempts(engine)
    _print("new", engine, stored)
    begin = time.perf_counter()
    settled = settle_days(engine, now, busy_pages=1)
    print(f"{settled} messages settled in {time.perf_counter() - begin:.1f} s")
    _print("settled", engine, stored)


def _store(url: str, messages: int, at: datetime) -> None:
    writer = BatchWriter(lambda: connect(url, application="benchmark", plans_once=True), slot=0)
    requests = posts(1, secret=b"secret", now=int(at.timestamp()), seed=1)
    for _ in range(0, 3 * messages, PER_COMMIT):
        writer.store(list(_deliveries(islice(requests, PER_COMMIT))), at)
    writer.close()


def _deliveries(requests: Iterator[bytes]) -> Iterator[Delivery]:
    for request in requests:
        yield Delivery(request.partition(b"\r\n\r\n")[2])


def _attempts(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM messages")).scalar_one())


def _print(name: str, engine: Engine, messages: int) -> None:
    with engine.connect() as connection:
        sizes = {each.name: each.bytes / messages for each in table_sizes(connection) if each.name in TABLES}
    each = ", ".join(f"{table} {sizes[table]:.0f}" for table in TABLES)
    print(f"{name}: bytes per message: {each}")


if __name__ == "__main__":
    main()
