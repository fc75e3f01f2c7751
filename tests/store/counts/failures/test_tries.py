"""Earlier tries of a failure are read by its contact, whatever the statistics say of other indexes."""

import pytest
from sqlalchemy import Connection, text

from webhook_app.store.counts.failures import failures

# ANALYZE knows of many templates and codes within seconds; then each contact fails once with one of them.
SERIES = """
INSERT INTO series (phone_number_id, waba_id, template, campaign, country)
SELECT 'n', 'w', 't' || i, '', 'US' FROM generate_series(1, 400) i
"""
FAILURES = """
INSERT INTO failures (message_id, phone_number_id, occurred_at, participant, error_code, contact, series_id,
                      received_at)
SELECT '{kind}' || i, 'n', now() - i % {seconds} * interval '1 s', '', 130429 + i % {codes}, i % {contacts},
       (SELECT min(id) FROM series) + i % {series}, now() FROM generate_series(1, {rows}) i
"""
BEFORE = FAILURES.format(kind="d", seconds=5, codes=10, contacts=5000, series=399, rows=5000)
OUTAGE = FAILURES.format(kind="x", seconds=60, codes=1, contacts=500, series=1, rows=500)
READ = text(
    "SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_xact_all_tables WHERE relname LIKE 'failures%'"
)


@pytest.fixture
def outage(connection: Connection) -> Connection:
    for statement in (SERIES, BEFORE, "ANALYZE failures", OUTAGE):
        connection.execute(text(statement))
    return connection


def test_the_tries_of_an_outage_are_read_by_contact(outage: Connection) -> None:
    page = "WITH page AS MATERIALIZED (SELECT * FROM failures f WHERE message_id LIKE 'x%')"
    before = outage.execute(READ).scalar_one()
    rows = outage.execute(text(page + failures.ROWS), {"counted": list(failures.COUNTED)}).all()
    read = outage.execute(READ).scalar_one() - before
    assert len(rows) == 500
    assert read < 10_000, "else each reads the failures of the others"
