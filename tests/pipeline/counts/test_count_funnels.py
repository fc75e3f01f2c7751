"""However webhooks come and whenever they are counted, funnels say what counting the events one by one says."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import asdict
from sqlalchemy import Connection, Engine, text

from tests.support.factories import NUMBER, body, status
from webhook_app.pipeline.counts import count_funnels as step_counting
from webhook_app.pipeline.counts.count_funnels import SETTLED, count_stages
from webhook_app.pipeline.operations.prune import Retention, prune
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.store.counts.messages import stages
from webhook_app.store.counts.messages.funnels import funnel, latencies
from webhook_app.store.counts.rates import Filters
from webhook_app.store.postgres.engine import driver
from webhook_app.whatsapp.receiving.payload import parse
from webhook_app.whatsapp.receiving.pricing import BILLINGS, pricing_of

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW.replace(minute=0, second=0) - 30 * HOUR
TABLES = (
    *(
        "status_events",
        "failures",
        "messages",
        "minute_counts",
        "failed_messages",
        "failure_counts",
        "deliveries",
    ),
    *("message_stages", "stage_counts", "stage_recounts", "stage_progress", "books", "sends"),
)
IMPLIED = {
    "sent": ("sent",),
    "delivered": ("delivered",),
    "read": ("delivered", "read"),
    "played": ("delivered", "read"),
    "failed": ("failed",),
}
WINDOWS = (
    (START, START + 31 * HOUR),
    (START + 3 * HOUR, START + 4 * HOUR),
    (START + HOUR + 30 * MINUTE, START + HOUR + 31 * MINUTE),
    (START + 59 * MINUTE, START + 2 * HOUR + 1 * MINUTE),
    (START + 23 * HOUR + 59 * MINUTE, START + 29 * HOUR + 30 * MINUTE),
)


@st.composite
def statuses(draw: st.DrawFn) -> dict[str, Any]:
    """Few messages and moments, on both sides of minutes, hours and a day."""
    serial = draw(st.integers(0, 3))
    hours = draw(st.sampled_from((0, 1, 2, 3, 23, 24, 29)))
    at = (
        START
        + hours * HOUR
        + draw(st.sampled_from((0, 1, 59, 1799, 1800, 1860, 3540, 3599))) * timedelta(seconds=1)
    )
    kind = draw(st.sampled_from(tuple(IMPLIED)))
    more: dict[str, Any] = {"biz_opaque_callback_data": f"template=t{draw(st.integers(serial % 2, 1))}"}
    if draw(st.booleans()):
        category = draw(st.sampled_from(("marketing", "utility")))
        billable = draw(st.sampled_from((True, False, None)))
        more["pricing"] = {"category": category, "pricing_model": "PMP", "billable": billable}
    code = draw(st.sampled_from((131026, 131049))) if kind == "failed" else None
    return status(f"wamid.{serial}", kind, at, code=code, **more)


@st.composite
def days(draw: st.DrawFn) -> list[list[dict[str, Any]] | str]:
    """Deliveries in any order, some of them twice, and between them what else happens to the counts."""
    whole = draw(st.lists(statuses(), min_size=1, max_size=20))
    shuffled = draw(st.permutations(whole + draw(st.lists(st.sampled_from(whole), max_size=6))))
    happening: list[list[dict[str, Any]] | str] = []
    rest = list(shuffled)
    while rest:
        size = draw(st.integers(1, 5))
        happening.append(rest[:size])
        rest = rest[size:]
        happening.append(draw(st.sampled_from(("nothing", "look", "count", "count", "ask", "recount"))))
    return happening


class Model:
    """Funnels by hand: the first of each step, under the greatest series, category and billing of its events."""

    def __init__(self, connection: Connection) -> None:
        rows = connection.execute(
            text(
                "SELECT message_id, status, occurred_at, series_id, category, template, pricing"
                " FROM status_events e JOIN series s ON s.id = e.series_id"
            )
        ).all()
        self.first: dict[str, dict[str, datetime]] = defaultdict(dict)
        self.series: dict[str, tuple[int, str]] = {}
        self.category: dict[str, str] = defaultdict(str)
        self.billing: dict[str, int] = defaultdict(int)
        for row in rows:
            for step in IMPLIED[row.status]:
                known = self.first[row.message_id].get(step, row.occurred_at)
                self.first[row.message_id][step] = min(known, row.occurred_at)
            named = (row.series_id, row.template)
            self.series[row.message_id] = max(self.series.get(row.message_id, named), named)
            self.category[row.message_id] = max(self.category[row.message_id], row.category)
            billing = BILLINGS.index(pricing_of(row.pricing).billing)
            self.billing[row.message_id] = max(self.billing[row.message_id], billing)

    def funnel(self, start: datetime, end: datetime) -> dict[tuple[str, str, str], Counter[str]]:
        found: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        for message, first in self.first.items():
            for step, at in first.items():
                if start <= at < end:
                    billing = BILLINGS[self.billing[message]]
                    counts = found[self.series[message][1], self.category[message], billing]
                    counts[step] += 1
                    counts["unread"] += step == "delivered" and "read" not in first
        return found

    def latencies(self, start: datetime, end: datetime) -> tuple[list[float], list[float]]:
        def took(before: str, after: str) -> list[float]:
            pairs = ((first.get(before), first.get(after)) for first in self.first.values())
            inside = ((a, b) for a, b in pairs if a and b and start <= a <= b < end)
            return sorted((b - a).total_seconds() for a, b in inside)

        return took("sent", "delivered"), took("delivered", "read")


def check(engine: Engine, windows: Sequence[tuple[datetime, datetime]] = WINDOWS) -> None:
    with engine.connect() as connection:
        model = Model(connection)
        for start, end in windows:
            found = funnel(connection, start, end, ("template", "category", "billing"))
            counted = {key: Counter(asdict(stages_of_group)) for key, stages_of_group in found.items()}
            expected = model.funnel(start, end)
            assert counted == {key: counter for key, counter in expected.items() if counter}
            one = funnel(connection, start, end, (), Filters(template="t1"), "billable")
            wanted = sum(c["sent"] for (t, _, b), c in expected.items() if (t, b) == ("t1", "billable"))
            assert sum(s.sent for s in one.values()) == wanted
            took = latencies(connection, start, end, (0.0, 1.0))
            to_delivered, to_read = model.latencies(start, end)
            assert (took.delivered, took.read) == (len(to_delivered), len(to_read))
            assert took.to_delivered == ([to_delivered[0], to_delivered[-1]] if to_delivered else [])
            assert took.to_read == ([to_read[0], to_read[-1]] if to_read else [])


def tell(writer: BatchWriter, items: Sequence[dict[str, Any]], at: datetime = NOW) -> None:
    writer.store([Delivery(body(*items))], at)


@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(happening=days())
def test_stages_equal_the_events_in_any_order_with_repeats_and_at_any_time_of_counting(
    engine, writer, happening
):
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(f"DELETE FROM {table}"))
    clock = NOW - len(happening) * MINUTE
    for what in happening:
        clock += MINUTE  # runs overlap: what came within the last two minutes is counted again
        if what in ("count", "recount"):
            count_stages(engine, clock)
        if what in ("ask", "recount"):
            with engine.begin() as connection:
                stages.request_recount(
                    driver(connection), [(f"wamid.{serial}", NUMBER) for serial in (0, 1, 1, 9)]
                )
        if isinstance(what, list):
            tell(writer, what, clock)
        if what == "look":
            check(engine, WINDOWS[:1])
    check(engine)
    count_stages(engine, clock + 10 * MINUTE)
    check(engine)
    with engine.connect() as connection:
        progress = connection.execute(text("SELECT counted_until FROM stage_progress")).scalar_one()
        hours, minutes = (
            connection.execute(
                text(
                    "SELECT sum(sent), sum(delivered), sum(read), sum(failed), sum(unread)"
                    " FROM stage_counts WHERE unit = :unit"
                ),
                {"unit": unit},
            ).one()
            for unit in (60, 1)
        )
    assert progress == clock + 10 * MINUTE - SETTLED
    assert hours == minutes


def test_history_is_counted_in_spans_and_only_once(engine, writer, monkeypatch):
    monkeypatch.setattr(step_counting, "_MANY", 2)
    monkeypatch.setattr(step_counting, "_FEW", 1)
    for hours in range(60):
        at = NOW - hours * HOUR
        tell(writer, [status(f"wamid.{hours}.{n}", "sent", at) for n in range(1 + hours % 4)], at)
    sent = sum(1 + hours % 4 for hours in range(60))
    assert count_stages(engine, NOW + MINUTE) == sent
    assert count_stages(engine, NOW + 2 * MINUTE) == 1, (
        "only what came in the last two minutes is looked at again"
    )
    with engine.connect() as connection:
        found = funnel(connection, NOW - 3 * DAY, NOW + MINUTE)
        counted = connection.execute(text("SELECT sum(sent) FROM stage_counts WHERE unit = 60")).scalar_one()
    assert (found[()].sent, counted) == (sent, sent)


def test_a_burst_that_takes_longer_than_a_statement_may_is_counted_in_shorter_spans(engine, writer):
    for second in range(0, 60, 5):
        at = NOW - 5 * MINUTE + timedelta(seconds=second)
        tell(writer, [status(f"wamid.{second}.{n}", "sent", at) for n in range(2)], at)
    with engine.begin() as connection:
        connection.execute(
            text("""
