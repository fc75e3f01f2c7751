"""A long transaction of the job suppress does not hold up deliveries: their opt-outs are left to it."""

from time import perf_counter

from sqlalchemy import text

from tests.support.factories import body, message
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.postgres import locks


def test_a_stop_that_finds_the_changes_locked_is_stored_soon_and_applied_by_the_job(engine, writer, now):
    with engine.begin() as busy:
        locks.hold_until_commit(busy, locks.CHANGES_LOCK)
        began = perf_counter()
        writer.store([Delivery(body(messages=[message("wamid.stop", now, text="STOP")]))], now)
        assert perf_counter() - began < 8  # before: twice the lock timeout of ten seconds
    suppress(engine, (), Thresholds(failures=3, days=2), now)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT reason FROM suppressions")).scalars().all() == ["opted_out"]
