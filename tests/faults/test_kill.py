"""Acknowledged means kept: workers and Postgres are killed at random under load, and every 200 is held to its word."""

import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.faults.senders import Sender, kill_all
from tests.faults.web_server import web_server
from tests.support.waiting import wait_for
from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database


@pytest.fixture
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, with everything durable."""
    with tempfile.TemporaryDirectory(prefix="webhook_app_faults_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "postgres")
        migrate_database(server.url)
        yield server
        server.stop()


@pytest.fixture
def web(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """(process id, port) of a gunicorn with two workers."""
    with web_server(postgres.url, tmp_path, workers=2) as server:
        yield server.process.pid, server.port


def kill_a_worker(master: int, chance: random.Random) -> None:
    workers = psutil.Process(master).children()
    if workers:
        chance.choice(workers).send_signal(signal.SIGKILL)


def kill_postgres(server: EmbeddedPostgres) -> None:
    """Kill the postmaster and every backend at once, as a power cut would, then start again on the same files."""
    kill_all(server.pid)
    server.start_again()


def test_every_acknowledged_event_is_there_once_after_workers_and_postgres_were_killed(postgres, web):
    master, port = web
    chance = random.Random(7)
    senders = [Sender(port, f"s{number}") for number in range(4)]
    for round_ in range(6):
        time.sleep(0.25 + chance.random() / 2)
        if round_ in (2, 5):
            kill_postgres(postgres)
        else:
            kill_a_worker(master, chance)
    time.sleep(1)
    before = sum(len(sender.acknowledged) for sender in senders)
    wait_for(lambda: sum(len(sender.acknowledged) for sender in senders) > before + 20)
    for sender in senders:
        sender.stop()
    acknowledged = [message_id for sender in senders for message_id in sender.acknowledged]
    with psycopg.connect(postgres.url) as connection:
        stored = [row[0] for row in connection.execute("SELECT message_id FROM status_events")]
        (attempts,) = connection.execute("SELECT sum(attempts) FROM minute_counts").fetchone() or (0,)
        books = connection.execute(
            "SELECT received, applied, duplicate, ignored, quarantined FROM books"
        ).fetchall()
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored)) == attempts
    assert all(received == sum(became) for received, *became in books), "every worker's books balance"
    _, applied, duplicate, ignored, quarantined = map(sum, zip(*books, strict=True))
    assert (applied, ignored, quarantined) == (len(stored), 0, 0), "no commit without its books"
    assert duplicate <= sum(sender.refused for sender in senders), "only what went unanswered was sent again"
    assert len(acknowledged) > 100
    assert sum(sender.refused for sender in senders) > 0
