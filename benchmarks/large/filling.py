"""Fills the database of the benchmark. A comment on the database records its contents, so that it can be reused."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from benchmarks.database import start_postgres, temporary_postgres
from benchmarks.large import people
from benchmarks.large.history import DAYS, make_history
from webhook_app.migrating import migrate_database
from webhook_app.pipeline.counts.count_funnels import SETTLED, count_stages
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.inputs.live_inputs import ReadCache
from webhook_app.rules.incidents.rules_file.rules_file import parse_rules
from webhook_app.store.counts.messages.stages import counted_until
from webhook_app.store.postgres.engine import connect, make_engine
from webhook_app.store.postgres.partitions import ensure

_PATIENCE_S = 7200
_MEMORY = 0.4  # the upper limit that PostgreSQL's manual recommends for shared_buffers
_PAST_ALERTS = 400
_RULES = (
    Path(__file__).parents[2] / "webhook_app" / "rules" / "incidents" / "rules_file" / "default_rules.toml"
)

# Only while filling; the measured server is durable.
_UNSAFE_SETTINGS = (
    "fsync = off",
    "full_page_writes = off",
    "synchronous_commit = off",
    "maintenance_work_mem = '512MB'",
)

# Copies of the fired alert into the past stand for the alerts of earlier months.
_PAST_ALERTS_SQL = """
INSERT INTO alerts (rule, kind, severity, state, group_key, "group", codes, evaluations_above, evaluations_below,
                    attempts, failures, rate, low, high, threshold, window_minutes, explanation, covers_from,
                    started_at, fired_at, resolved_at, evaluated_at)
SELECT rule, kind, severity, 'resolved', group_key, "group", codes, 0, 4, attempts, failures, rate, low, high,
       threshold, window_minutes, explanation, covers_from - back, started_at - back,
       coalesce(fired_at, evaluated_at) - back, evaluated_at - back, evaluated_at - back
FROM (SELECT * FROM alerts ORDER BY id LIMIT 1) a,
     (SELECT n * interval '5 hours' AS back FROM generate_series(1, %s) n) b
"""


class Filled(msgspec.Struct, frozen=True):
    """The contents of a database."""

    scale: float
    made_at: datetime
    messages: int
    events: int
    suppressions: int
    links: int


class Target(msgspec.Struct, frozen=True):
    """A database and a folder for logs. `pid` is that of a server started here, 0 for any other."""

    url: str
    folder: Path
    pid: int = 0


@contextmanager
def open_target(keep: Path | None, database_url: str) -> Iterator[Target]:
    """Open the database of DATABASE_URL, the one kept in a folder, or a temporary one."""
    if database_url:
        yield Target(database_url, Path("/tmp"))
    elif keep is None:
        with temporary_postgres(memory_share=_MEMORY) as postgres, postgres.fresh("large") as url:
            yield Target(url, postgres.folder, postgres.pid)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        keep.chmod(0o755)
        server = start_postgres(keep / "pg", _MEMORY)
        try:
            yield Target(server.url, keep, server.pid or 0)
        finally:
            server.stop()


def fill(target: Target, scale: float, *, everybody: bool) -> Filled:
    """Write the history and the suppressions for the pages; with `everybody`, all suppressions and links.

    Data that exists already is kept.
    """
    with connect(target.url, application="benchmark", statement_seconds=_PATIENCE_S) as connection:
        filled = _read_comment(connection)
        if filled is None:
            _refuse_if_used(connection)
    if filled is not None and filled.scale != scale:
        raise SystemExit(
            f"the database was filled with --scale {filled.scale}: use that scale or another database"
        )
    migrate_database(target.url)  # a kept database may have an older schema
    wanted = people.SUPPRESSIONS if everybody else people.PAGE_SUPPRESSIONS
    goal = max(10, round(wanted * scale))
    if filled is not None and filled.suppressions >= goal:
        return filled
    with (
        _unsafe_settings(target),
        connect(target.url, application="benchmark", statement_seconds=_PATIENCE_S) as connection,
    ):
        connection.autocommit = False
        begin = time.perf_counter()

        def report(words: str) -> None:
            print(f"  {time.perf_counter() - begin:6.0f} s  {words}", flush=True)

        filled = filled or _history(target, connection, scale, report)
        people.suppress(connection, filled.suppressions, goal, filled.made_at)
        report(f"{goal:,} suppressions")
        links = max(10, round(people.LINKS * scale)) if everybody else 0
        if links:
            people.link(connection, links)
            report(f"{links:,} links")
        connection.autocommit = True
        if links:
            connection.execute("REINDEX TABLE contact_links")
            report("indexes of the links rebuilt: after inserts in this order they are half empty")
        connection.execute("VACUUM ANALYZE")
        report("vacuumed and analysed")
        _count_stages(target.url, filled.made_at)
        report("messages counted by stage")
        if filled.suppressions == 0:
            _make_alerts(target.url, filled.made_at)
        filled = msgspec.structs.replace(filled, suppressions=goal, links=links)
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(
            sql.Identifier(connection.info.dbname), sql.Literal(msgspec.json.encode(filled).decode())
        )
        connection.execute(comment)
        connection.execute("CHECKPOINT")
    return filled


def _history(target: Target, connection: psycopg.Connection[Any], scale: float, report: Any) -> Filled:
    now = datetime.now(UTC).replace(microsecond=0)
    engine = make_engine(target.url, application="benchmark", pool_size=0)
    with engine.begin() as opened:
        ensure(opened, now, days_back=DAYS)
    engine.dispose()
    messages = make_history(connection, scale, now, report)
    events = connection.execute("SELECT sum(applied)::bigint FROM books").fetchone()
    return Filled(scale, now, messages, int(events[0]) if events else 0, 0, 0)


def _count_stages(url: str, now: datetime) -> None:
    """Run the scheduler's job over the whole history, as after an update."""
    engine = make_engine(url, application="benchmark", pool_size=0, statement_seconds=_PATIENCE_S)
    until = None
    while until is None or until < now - 2 * SETTLED:
        count_stages(engine, now)
        with engine.connect() as connection:
            until = counted_until(connection)
    engine.dispose()
    with connect(url, application="benchmark", statement_seconds=_PATIENCE_S) as connection:
        connection.execute("VACUUM ANALYZE message_stages, stage_counts")


