"""A replay that is killed anywhere, and one beside live ingest: the books balance, nothing is lost, nothing twice."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from tests.faults.replaying import newer_parser, replay_all
from tests.support.books import read_books
from tests.support.factories import body, document, status
from tests.support.waiting import wait_for
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.postgres.engine import connect

WAITING, KNOWN, NOVEL = 80, 10, 40
NAMES = ("received", "applied", "duplicate", "ignored", "quarantined")


def one(engine: Engine, statement: str) -> tuple[Any, ...]:
    with engine.connect() as connection:
        return tuple(connection.execute(text(statement)).one())


def queued(serial: int, now: datetime) -> bytes:
    return body(status(f"wamid.Q{serial}", "queued", now))


def novel(serial: int) -> bytes:
    return json.dumps(document({"serial": serial}, field="novelty")).encode()


def assert_each_is_there_once(engine: Engine) -> None:
    assert one(engine, "SELECT count(*)::int, count(DISTINCT message_id)::int FROM status_events") == (
        WAITING + KNOWN,
        WAITING + KNOWN,
    )
    assert one(engine, "SELECT sum(attempts)::int FROM minute_counts") == (WAITING + KNOWN,)
    assert one(engine, "SELECT count(*)::int FROM health_signals") == (NOVEL,)
    assert one(engine, "SELECT count(*)::int FROM quarantine WHERE replayed_at IS NULL") == (0,)


def test_a_replay_that_is_killed_again_and_again_ends_where_an_undisturbed_one_does(
    writer, engine, database_url, now
):
    for serial in range(WAITING):
        writer.store([Delivery(queued(serial, now))], now)
    for serial in range(KNOWN):
        writer.store([Delivery(body(status(f"wamid.K{serial}", "sent", now)))], now)
    for serial in range(NOVEL):
        writer.store([Delivery(novel(serial))], now)
    total = WAITING + KNOWN + NOVEL
    assert read_books(engine) == dict(zip(NAMES, (total, KNOWN, 0, NOVEL, WAITING), strict=True))

    killed = 0
    # While it reads the quarantine, at the end of that, and in the archive.
    for goal in (KNOWN + 10, KNOWN + WAITING, KNOWN + WAITING + 5):
        killed += kill_when_applied(goal, begin_replay(database_url), engine)
        assert read_books(engine)["received"] == total
        wait_for(lambda: one(engine, _SESSIONS) == (0,))
    assert killed >= 2, "most of them were killed before their end"
    assert begin_replay(database_url).wait(60) == 0
    assert read_books(engine) == dict(zip(NAMES, (total, total, 0, 0, 0), strict=True))
    assert_each_is_there_once(engine)


_SESSIONS = (
    "SELECT count(*)::int FROM pg_stat_activity"
    " WHERE application_name = 'tests replaying' AND datname = current_database()"
)


def kill_when_applied(goal: int, process: subprocess.Popen[bytes], engine: Engine) -> bool:
    """Whether it was killed, and had not ended by itself before."""
    wait_for(lambda: read_books(engine)["applied"] >= goal or process.poll() is not None)
    process.kill()
    return process.wait(10) < 0


def begin_replay(database_url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.faults.replaying", database_url])


def test_a_replay_beside_workers_that_receive_the_same_again_counts_everything_once(
    writer, engine, database_url, now, monkeypatch
):
    for serial in range(WAITING):
        writer.store([Delivery(queued(serial, now))], now)
    for serial in range(NOVEL):
        writer.store([Delivery(novel(serial))], now)
    newer_parser(monkeypatch.setattr)

    def receive(slot: int) -> None:
        live = BatchWriter(lambda: connect(database_url, application="tests"), slot=slot)
        try:
            for serial in range(WAITING) if slot % 2 else reversed(range(WAITING)):
                live.store([Delivery(queued(serial, now))], now)
                if serial < NOVEL:
                    live.store([Delivery(novel(serial))], now)
                if serial < KNOWN:
                    live.store([Delivery(body(status(f"wamid.K{serial}", "sent", now)))], now)
        finally:
            live.close()

    with ThreadPoolExecutor(2) as workers:
        receiving = [workers.submit(receive, slot) for slot in (1, 2)]
        replay_all(database_url)
        for each in receiving:
            each.result()
    replay_all(database_url)
    found = read_books(engine)
    assert found["received"] == WAITING + NOVEL + 2 * (WAITING + NOVEL + KNOWN)
    assert (found["applied"], found["quarantined"]) == (WAITING + KNOWN + NOVEL, 0)
    assert found["ignored"] <= NOVEL, (
        "what was ignored, and applied from another delivery meanwhile, stays ignored"
    )
    assert_each_is_there_once(engine)
