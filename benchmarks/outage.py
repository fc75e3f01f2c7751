"""`python -m benchmarks.outage`: which contacts an outage of one hour suppresses.

Simulates six days through the real ingest, evaluation and suppression: normal traffic, then an hour in which all
messages from one business number fail with 131026, 131000, 131053 or 135000 while another number works, then normal
traffic again. One in two hundred people is unreachable from the day before the outage on. Exit code 1: a reachable
contact was suppressed, or an unreachable one was not.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import Engine, text

from benchmarks.database import temporary_postgres
from webhook_app.migrating import migrate_database
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.scheduler.jobs import load_rules
from webhook_app.store.postgres.engine import connect, make_engine

CODES = (131026, 131000, 131053, 135000)
BROKEN, WORKING = "100200300", "100200301"
GONE_ONE_IN = 200
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
_PER_BODY = 500


class OutageResult(Struct):
    """Numbers of contacts, alerts, suppressions and errors."""

    contacts: int
    gone: int
    alerts: int
    suppressed_in_the_outage: int
    suppressed_in_the_end: int
    wrongly: int
    missed: int


def run_outage(engine: Engine, database_url: str, contacts: int, end: datetime) -> OutageResult:
    """Simulate the six days up to `end` on an empty, migrated database."""
    run = _OutageRun(engine, database_url, contacts, end)
    try:
        return run.run()
    finally:
        run.close()


class _OutageRun:
    def __init__(self, engine: Engine, database_url: str, contacts: int, end: datetime) -> None:
        self._engine, self._start = engine, end - 6 * DAY
        self._writer = BatchWriter(lambda: connect(database_url, application="outage drill"), slot=0)
        self._rules = load_rules(None)
        self._people = [f"4915{place:09}" for place in range(contacts)]
        self._sent = 0

    def close(self) -> None:
        self._writer.close()

    def run(self) -> OutageResult:
        self._day(self._start, gone_fail=False)
        self._day(self._start + DAY, gone_fail=True)
        outage = self._start + 2 * DAY
        self._outage(outage)
        hit = self._suppressed()
        self._quiet(outage + timedelta(hours=1))
        hit |= self._suppressed()
        for day in (3, 4, 5):
            self._day(self._start + day * DAY, gone_fail=True)
            self._quiet(self._start + day * DAY + timedelta(hours=1))
        gone, found = {person for person in self._people if self._is_gone(person)}, self._suppressed()
        with self._engine.connect() as connection:
            alerts = connection.execute(text("SELECT count(*) FROM alerts WHERE fired_at IS NOT NULL"))
            fired = int(alerts.scalar_one())
        return OutageResult(
            len(self._people),
            len(gone),
            fired,
            len(hit),
            len(found),
            len((found | hit) - gone),
            len(gone - found),
        )

    def _day(self, start: datetime, *, gone_fail: bool) -> None:
        """Send everybody a message within an hour."""
        for minute, people in self._shares(every=10):
            at = start + minute * MINUTE
            self._store(
                at,
                BROKEN,
                [
                    each
                    for person in people
                    for each in (
                        [self._status("failed", person, at, 131026)]
                        if gone_fail and self._is_gone(person)
                        else self._delivered(person, at)
                    )
                ],
            )
            self._evaluate_and_suppress(at + MINUTE)

    def _outage(self, start: datetime) -> None:
        for minute, people in self._shares(every=3):
            at = start + minute * MINUTE
            failed = [
                self._status("failed", person, at, CODES[place % len(CODES)])
                for place, person in enumerate(people)
            ]
            self._store(at, BROKEN, failed)
            delivered = [each for person in people[::2] for each in self._delivered(person, at)]
            self._store(at, WORKING, delivered)
            self._evaluate_and_suppress(at + MINUTE)

    def _quiet(self, start: datetime) -> None:
        for minutes in range(0, 40, 10):
            self._evaluate_and_suppress(start + minutes * MINUTE)

    def _shares(self, *, every: int) -> Iterator[tuple[int, list[str]]]:
        """Return the people in equal parts, each with the minute of the hour at which it gets messages."""
        parts = 60 // every
        return ((part * every, self._people[part::parts]) for part in range(parts))

    def _is_gone(self, person: str) -> bool:
        return int(person[4:]) % GONE_ONE_IN == 7

    def _delivered(self, person: str, at: datetime) -> list[dict[str, Any]]:
        sent = self._status("sent", person, at)
        return [sent, sent | {"status": "delivered"}]

    def _status(self, status: str, person: str, at: datetime, code: int = 0) -> dict[str, Any]:
        self._sent += 1
        item: dict[str, Any] = {
            "id": f"wamid.{self._sent}",
            "status": status,
            "timestamp": str(int(at.timestamp())),
            "recipient_id": person,
            "biz_opaque_callback_data": f"campaign=c{at:%j%H}",
        }
        return item | ({"errors": [{"code": code, "title": "failed"}]} if code else {})

    def _store(self, at: datetime, number: str, statuses: Sequence[dict[str, Any]]) -> None:
        for place in range(0, len(statuses), _PER_BODY):
            value = {
                "messaging_product": "whatsapp",
                "metadata": {"phone_number_id": number},
                "statuses": list(statuses[place : place + _PER_BODY]),
            }
            change = {"field": "messages", "value": value}
            document = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
            self._writer.store([Delivery(json.dumps(document).encode())], at)

    def _evaluate_and_suppress(self, now: datetime) -> None:
        """Run the scheduler's steps once."""
        evaluate(self._engine, self._rules, now)
        suppress(self._engine, self._rules, Thresholds(), now)

    def _suppressed(self) -> set[str]:
        with self._engine.connect() as connection:
            return set(connection.execute(text("SELECT DISTINCT contact FROM suppressions")).scalars())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    contacts = parser.parse_args(arguments).contacts
    with temporary_postgres() as postgres, postgres.fresh("outage") as url:
        migrate_database(url)
        engine = make_engine(url, application="outage drill")
        begin = time.perf_counter()
        found = run_outage(engine, url, contacts, datetime.now(UTC))
        engine.dispose()
    print(f"{found.contacts} contacts, {found.gone} of them unreachable; {found.alerts} alerts fired")
    print(f"suppressed in the outage   {found.suppressed_in_the_outage}")
    print(f"suppressed at the end      {found.suppressed_in_the_end}")
    print(f"wrongly {found.wrongly}, missed {found.missed}; {time.perf_counter() - begin:.0f} s")
    return 1 if found.wrongly or found.missed or found.suppressed_in_the_outage else 0


if __name__ == "__main__":
    raise SystemExit(main())