CREATE FUNCTION refuse_many() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF (SELECT count(*) FROM added) > 4 THEN
    RAISE EXCEPTION 'statement timeout' USING ERRCODE = 'query_canceled';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER refuse_many AFTER INSERT ON message_stages REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION refuse_many()
""")
        )
    try:
        assert count_stages(engine, NOW) == 24
    finally:
        with engine.begin() as connection:
            connection.execute(text("DROP TRIGGER refuse_many ON message_stages; DROP FUNCTION refuse_many"))


def test_a_read_received_first_is_replaced_by_the_earlier_delivered_of_another_day(engine, writer):
    yesterday, today = NOW - DAY, NOW - 5 * MINUTE
    tell(writer, [status("wamid.A", "read", today)])
    count_stages(engine, NOW)
    tell(writer, [status("wamid.A", "sent", yesterday), status("wamid.A", "delivered", yesterday)])
    count_stages(engine, NOW)
    with engine.connect() as connection:
        (then,) = funnel(connection, NOW - 25 * HOUR, NOW - 23 * HOUR).values()
        (now,) = funnel(connection, NOW - HOUR, NOW).values()
        (both,) = funnel(connection, NOW - 25 * HOUR, NOW).values()
    assert [(s.sent, s.delivered, s.read) for s in (then, now, both)] == [(1, 1, 0), (0, 0, 1), (1, 1, 1)]


def test_events_replayed_with_an_old_time_of_receipt_are_counted(engine, writer):
    count_stages(engine, NOW)
    late = parse(body(status("wamid.A", "sent", NOW - DAY)))
    writer.store_again([late], NOW - DAY, lambda *_: None, NOW)
    count_stages(engine, NOW)
    count_stages(engine, NOW)
    with engine.connect() as connection:
        assert funnel(connection, NOW - 2 * DAY, NOW)[()].sent == 1


def test_after_a_run_whose_clock_was_ahead_everything_is_counted(engine, writer):
    tell(writer, [status("wamid.A", "sent", NOW)], NOW)
    count_stages(engine, NOW + 2 * HOUR)
    tell(writer, [status("wamid.B", "sent", NOW)], NOW + MINUTE)
    later = NOW + 20 * MINUTE  # another scheduler, which took over
    tell(writer, [status("wamid.C", "sent", later)], later)
    count_stages(engine, later)
    with engine.connect() as connection:
        assert funnel(connection, NOW - HOUR, NOW + HOUR)[()].sent == 3
        assert stages.counted_until(connection) == later - SETTLED


def test_counts_are_deleted_with_their_events_and_nothing_is_counted_twice(engine, writer):
    old = NOW - 12 * DAY
    tell(writer, [status("wamid.OLD", "sent", old), status("wamid.LONG", "sent", old)])
    tell(writer, [status("wamid.LONG", "read", NOW - HOUR), status("wamid.NEW", "sent", NOW - HOUR)])
    count_stages(engine, NOW + MINUTE)
    prune(engine, NOW, Retention(events_days=10, failures_days=10, raw_days=10, counts_days=10))
    count_stages(engine, NOW + MINUTE)
    with engine.connect() as connection:
        (found,) = funnel(connection, NOW - 20 * DAY, NOW).values()
        left = connection.execute(text("SELECT count(*) FROM message_stages")).scalar_one()
    assert (found.sent, found.read, left) == (1, 1, 2)
