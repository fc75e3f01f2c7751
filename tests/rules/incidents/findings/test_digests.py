"""The digest is due on Mondays from 08:00 UTC, once."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.incidents.findings.digests import digest_time

MONDAY = datetime(2026, 3, 16, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("now", "last", "due"),
    [
        (MONDAY, None, MONDAY),
        (MONDAY + 3 * HOUR, MONDAY - timedelta(days=7), MONDAY),
        (MONDAY + HOUR, MONDAY, None),
        (MONDAY - HOUR, None, None),
        (MONDAY + 13 * HOUR, None, None),
        (MONDAY + timedelta(days=1), None, None),
    ],
)
def test_it_is_due_once_on_mondays(now: datetime, last: datetime | None, due: datetime | None) -> None:
    assert digest_time(now, last) == due