def count_new_messages(target: Target) -> None:
    """Run the scheduler's minutely count, because lookups use the counts only if they are recent."""
    engine = make_engine(target.url, application="benchmark", pool_size=0, statement_seconds=_PATIENCE_S)
    count_stages(engine, datetime.now(UTC))
    engine.dispose()


def warm(target: Target) -> None:
    """Read links (by index) and suppressions once, so that they are in memory as on a server in use."""
    orders = {
        "contact_links": ("contact, user_id", "contact, user_id"),
        "suppressions": ("*", "contact, phone_number_id, scope, reason"),
    }
    with connect(target.url, application="benchmark", statement_seconds=_PATIENCE_S) as connection:
        for switch in ("seqscan", "bitmapscan", "sort"):
            connection.execute(sql.SQL("SET enable_{} = off").format(sql.SQL(switch)))
        connection.execute("SET max_parallel_workers_per_gather = 0")
        for table, (columns, order) in orders.items():
            inner = f"SELECT {columns} FROM {table} ORDER BY {order} OFFSET 0"
            # Count the row, not a column: for a column PostgreSQL would read the index only.
            connection.execute(sql.SQL(f"SELECT count(t) FROM ({inner}) t"))


def _make_alerts(url: str, now: datetime) -> None:
    """Evaluate the default rules until the incident fires, and copy its alert into the past."""
    engine = make_engine(url, application="benchmark", pool_size=0)
    rules, cache = parse_rules(_RULES.read_text(encoding="utf-8")), ReadCache()
    for seconds in (30, 15, 0):
        evaluate(engine, rules, now - timedelta(seconds=seconds), memory=cache)
    engine.dispose()
    with connect(url, application="benchmark") as connection:
        connection.execute(_PAST_ALERTS_SQL, [_PAST_ALERTS])


def _read_comment(connection: psycopg.Connection[Any]) -> Filled | None:
    row = connection.execute(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    ).fetchone()
    try:
        return msgspec.json.decode(row[0], type=Filled) if row and row[0] else None
    except msgspec.DecodeError:
        return None


def _refuse_if_used(connection: psycopg.Connection[Any]) -> None:
    row = connection.execute("SELECT to_regclass('status_events')").fetchone()
    if row and row[0] and connection.execute("SELECT FROM status_events LIMIT 1").fetchone() is not None:
        raise SystemExit("the database contains events from elsewhere: use an empty database")


@contextmanager
def _unsafe_settings(target: Target) -> Iterator[None]:
    """Make a server started here non-durable while it is filled."""
    with connect(target.url, application="benchmark") as connection:
        for setting in _UNSAFE_SETTINGS if target.pid else ():
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            for setting in _UNSAFE_SETTINGS if target.pid else ():
                connection.execute(f"ALTER SYSTEM RESET {setting.split()[0]}")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("CHECKPOINT")
