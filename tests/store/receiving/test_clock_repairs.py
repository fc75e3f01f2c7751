"""An assigned time is found by an index, however many there are."""

from datetime import datetime, timedelta

from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.store.postgres.engine import connect
from webhook_app.store.receiving.clock_repairs import repair_each_clock
from webhook_app.store.receiving.inbound import insert_inbound, insert_preferences
from webhook_app.store.receiving.ingest_statement import SEND, Batch, insert_batch
from webhook_app.whatsapp.events import InboundMessage, Preference

MANY = 3000
READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'clock_repairs'"


def test_a_batch_reads_its_own_assigned_times_and_no_others(database_url: str, now: datetime) -> None:
    at, late = now - timedelta(hours=1), int(now.timestamp())
    numbers = [str(15550000000 + i) for i in range(20)]
    with connect(database_url, application="tests") as driver:
        driver.execute("ALTER TABLE clock_repairs SET (autovacuum_enabled = false)")
        others = [(f"wamid.{i}", "1", "sent", "odd", "", -1) for i in range(MANY)]
        own = [("", "1", "preference stop marketing_messages", "odd", n, -1) for n in numbers]
        own += [(f"wamid.{n}", "1", "sent", "odd", "", -1) for n in numbers]
        own += [(f"wamid.{n}", "1", "inbound", "", "", -1) for n in numbers]
        own += [(f"wamid.{n}", "1", "failed", "odd", "", 131026) for n in numbers]
        repair_each_clock(driver, others + own, at)
        with driver.transaction():
            preferences = [
                Preference("1", "9", None, n, "marketing_messages", "stop", "odd") for n in numbers
            ]
            insert_preferences(driver, [(p, late) for p in preferences], received_at=now, slot=0)
            messages = [
                InboundMessage(f"wamid.{n}", "1", "9", None, n, "text", "", opens_window=True)
                for n in numbers
            ]
            insert_inbound(driver, [(m, late) for m in messages], received_at=now, slot=0)
            statuses = [(f"wamid.{n}", "1", "sent", late, "odd", "", -1, n, 1, "", 0, "") for n in numbers]
            failures = [
                (f"wamid.{n}", "1", late, "odd", "", 131026, n, 1, "", "", "", SEND, -1, "", True)
                for n in numbers
            ]
            insert_batch(driver, Batch(statuses, failures, [], None, 0), received_at=now, slot=0)
            read = driver.execute(READ).fetchone()
        for table in ("preferences", "inbound_messages", "status_events", "failures"):
            stored = driver.execute(f"SELECT count(*) FROM {table} WHERE occurred_at = %s", [at]).fetchone()
            assert stored == (len(numbers),), table
    assert read is not None
    assert read[0] <= 6 * len(numbers)


def test_the_writer_reads_by_index_whatever_a_table_s_size_was_when_its_statements_were_planned(
    writer: BatchWriter,
) -> None:
    assert writer.connection().execute("SHOW enable_seqscan").fetchone() == ("off",)
