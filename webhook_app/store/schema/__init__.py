"""The schema, a module per subject: stored events, and tables derived from them. No queries here.

Migrations are written by hand; `tests/test_migrations.py` compares them with these tables.
Unique keys of large tables start with the column they would be distributed by (message_id, contact).
"""

from webhook_app.store.schema.accounts import business_numbers, health_changes, health_signals
from webhook_app.store.schema.columns import metadata
from webhook_app.store.schema.counts import (
    failed_messages,
    failure_counts,
    hourly_counts,
    hourly_failures,
    lateness,
    message_stages,
    messages,
    minute_counts,
    series,
    stage_counts,
    stage_progress,
    stage_recounts,
    summed_hours,
)
from webhook_app.store.schema.incidents import (
    alerts,
    channel_messages,
    channel_states,
    findings,
    incidents,
    notification_tries,
    notifications,
    rule_evaluations,
    silences,
)
from webhook_app.store.schema.operations import (
    api_keys,
    audit,
    backtest_people,
    backtests,
    prune_clock,
    scheduler_state,
)
from webhook_app.store.schema.people import (
    contact_links,
    erased_opt_outs,
    erased_opt_outs_secret,
    erasures,
    number_changes,
    unapplied_links,
)
from webhook_app.store.schema.receiving import (
    books,
    clock_repairs,
    deliveries,
    failure_errors,
    failures,
    inbound_messages,
    quarantine,
    rejections,
    seen_codes,
    status_events,
)
from webhook_app.store.schema.sends import retries, retry_progress, sends
from webhook_app.store.schema.suppressions import (
    handovers,
    preferences,
    service_windows,
    successes,
    suppression_changes,
    suppressions,
)

__all__ = [
    "PARTITIONED",
    "alerts",
    "api_keys",
    "audit",
    "backtest_people",
    "backtests",
    "books",
    "business_numbers",
    "channel_messages",
    "channel_states",
    "clock_repairs",
    "contact_links",
    "deliveries",
    "erased_opt_outs",
    "erased_opt_outs_secret",
    "erasures",
    "failed_messages",
    "failure_counts",
    "failure_errors",
    "failures",
    "findings",
    "handovers",
    "health_changes",
    "health_signals",
    "hourly_counts",
    "hourly_failures",
    "inbound_messages",
    "incidents",
    "lateness",
    "message_stages",
    "messages",
    "metadata",
    "minute_counts",
    "notification_tries",
    "notifications",
    "number_changes",
    "preferences",
    "prune_clock",
    "quarantine",
    "rejections",
    "retries",
    "retry_progress",
    "rule_evaluations",
    "scheduler_state",
    "seen_codes",
    "sends",
    "series",
    "service_windows",
    "silences",
    "stage_counts",
    "stage_progress",
    "stage_recounts",
    "status_events",
    "successes",
    "summed_hours",
    "suppression_changes",
    "suppressions",
    "unapplied_links",
]

PARTITIONED = {"status_events": "day", "inbound_messages": "day", "deliveries": "day", "failures": "month"}
