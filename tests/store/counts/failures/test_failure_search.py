"""The search returns exactly the failures that a scan of all failures finds, in order and page by page."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from webhook_app.rules.people.holders import Span
from webhook_app.store.counts.failures import failure_search, failures
from webhook_app.store.counts.failures.failure_filters import FailureFilters
from webhook_app.store.counts.failures.failure_search import search
from webhook_app.store.postgres import partitions
from webhook_app.store.postgres.engine import make_engine
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.errors.retry import retry_advice

EARLIEST = datetime.min.replace(tzinfo=UTC)
CODES = [131026] * 6 + [131049, 131053, 131000, 131000, 130429, 130429, 190, 132015, 987654, -1]
DETAILS = ["", "http code 404", "100 % of 5_000", r"back\slash", "Größe"]


@pytest.fixture(scope="module")
def now():
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def history(database, now):
    """A connection whose transaction holds the failures of all tests, and their rows."""
    engine = make_engine(database.url, application="tests", pool_size=0)
    with engine.connect() as opened:
        yield opened, store_failures(opened, now)
        opened.rollback()


@pytest.fixture
def connection(history):
    opened, _ = history
    with opened.begin_nested() as savepoint:
        yield opened
        savepoint.rollback()


@pytest.fixture
def stored(history):
    _, rows = history
    return rows


def store_failures(connection, now):
    """Some hundred failures over four months: bursts within one second, tries repeated, one in no partition."""
    chance = random.Random(7)
    partitions.ensure(connection, now, days_back=95)
    connection.execute(
        text(
            "INSERT INTO series (phone_number_id, waba_id, template, campaign, country)"
            " SELECT 'n' || i % 3, 'w', (ARRAY['', 'offer', 'code'])[1 + i % 3], 'c' || i,"
            " (ARRAY['DE', 'US'])[1 + i % 2] FROM generate_series(1, 12) i"
        )
    )
    series = connection.execute(text("SELECT id, * FROM series")).mappings().all()
    moments = [now - timedelta(seconds=chance.randrange(90 * 86400)) for _ in range(120)]
    moments.append(datetime(2020, 2, 3, tzinfo=UTC))
    rows = []
    for index in range(900):
        where = chance.choice(series)
        code = chance.choice(CODES)
        rows.append(
            {
                "message_id": f"wamid.{index}",
                "phone_number_id": where["phone_number_id"],
                "occurred_at": chance.choice(moments) + timedelta(seconds=chance.randrange(3)),
                "error_code": code,
                "error_subcode": chance.choice([463, -1]) if code == 190 else -1,
                "contact": f"1202555{chance.randrange(4):04}" if chance.random() < 0.9 else "",
                "series_id": where["id"],
                "title": f"Title {code}",
                "details": chance.choice(DETAILS),
                "source": "send" if code == 190 else "webhook",
            }
        )
    for again in range(12):  # the same message, tried again and again
        rows.append(
            rows[0]
            | {
                "message_id": f"wamid.again{again}",
                "error_code": 130429,
                "title": "Title 130429",
                "occurred_at": now - timedelta(days=40, seconds=again),
                "error_subcode": -1,
                "source": "webhook",
                "contact": "12025550000",
            }
        )
    connection.execute(
        text(
            "INSERT INTO failures (message_id, phone_number_id, occurred_at, error_code, error_subcode, contact,"
            " series_id, title, details, source, received_at)"
            " VALUES (:message_id, :phone_number_id, :occurred_at, :error_code,"
            " :error_subcode, :contact, :series_id, :title, :details, :source, :occurred_at)"
        ),
        rows,
    )
    known = {each["id"]: each for each in series}
    return [dict(known[row["series_id"]]) | row for row in rows]


def place(row):
    return failures.FailurePosition(
        row["occurred_at"], row["message_id"], row["phone_number_id"], "", row["error_code"]
    )


def with_tries(rows):
    seen = defaultdict(int)
    for row in sorted(rows, key=place):
        counted = row["contact"] and row["error_code"] in failures.COUNTED
        key = row["contact"], row["series_id"], row["error_code"], row["occurred_at"].date()
        yield row | {"tries": seen[key] if counted else 0}
        seen[key] += 1


def is_within(row, span):
    return row["contact"] == span.key and span.since <= row["occurred_at"] < span.until


def is_wanted(row, asked):
    entry = explain(row["error_code"], row["error_subcode"] if row["error_subcode"] >= 0 else None)
    plain = ("phone_number_id", "template", "campaign", "country", "source")
    words = asked.text.lower() if asked.text is not None else ""
    return (
        all(getattr(asked, name) in (None, row[name]) for name in plain)
        and asked.code in (None, row["error_code"])
        and asked.subcode in (None, row["error_subcode"])
        and asked.failure_class in (None, entry.failure_class)
        and asked.domain in (None, entry.domain)
        and (asked.spans is None or any(is_within(row, span) for span in asked.spans))
        and (asked.since is None or row["occurred_at"] >= asked.since)
        and (asked.until is None or row["occurred_at"] < asked.until)
        and (words in row["title"].lower() or words in row["details"].lower())
        and (not asked.dead_letter or retry_advice(entry, row["tries"]).final)
    )


def pages(connection, asked, limit):
    found, before = [], None
    while page := search(connection, asked, limit, before):
        assert len(page) <= limit
        found += page
        before = page[-1].place
    return found


def questions(now):
    chance, middle = random.Random(11), now - timedelta(days=30)
    choices = {
        "code": [131026, 130429, 190, 987654, 42],
        "subcode": [463],
        "failure_class": ["broken", "withheld", "unreachable"],
        "domain": ["rate_limit", "template", "auth"],
        "source": ["send", "webhook"],
        "text": ["HTTP CODE", "% of 5_", "back\\s", "title 13", "nothing of the kind"],
        "phone_number_id": ["n0", "n1", "n9"],
        "template": ["", "offer"],
        "campaign": ["c3"],
        "country": ["DE"],
        "spans": [
            (Span("12025550000", EARLIEST, now),),
            (Span("12025550001", EARLIEST, middle), Span("12025550002", middle, now)),
            tuple(Span(f"1202555000{place}", now - timedelta(days=40, seconds=6), now) for place in range(4)),
        ],
        "since": [now - timedelta(days=60), now - timedelta(days=10)],
        "until": [now - timedelta(days=35), now - timedelta(days=5)],
        "dead_letter": [True],
    }
    yield {}
    for name, values in choices.items():
        yield from ({name: value} for value in values)
    for _ in range(60):
        names = chance.sample(sorted(choices), chance.choice([2, 2, 3, 4]))
        yield {name: chance.choice(choices[name]) for name in names}


def test_pages_hold_what_a_scan_of_all_failures_finds(connection, stored, now, monkeypatch):
    monkeypatch.setattr(failure_search, "_NEWEST_SCANNED", 50)
    rows = sorted(with_tries(stored), key=place, reverse=True)
    some = 0
    for question in questions(now):
        asked = FailureFilters(**question)
        expected = [(place(row), row["tries"]) for row in rows if is_wanted(row, asked)]
        found = [(failure.place, failure.tries) for failure in pages(connection, asked, 70)]
        assert found == expected, question
        some += bool(expected)
    assert some > 50


def test_a_page_starts_after_its_position_even_if_newer_failures_arrived(connection, stored, now):
    first = search(connection, FailureFilters(), 10)
    series_id = stored[0]["series_id"]
    connection.execute(
        text(
            "INSERT INTO failures (message_id, phone_number_id, occurred_at, error_code, series_id, received_at)"
            " VALUES ('wamid.new', 'n1', :now, 1, :series_id, :now)"
        ),
        {"now": now + timedelta(seconds=9), "series_id": series_id},
    )
    assert [f.message_id for f in search(connection, FailureFilters(), 1)] == ["wamid.new"]
    following = search(connection, FailureFilters(), 10, first[-1].place)
    everything = search(connection, FailureFilters(), 21)[1:]
    assert [f.place for f in (*first, *following)] == [f.place for f in everything]


def test_a_failure_is_found_by_its_position_with_its_series(connection, stored):
    row = stored[3]
    found = failures.find(connection, place(row))
    assert (found.details, found.template, found.country) == (row["details"], row["template"], row["country"])
    assert failures.find(connection, place(row)._replace(error_code=77)) is None


def test_a_changed_error_is_found_by_its_new_text(connection, stored):
    row = stored[3]
    connection.execute(
        text("UPDATE failures SET details = 'Told later', error_subcode = 33 WHERE message_id = :message_id"),
        row,
    )
    for asked in (FailureFilters(text="told LATER"), FailureFilters(subcode=33)):
        assert [f.message_id for f in search(connection, asked, 5)] == [row["message_id"]]


def test_rare_failures_are_found_by_the_index_over_errors_and_series(connection, stored):
    connection.execute(failure_search._PLAN_BY_INDEX)
    plan = connection.execute(
        text(
            "EXPLAIN SELECT occurred_at FROM failures"
            " WHERE error_id = ANY(ARRAY[1, 2]) AND series_id = ANY(ARRAY[1, 2])"
        )
    ).scalars()
    assert "Only Scan" in "\n".join(plan)
