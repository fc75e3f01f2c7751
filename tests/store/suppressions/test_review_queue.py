"""The review queue reads what waits for review, and not the pauses of marketing beside it, which are the most."""

from datetime import timedelta

from sqlalchemy import text

from webhook_app.store.suppressions import lists, suppressions
from webhook_app.store.suppressions.suppressions import Suppression

READ = text(
    "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'suppressions'"
)


def automatic(place, code, now):
    return Suppression(
        contact=f"1606555{place:04}",
        reason="unreachable",
        scope="marketing" if code == 131049 else "all",
        code=code,
        since=now,
        until=now + timedelta(days=1),
        actor="system",
        review=True,
    )


def test_the_review_queue_reads_only_what_waits_for_review(engine, now):
    rows = [automatic(place, 131026 if place % 500 == 0 else 131049, now) for place in range(2000)]
    with engine.begin() as connection:
        suppressions.apply(connection, rows, [], now)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE suppressions"))
    with engine.connect() as connection:
        before = connection.execute(READ).scalar_one()
        found = lists.list_page(connection, 100, review=True)
        assert len(found) == 4
        assert connection.execute(READ).scalar_one() - before <= len(found)
