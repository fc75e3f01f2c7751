"""Reports and ingest: sends and webhooks of the same messages, in any order and repetition, are counted once.

The model shares no code with the store: it reads the reported calls and the items in Meta's shape.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from sqlalchemy import Engine, text

from tests.support.factories import body, status
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.sends.reports import follow_up, register
from webhook_app.store.counts.rates import rates
from webhook_app.store.postgres.engine import connect
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.sends.graph_errors import read_graph_error
from webhook_app.whatsapp.sends.send_reports import SendReport, generated_message_id

START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=30)
NUMBERS = ("590238114470021", "590238114470038")
CODES = (131026, 131049, 190)
CARRYING = (0, 1)
"""Messages whose webhooks carry their template; of the others only the sender knows it."""

TABLES = (
    *("status_events", "failures", "messages", "minute_counts", "failure_counts", "failed_messages", "sends"),
    *("deliveries", "books", "contact_links"),
)

Key = tuple[str, str]


class Item(Struct, frozen=True, kw_only=True):
    """One event of one message: a status by webhook, or a call by the sender ('accepted' or 'refused')."""

    kind: str
    serial: int
    number: str
    at: datetime
    code: int = -1
    has_id: bool = True

    @property
    def message_id(self) -> str:
        if self.has_id:
            return f"wamid.{self.serial}"
        return generated_message_id(
            self.contact, self.number, self.template, "", self.error, self.at, self.at
        )

    @property
    def contact(self) -> str:
        return f"1202555010{self.serial}"

    @property
    def template(self) -> str:
        return f"t{self.serial % 2}"

    @property
    def error(self) -> Any:
        return read_graph_error({"code": self.code, "message": "no"}) if self.kind == "refused" else None

    @property
    def by_webhook(self) -> bool:
        return self.kind not in ("accepted", "refused")

    def report(self) -> SendReport:
        return SendReport(
            message_id=self.message_id,
            phone_number_id=self.number,
            contact=self.contact,
            template=self.template,
            campaign="",
            category="",
            sent_at=self.at,
            error=self.error,
            endpoint="",
            request_json="",
        )

    def status(self) -> dict[str, Any]:
        callback = (
            {"biz_opaque_callback_data": f"template={self.template}"} if self.serial in CARRYING else {}
        )
        code = self.code if self.kind == "failed" else None
        return status(self.message_id, self.kind, self.at, recipient=self.contact, code=code, **callback)


@st.composite
def items(draw: st.DrawFn) -> Item:
    kinds = ("sent", "delivered", "read", "failed", "failed", "accepted", "refused", "refused")
    kind = draw(st.sampled_from(kinds))
    by_webhook = kind not in ("accepted", "refused")
    return Item(
        kind=kind,
        serial=draw(st.integers(0, 3)),
        number=draw(st.sampled_from(NUMBERS if by_webhook else (*NUMBERS, ""))),
        at=START + timedelta(seconds=draw(st.integers(0, 9)) * 60 + draw(st.sampled_from((0, 59)))),
        code=draw(st.sampled_from(CODES)) if kind in ("failed", "refused") else -1,
        has_id=kind != "refused" or draw(st.integers(0, 3)) > 0,
    )


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Item], list[list[Item]]]:
    """A set of items, and one way they could arrive: shuffled, repeated, split into calls."""
    whole = draw(st.lists(items(), min_size=1, max_size=14))
    rest = list(draw(st.permutations(whole + draw(st.lists(st.sampled_from(whole), max_size=6)))))
    parts = []
    while rest:
        size = draw(st.integers(1, 4))
        part, rest = rest[:size], rest[size:]
        parts += [[i for i in part if not i.by_webhook]]
        parts += [[i for i in part if i.by_webhook and i.number == number] for number in NUMBERS]
    return whole, [part for part in parts if part]


class Model:
    """What the tables must say."""

    def __init__(self, whole: Sequence[Item]) -> None:
        self.events: dict[tuple[str, str, str, datetime, int], str] = {}
        numbers: dict[str, set[str]] = defaultdict(set)
        reported: set[Key] = {(i.message_id, i.number) for i in whole if not i.by_webhook}
        for item in whole:
            if item.by_webhook:
                knows = item.serial in CARRYING or bool(
                    reported & {(item.message_id, item.number), (item.message_id, "")}
                )
                self.events[item.message_id, item.number, item.kind, item.at, item.code] = (
                    item.template if knows else ""
                )
                numbers[item.message_id].add(item.number)
        by_webhook = {(m, n, code) for m, n, kind, _, code in self.events if kind == "failed"}
        calls: dict[tuple[str, str, int], Item] = {}
        refused = [i for i in whole if i.kind == "refused"]
        for item in refused:
            named = numbers[item.message_id] or {
                i.number for i in refused if i.message_id == item.message_id and i.number
            }
            number = item.number or min(named, default="")
            calls[item.message_id, number, item.code] = min(
                calls.get((item.message_id, number, item.code), item), item, key=lambda i: i.at
            )
        for (message_id, number, code), item in calls.items():
            if (message_id, number, code) not in by_webhook:
                self.events[message_id, number, "failed", item.at, code] = item.template

    def rates(
        self, start: datetime, end: datetime
    ) -> tuple[int, int, dict[int, int], dict[str, tuple[int, int]]]:
        sent, failed = defaultdict(list), defaultdict(list)
        for (message_id, number, kind, at, code), template in self.events.items():
            if kind == "sent":
                sent[message_id, number].append((at, template))
            if kind == "failed":
                failed[message_id, number].append((at, code, template))
        inside = lambda at: start <= at < end  # noqa: E731
        counts = lambda code: explain(code).failure_class != "withheld"  # noqa: E731
        counted = [min(times) for times in sent.values()]
        counted += [(min(times)[0], min(times)[2]) for key, times in failed.items() if key not in sent]
        attempts = Counter(template for at, template in counted if inside(at))
        failures: Counter[str] = Counter()
        per_code: Counter[int] = Counter()
        total = 0
        for times in failed.values():
            per_code.update({code for at, code, _ in times if inside(at)})
            hit = {template for at, code, template in times if inside(at) and counts(code)}
            failures.update(hit)
            total += bool(hit)
        groups = {name: (attempts[name], failures[name]) for name in attempts | failures}
        return sum(attempts.values()), total, dict(per_code), groups


def check(engine: Engine, whole: Sequence[Item]) -> None:
    model = Model(whole)
    with engine.connect() as connection:

        def rows(statement: str) -> set[Any]:
            return {tuple(row) for row in connection.execute(text(statement))}

        identity = "message_id, phone_number_id, status, occurred_at, error_code"
        assert rows(f"SELECT {identity} FROM status_events") == set(model.events)
        assert rows(
            "SELECT message_id, phone_number_id, 'failed', occurred_at, error_code FROM failures"
        ) == {key for key in model.events if key[2] == "failed"}
        attempted = {key[:2] for key in model.events if key[2] in ("sent", "failed")}
        assert rows("SELECT message_id, phone_number_id FROM messages") == attempted
        failed = Counter(key[:2] for key in model.events if key[2] == "failed")
        assert rows("SELECT message_id, phone_number_id, alone FROM failed_messages") == {
            (*key, count == 1) for key, count in failed.items()
        }
        by_minute = "SELECT date_trunc('minute', occurred_at), series_id, count(*) FROM status_events"
        for kind in ("sent", "delivered", "read", "failed"):
            counted = f"SELECT minute, series_id, sum({kind}) FROM minute_counts"
            assert rows(f"{counted} GROUP BY 1, 2 HAVING sum({kind}) <> 0") == rows(
                f"{by_minute} WHERE status = '{kind}' GROUP BY 1, 2"
            )
        for first, last in ((0, 30), (2, 6), (4, 5)):
            start, end = START + timedelta(minutes=first), START + timedelta(minutes=last)
            attempts, failures, per_code, groups = model.rates(start, end)
            table = rates(connection, start, end, ["code"])
            assert (table.attempts, table.failures) == (attempts, failures)
            assert {group["code"]: group["failures"] for group in table.groups} == per_code
            by_template = rates(connection, start, end, ["template"]).groups
            assert {g["template"]: (g["attempts"], g["failures"]) for g in by_template} == groups


@pytest.fixture
def clean(engine: Engine) -> Callable[[], None]:
    def wipe() -> None:
        with engine.begin() as connection:
            for table in TABLES:
                connection.execute(text(f"DELETE FROM {table}"))

    return wipe


def tell(engine: Engine, writer: BatchWriter, parts: Sequence[Sequence[Item]]) -> None:
    for part in parts:
        if part[0].by_webhook:
            sent = body(*(item.status() for item in part), number=part[0].number)
            writer.store([Delivery(sent)], datetime.now(UTC))
        else:
            with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                register(connection, [item.report() for item in part], datetime.now(UTC), reported_by="shop")


quiet = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@quiet
@given(stream=streams())
def test_any_order_of_sends_and_webhooks_gives_the_tables_of_the_model(
    engine: Engine,
    database_url: str,
    clean: Callable[[], None],
    stream: tuple[list[Item], list[list[Item]]],
) -> None:
    clean()
    whole, parts = stream
    writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=0)
    tell(engine, writer, parts)
    writer.close()
    check(engine, whole)
    follow_up(engine, datetime.now(UTC) + timedelta(minutes=2))
    check(engine, whole)


@settings(quiet, max_examples=12)
@given(stream=streams(), seed=st.randoms(use_true_random=False))
def test_two_concurrent_streams_of_everything_agree_after_the_follow_up(
    engine: Engine,
    database_url: str,
    clean: Callable[[], None],
    stream: tuple[list[Item], list[list[Item]]],
    seed: Any,
) -> None:
    clean()
    whole, parts = stream
    orders = [seed.sample(parts, len(parts)) for _ in range(2)]
    faults: list[BaseException] = []

    def run(slot: int) -> None:
        writer = BatchWriter(lambda: connect(database_url, application="tests"), slot=slot)
        try:
            tell(engine, writer, orders[slot])
        except BaseException as fault:  # noqa: BLE001  shown by the main thread
            faults.append(fault)
        finally:
            writer.close()

    threads = [threading.Thread(target=run, args=(slot,)) for slot in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    follow_up(engine, datetime.now(UTC) + timedelta(minutes=2))
    check(engine, whole)
