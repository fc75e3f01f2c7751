"""Reads the facts for findings: messages and failures by day, and contacts that a campaign did not reach."""

from datetime import datetime, timedelta

from sqlalchemy import text

from webhook_app.rules.incidents.findings.finding import DAY, CountedDays
from webhook_app.store.counts.series import series_keys
from webhook_app.store.postgres.engine import Connection

_ATTEMPTS = text("""
SELECT (hour AT TIME ZONE 'UTC')::date - CAST(:day AS date) AS day, series_id, sum(attempts)::bigint AS messages
FROM hourly_counts WHERE hour >= :first AND hour < :end GROUP BY 1, 2 HAVING sum(attempts) > 0
""")
_FAILURES = text("""
SELECT (hour AT TIME ZONE 'UTC')::date - CAST(:day AS date) AS day, series_id, error_code,
       sum(failures)::bigint AS messages
FROM hourly_failures WHERE hour >= :first AND hour < :end GROUP BY 1, 2, 3
""")
_REPORTED = text("""
SELECT (hour AT TIME ZONE 'UTC')::date - CAST(:day AS date) AS day, series_id, error_code,
       sum(attempts)::bigint AS attempts, sum(failures)::bigint AS failures
FROM hourly_reports WHERE hour >= :first AND hour < :end GROUP BY 1, 2, 3
""")
_UNREACHABLE = text("""
SELECT DISTINCT contact FROM failures
WHERE occurred_at >= :since AND occurred_at < :until AND error_code = :code AND contact <> '' AND source <> 'send'
  AND series_id IN (SELECT id FROM series WHERE campaign = :campaign AND waba_id = :waba_id)
LIMIT :limit
""")
A_YEAR = timedelta(days=365)
"""How far back a delivered message or an answer says that a contact was reached."""
MOST_CONTACTS = 50_000
"""Contacts that are read at most for one campaign."""


def read_days(connection: Connection, first: datetime, days: int) -> CountedDays:
    """The messages and failures of so many days from midnight UTC of `first`, from the hourly sums."""
    span = {"first": first, "day": first.date(), "end": first + DAY * days}
    found = CountedDays(first, days)
    attempts = connection.execute(_ATTEMPTS, span).all()
    failures = connection.execute(_FAILURES, span).all()
    known = series_keys(connection, {row.series_id for row in attempts} | {row.series_id for row in failures})
    for row in attempts:
        found.add_attempts(row.day, known[row.series_id], row.messages)
    for row in failures:
        found.add_failures(row.day, row.error_code, known[row.series_id], row.messages)
    return found


def without_reports(connection: Connection, counted: CountedDays) -> CountedDays | None:
    """These days without what only reports of senders show; None where they show nothing."""
    first, days = counted.starts[0], len(counted.starts)
    span = {"first": first, "day": first.date(), "end": first + DAY * days}
    rows = connection.execute(_REPORTED, span).all()
    if not rows:
        return None
    found = CountedDays(first, days)
    found.attempts = {series: list(each) for series, each in counted.attempts.items()}
    found.failures = {key: list(each) for key, each in counted.failures.items()}
    known = series_keys(connection, {row.series_id for row in rows})
    for row in rows:
        found.add_attempts(row.day, known[row.series_id], -row.attempts)
        found.add_failures(row.day, row.error_code, known[row.series_id], -row.failures)
    return found


def unreachable_contacts(
    connection: Connection, campaign: str, waba_id: str, code: int, since: datetime, until: datetime
) -> list[str]:
    """The contacts of the campaign whose messages failed with the code, as webhooks say, up to a limit."""
    values = {
        "campaign": campaign,
        "waba_id": waba_id,
        "code": code,
        "since": since,
        "until": until,
        "limit": MOST_CONTACTS,
    }
    return list(connection.execute(_UNREACHABLE, values).scalars())
