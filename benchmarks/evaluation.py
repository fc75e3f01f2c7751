"""`python -m benchmarks.evaluation`: the time of one evaluation, without and with a long history.

50 rules of every counting kind over 200 business numbers, with a million status events in the window of 15 minutes;
then with 30 times as many before it. `--numbers 2000` has ten times the series and a tenth of the history. Rows are
written as ingest writes them. Exit code 1: a target was missed.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from benchmarks.database import temporary_postgres
from webhook_app import collect_garbage_rarely
from webhook_app.migrating import migrate_database
from webhook_app.pipeline.counts.count_funnels import SETTLED
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.inputs.live_inputs import ReadCache
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.postgres.engine import make_engine

LIMITS_MS = {200: 250.0, 2000: 1000.0}
LIMIT_RATIO = 2.0
"""Windows of an hour are read from four times the minutes of the shortest; longer ones from sums."""
TEMPLATES, COUNTRIES = 5, 2
WINDOW = 15
WINDOWS = [15, 60, 360, 1440, 10080]
EVENTS = 1_000_000
HISTORY = {200: 30, 2000: 3}
"""Windows before the measured one, by business numbers."""

_SERIES = """
INSERT INTO series (phone_number_id, waba_id, template, campaign, country)
SELECT 'n' || n, 'w' || n % 10, 't' || t, '', 'c' || c
FROM generate_series(1, :numbers) n, generate_series(1, :templates) t, generate_series(1, :countries) c
"""
# Per minute: every series has the same number of attempts; two events follow each, one attempt in 70 fails.
_ATTEMPTS = """
INSERT INTO minute_counts (minute, series_id, slot, attempts, sent, delivered, read, failed)
SELECT :start + m * interval '1 minute', s.id, slot, :attempts, :attempts, :attempts * 0.9, :attempts * 0.6, 0
FROM generate_series(0, :minutes - 1) m, series s, generate_series(0, 1) slot
"""
# Counted as count_stages does: one message in 20 has no delivery report in time, one in 20 is slow.
_STAGES = """
INSERT INTO stage_counts (unit, at, series_id, category, sent, delivered, read, failed, watched, unreported_15m, timed,
                          slower_60s)
SELECT unit, date_trunc(CASE unit WHEN 60 THEN 'hour' ELSE 'minute' END, minute), series_id, 'marketing',
       sum(attempts), sum(delivered), sum(read), 0, sum(attempts), sum(attempts) / 20, sum(delivered),
       sum(delivered) / 20
FROM minute_counts CROSS JOIN (VALUES (1), (60)) AS u(unit)
WHERE minute >= :start AND minute < :end GROUP BY 1, 2, 3
ON CONFLICT (unit, at, series_id, category, pricing) DO UPDATE SET
  watched = stage_counts.watched + excluded.watched, timed = stage_counts.timed + excluded.timed,
  unreported_15m = stage_counts.unreported_15m + excluded.unreported_15m,
  slower_60s = stage_counts.slower_60s + excluded.slower_60s
"""
_COUNTED = """
INSERT INTO stage_progress (counted_until) VALUES (:until)
ON CONFLICT (id) DO UPDATE SET counted_until = excluded.counted_until
"""
_FAILED_MESSAGES = """
INSERT INTO failed_messages (message_id, phone_number_id, minute, error_code, series_id, alone, first_at, last_at)
SELECT 'wamid.' || extract(epoch FROM :start)::bigint || '.' || m || '.' || s.id || '.' || k, s.phone_number_id,
       :start + m * interval '1 minute', (ARRAY[131026, 131053, 132015, 131000, 131047, 130429, 131049, 132001])
       [1 + (s.id + m + k) % 8], s.id, (s.id + m + k) % 200 <> 0,
       :start + m * interval '1 minute' + k * interval '1 second',
       :start + m * interval '1 minute' + k * interval '1 second'
FROM generate_series(0, :minutes - 1) m, series s, generate_series(1, 2) k
WHERE (s.id * 7 + m * 3 + k) % :one_in = 0
"""
_FAILURES = """
INSERT INTO failures (message_id, phone_number_id, occurred_at, error_code, contact, series_id, received_at,
                      considered_at)
SELECT message_id, phone_number_id, first_at, error_code, right(message_id, 6), series_id, first_at, first_at
FROM failed_messages WHERE first_at >= :start AND first_at < :end
UNION ALL
SELECT message_id, phone_number_id, first_at + interval '1 second', error_code + 1, right(message_id, 6), series_id,
       first_at, first_at
