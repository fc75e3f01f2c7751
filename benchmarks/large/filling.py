"""The database that is asked: made once, remembered by a comment on it, so that a kept one is not made again."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from benchmarks.database import give_memory, temporary_postgres
from benchmarks.large import people
from benchmarks.large.history import DAYS, make_history
from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database
from webhook_app.pipeline.counts.count_funnels import SETTLED, count_steps
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.rule_inputs import ReadCache
from webhook_app.rules.incidents.rules_file import parse_rules
from webhook_app.store.counts.funnel_counts import counted_until
from webhook_app.store.postgres.engine import connect, make_engine
from webhook_app.store.postgres.partitions import ensure

_PATIENCE_S = 7200
_MEMORY = 0.4  # as much as its manual finds useful
_PAST_ALERTS = 400
_RULES = Path(__file__).parents[2] / "webhook_app" / "rules" / "incidents" / "default_rules.toml"

# Only while filling; what is measured is durable.
_QUICK = (
    "fsync = off",
    "full_page_writes = off",
    "synchronous_commit = off",
    "maintenance_work_mem = '512MB'",
)

# What the rules made of the incident stands for those of the last months, too.
_PAST = """
INSERT INTO alerts (rule, kind, severity, state, group_key, "group", codes, evaluations_above, evaluations_below,
                    repeats, attempts, failures, rate, low, high, threshold, window_minutes, explanation, covers_from,
                    started_at, fired_at, resolved_at, evaluated_at, notified_severity)
SELECT rule, kind, severity, 'resolved', group_key, "group", codes, 0, 4, 0, attempts, failures, rate, low, high,
       threshold, window_minutes, explanation, covers_from - back, started_at - back,
       coalesce(fired_at, evaluated_at) - back, evaluated_at - back, evaluated_at - back, severity
FROM (SELECT * FROM alerts ORDER BY id LIMIT 1) a,
     (SELECT n * interval '5 hours' AS back FROM generate_series(1, %s) n) b
"""


class Filled(msgspec.Struct, frozen=True):
    """What stands in a database."""

    scale: float
    made_at: datetime
    messages: int
    events: int
    suppressions: int
    links: int


class Place(msgspec.Struct, frozen=True):
    """A database and a folder for logs beside it. `pid`: of a server that is ours alone, 0 for another's."""

    url: str
    folder: Path
    pid: int = 0


@contextmanager
def place(keep: Path | None, database_url: str) -> Iterator[Place]:
    """The database of DATABASE_URL, the one kept in a folder, or one that is deleted afterwards."""
    if database_url:
        yield Place(database_url, Path("/tmp"))
    elif keep is None:
        with temporary_postgres(memory_share=_MEMORY) as postgres, postgres.fresh("large") as url:
            yield Place(url, postgres.folder, postgres.pid)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        keep.chmod(0o755)
        server = EmbeddedPostgres(keep / "pg")
        try:
            give_memory(server, _MEMORY)
            yield Place(server.url, keep, server.pid or 0)
        finally:
            server.stop()


def fill(where: Place, scale: float, *, everybody: bool) -> Filled:
    """Have the history in it with the suppressions pages are measured with; `everybody`: all of them, and the links."""
    with connect(where.url, application="benchmark", statement_seconds=_PATIENCE_S) as connection:
        held = _read(connection)
        if held is None:
            _refuse_if_used(connection)
    if held is not None and held.scale != scale:
        raise SystemExit(f"the database was filled with --scale {held.scale}: take that, or another one")
    migrate_database(where.url)  # a kept one may be older than the code
    wanted = people.SUPPRESSIONS if everybody else people.PAGE_SUPPRESSIONS
    goal = max(10, round(wanted * scale))
    if held is not None and held.suppressions >= goal:
        return held
    with (
        _unsafe(where),
        connect(where.url, application="benchmark", statement_seconds=_PATIENCE_S) as connection,
    ):
        connection.autocommit = False
        begin = time.perf_counter()

        def say(words: str) -> None:
            print(f"  {time.perf_counter() - begin:6.0f} s  {words}", flush=True)

        held = held or _history(where, connection, scale, say)
        people.suppress(connection, held.suppressions, goal, held.made_at)
        say(f"{goal:,} suppressions")
        links = max(10, round(people.LINKS * scale)) if everybody else 0
        if links:
            people.link(connection, links)
            say(f"{links:,} links")
        connection.autocommit = True
        if links:
            connection.execute("REINDEX TABLE contact_links")
            say("their indexes built anew: inserted in this order they are half empty")
        connection.execute("VACUUM ANALYZE")
        say("vacuumed and analysed")
        _count_steps(where.url, held.made_at)
        say("how far messages got is counted")
        if held.suppressions == 0:
            _incident(where.url, held.made_at)
        held = msgspec.structs.replace(held, suppressions=goal, links=links)
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(
            sql.Identifier(connection.info.dbname), sql.Literal(msgspec.json.encode(held).decode())
        )
        connection.execute(comment)
        connection.execute("CHECKPOINT")
    return held