FROM failed_messages WHERE first_at >= :start AND first_at < :end AND NOT alone
"""
_FAILURE_COUNTS = """
INSERT INTO failure_counts (minute, series_id, error_code, slot, failures)
SELECT minute, series_id, error_code, 0, count(*) FROM failed_messages
WHERE alone AND minute >= :start AND minute < :end GROUP BY 1, 2, 3
"""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="evaluations to measure on each database")
    parser.add_argument(
        "--numbers", type=int, default=200, choices=sorted(LIMITS_MS), help="business numbers"
    )
    given = parser.parse_args(arguments)
    numbers, history, limit = given.numbers, HISTORY[given.numbers], LIMITS_MS[given.numbers]
    collect_garbage_rarely()  # as the scheduler does
    with (
        temporary_postgres() as postgres,
        postgres.fresh("short") as short_url,
        postgres.fresh("long") as long_url,
    ):
        now = datetime.now(UTC).replace(second=30, microsecond=0)
        start = now.replace(second=0) - timedelta(minutes=WINDOW)
        engines = [_new_engine(url, numbers) for url in (short_url, long_url)]
        recent, _ = [_fill(engine, start, WINDOW + 1, numbers) for engine in engines]
        before = start - timedelta(minutes=history * WINDOW)
        older = _fill(engines[1], before, history * WINDOW, numbers)
        sum_hours(engines[1], now)
        short, long = _measure(engines, now, given.rounds)
        for engine in engines:
            engine.dispose()
    print(
        f"in the window      {recent[0]:>12,} status events, {recent[1]:,} failures, 50 rules, {numbers} numbers"
    )
    print(f"before it          {older[0]:>12,} status events, {older[1]:,} failures")
    print(_line("without history", short))
    print(_line("with history", long))
    times = statistics.median(b / a for a, b in zip(short, long, strict=True))
    met = statistics.median(long) <= limit and times <= LIMIT_RATIO
    print(
        f"{times:.2f} times as long (target {LIMIT_RATIO}); target {limit:.0f} ms: {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


def _fill(engine: Engine, start: datetime, minutes: int, numbers: int) -> tuple[int, int]:
    """Write so many minutes; returns the numbers of status events and failures."""
    series = numbers * TEMPLATES * COUNTRIES
    attempts = round(EVENTS / (WINDOW * series * 2 * 2.5))
    span = {"start": start, "end": start + timedelta(minutes=minutes), "minutes": minutes}
    with engine.begin() as connection:
        connection.execute(text(_ATTEMPTS), span | {"attempts": attempts})
        connection.execute(text(_FAILED_MESSAGES), span | {"one_in": numbers // 100})
        for statement in (_FAILURES, _FAILURE_COUNTS, _STAGES):
            connection.execute(text(statement), span)
        found = _count_rows(connection, span["start"], span["end"])
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return found


def _count_rows(connection: Connection, start: object, end: object) -> tuple[int, int]:
    span = {"start": start, "end": end}
    events = connection.execute(
        text(
            "SELECT sum(sent + delivered + read)::bigint FROM minute_counts WHERE minute >= :start AND minute < :end"
        ),
        span,
    ).scalar_one()
    failures = connection.execute(
        text("SELECT count(*) FROM failures WHERE occurred_at >= :start AND occurred_at < :end"), span
    ).scalar_one()
    return int(events) + int(failures), int(failures)


def _new_engine(url: str, numbers: int) -> Engine:
    migrate_database(url)
    engine = make_engine(url, application="benchmark", statement_seconds=600)
    with engine.begin() as connection:
        connection.execute(
            text(_SERIES), {"numbers": numbers, "templates": TEMPLATES, "countries": COUNTRIES}
        )
    return engine


def _measure(engines: Sequence[Engine], now: datetime, rounds: int) -> list[list[float]]:
    """Return milliseconds of evaluations, taken in turns because the machine's speed varies; two are warm-up."""
    rules, caches = _rules(), [ReadCache() for _ in engines]
    taken: list[list[float]] = [[] for _ in engines]
    for index in range(rounds + 2):
        for engine, cache, into in zip(engines, caches, taken, strict=True):
            # Outcomes are counted every minute, so every fourth evaluation reads them again.
            with engine.begin() as connection:
                connection.execute(text(_COUNTED), {"until": now - SETTLED + timedelta(seconds=index // 4)})
            begin = time.perf_counter()
            summary = evaluate(engine, rules, now + timedelta(milliseconds=500 * index), memory=cache)
            into.append(1000 * (time.perf_counter() - begin))
            if summary.groups == 0:
                raise RuntimeError("no group was evaluated: the results would be meaningless")
    return [each[2:] for each in taken]


def _rules() -> tuple[Rule, ...]:
    """Return 40 rate rules in all groupings and 10 of other kinds that count; none fires on this traffic."""
    groupings: tuple[list[str], ...] = (
        ["code", "phone_number_id"],
        ["phone_number_id"],
        ["code"],
        ["template", "country"],
        ["phone_number_id", "template"],
        ["waba_id"],
        ["code", "waba_id"],
        [],
    )
    selected = (
        'classes = ["broken"]',
        'classes = ["unreachable"]',
        'domains = ["template", "media"]',
        "codes = [131026]",
    )
    text_ = ""
    for number in range(40):
        grouping, selector = groupings[number % 8], selected[number % 4]
        text_ += f'[[rule]]\nname = "rate {number}"\nkind = "rate"\nthreshold = 0.3\n'
        text_ += f"{selector}\ngroup_by = {grouping}\nwindow_minutes = {WINDOWS}\n"
    others = (
        "spike",
        "new_code",
        "attention",
        "silence",
        "undelivered",
        "slow",
        "spike",
        "undelivered",
        "slow",
        "silence",
    )
    for number, kind in enumerate(others):
        text_ += f'[[rule]]\nname = "{kind} {number}"\nkind = "{kind}"\nchannels = []\n'
        text_ += _MORE.get(kind, "")
    return parse_rules(text_)


_MORE = {"spike": "threshold = 0.3\n", "new_code": "window_minutes = 15\n"}


def _line(name: str, taken: Sequence[float]) -> str:
    ordered = sorted(taken)
    return f"{name:18} median {statistics.median(ordered):6.0f} ms, fastest {ordered[0]:.0f}, slowest {ordered[-1]:.0f}"


if __name__ == "__main__":
    sys.exit(main())