def _history(where: Place, connection: psycopg.Connection[Any], scale: float, say: Any) -> Filled:
    now = datetime.now(UTC).replace(microsecond=0)
    engine = make_engine(where.url, application="benchmark", pool_size=0)
    with engine.begin() as opened:
        ensure(opened, now, days_back=DAYS)
    engine.dispose()
    messages = make_history(connection, scale, now, say)
    events = connection.execute("SELECT sum(applied)::bigint FROM books").fetchone()
    return Filled(scale, now, messages, int(events[0]) if events else 0, 0, 0)


def _count_steps(url: str, now: datetime) -> None:
    """Have the scheduler's job go through the history, as after an update."""
    engine = make_engine(url, application="benchmark", pool_size=0, statement_seconds=_PATIENCE_S)
    until = None
    while until is None or until < now - 2 * SETTLED:
        count_steps(engine, now)
        with engine.connect() as connection:
            until = counted_until(connection)
    engine.dispose()
    with connect(url, application="benchmark", statement_seconds=_PATIENCE_S) as connection:
        connection.execute("VACUUM ANALYZE message_stages, stage_counts")


def keep_up(where: Place) -> None:
    """What the scheduler does every minute: count what came. Without one, lookups would not rely on the counts."""
    engine = make_engine(where.url, application="benchmark", pool_size=0, statement_seconds=_PATIENCE_S)
    count_steps(engine, datetime.now(UTC))
    engine.dispose()


def warm(where: Place) -> None:
    """Read once what checks have in memory on a server that has answered for a day: links by index, suppressions."""
    orders = {
        "contact_links": ("contact, user_id", "contact, user_id"),
        "suppressions": ("*", "contact, phone_number_id, scope, reason"),
    }
    with connect(where.url, application="benchmark", statement_seconds=_PATIENCE_S) as connection:
        for switch in ("seqscan", "bitmapscan", "sort"):
            connection.execute(sql.SQL("SET enable_{} = off").format(sql.SQL(switch)))
        connection.execute("SET max_parallel_workers_per_gather = 0")
        for table, (columns, order) in orders.items():
            inner = f"SELECT {columns} FROM {table} ORDER BY {order} OFFSET 0"
            # Of the row: to count a column, an index alone is read, whatever else is named.
            connection.execute(sql.SQL(f"SELECT count(t) FROM ({inner}) t"))


def _incident(url: str, now: datetime) -> None:
    """Evaluate the default rules until the incident fires, and multiply it into the past."""
    engine = make_engine(url, application="benchmark", pool_size=0)
    rules, memory = parse_rules(_RULES.read_text(encoding="utf-8")), ReadCache()
    for seconds in (30, 15, 0):
        evaluate(engine, rules, now - timedelta(seconds=seconds), memory=memory)
    engine.dispose()
    with connect(url, application="benchmark") as connection:
        connection.execute(_PAST, [_PAST_ALERTS])


def _read(connection: psycopg.Connection[Any]) -> Filled | None:
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
        raise SystemExit("the database holds events that this did not make: give an empty one")


@contextmanager
def _unsafe(where: Place) -> Iterator[None]:
    """A server of our own need not survive a power cut while it is filled."""
    with connect(where.url, application="benchmark") as connection:
        for setting in _QUICK if where.pid else ():
            connection.execute(f"ALTER SYSTEM SET {setting}")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            for setting in _QUICK if where.pid else ():
                connection.execute(f"ALTER SYSTEM RESET {setting.split()[0]}")
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("CHECKPOINT")
