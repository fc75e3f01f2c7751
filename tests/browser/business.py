"""A business to look at: a day and a half of messages, a paused template now, and what else the pages can show.

All of it comes in by the real ingest and the scheduler's own jobs, on a clock that runs fast. The simulator makes up
the messages, so the same moment gives the same business.
"""

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Engine, insert

from tests.support.factories import WABA, document, value
from tests.support.traffic import Traffic
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.rules.accounts.template_changes import TemplateChange
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text
from webhook_app.scheduler.jobs import load_rules, make_channels, make_jobs
from webhook_app.settings import Settings
from webhook_app.simulator.plan import plan
from webhook_app.simulator.posts import Post, plan_posts
from webhook_app.simulator.scenarios import SCENARIOS
from webhook_app.store import schema
from webhook_app.store.accounts import templates
from webhook_app.store.operations import backtests, scheduler_state
from webhook_app.store.postgres.engine import connect
from webhook_app.whatsapp.accounts.template_answers import read_template

UNREACHABLE = "+18085550142"
"""Failed on three days in a row: suppressed, and to be reviewed. In no area that the simulator draws people from."""

_HOUR = 3600.0
_MINUTE = timedelta(minutes=1)
_BATCH = 100


def open_business(
    settings: Settings, engine: Engine, now: datetime, *, rate: float, history_hours: float
) -> None:
    """Fill the database with what came in until `now`, `rate` messages a second, and from a day before."""
    traffic, writer = Traffic(settings.database_url), _writer(settings)
    try:
        _fail_for_days(traffic, now)
        for begins, lasts, scenario, share in (
            (24.5, history_hours, "steady", 1.0),
            (3.0, 2.75, "opt-outs", 1.0),
            (0.25, 0.25, "template-paused", 3.0),
        ):
            start = now - timedelta(hours=begins)
            planned = plan(SCENARIOS[scenario], 7, rate * share, lasts * _HOUR, start)
            _feed(
                writer,
                plan_posts(planned, start, random.Random(7), batch=_BATCH, duplicates=0.02),
                start,
                now,
            )
        _write_oddities(writer, now)
        _write_templates(engine, now)
    finally:
        traffic.close()
        writer.close()
    with engine.begin() as connection:
        for back, kind, count in ((41, "mismatch", 2), (12, "missing", 1), (11, "missing", 4)):
            minute = now.replace(second=0) - back * _MINUTE
            connection.execute(insert(schema.rejections).values(minute=minute, kind=kind, count=count))
    with engine.begin() as connection:
        backtests.add(
            connection,
            requested_by="kim",
            rules=default_rules_text(),
            chosen=("failure-rate-per-code",),
            span=(now - timedelta(days=1), now),
            step_seconds=3600,
            now=now,
        )
    _run_jobs(settings, engine, now)


def _fail_for_days(traffic: Traffic, now: datetime) -> None:
    for days in (3, 2, 1):
        at = now - timedelta(days=days, hours=5)
        details = "Message undeliverable."
        traffic.failed(
            1, at, 131026, recipient=UNREACHABLE.removeprefix("+"), template="order_update", details=details
        )


def _feed(writer: BatchWriter, planned: Iterator[Post], start: datetime, until: datetime) -> None:
    """Each minute's POSTs in one commit, as a busy worker would."""
    for minute, group in groupby(planned, key=lambda post: int(post.due_s // 60)):
        if (at := start + (minute + 1) * _MINUTE) > until:
            at = until
        writer.store([Delivery(post.body) for post in group], at)


def _write_oddities(writer: BatchWriter, now: datetime) -> None:
    """What Meta says of accounts, numbers and templates, and two items that nobody understands."""
    offer = {
        "message_template_id": 900210001,
        "message_template_name": "seasonal_offer",
        "message_template_language": "en_US",
    }
    quality = {"previous_quality_score": "GREEN", "new_quality_score": "YELLOW"}
    number = {"display_phone_number": "16505550111", "event": "ONBOARDING", "current_limit": "TIER_10K"}
    told: list[tuple[str, dict[str, Any]]] = [
        ("phone_number_quality_update", number),
        ("message_template_status_update", offer | {"event": "PAUSED", "reason": "LOW_QUALITY"}),
        ("message_template_quality_update", offer | quality),
        ("account_update", {"event": "VERIFIED_ACCOUNT", "phone_number": "16505550111"}),
    ]
    odd = [document(value(statuses=[{"id": 5, "status": "sent"}])), document(value(messages=["hello"]))]
    bodies = [document(held, field=field) for field, held in told] + odd
    writer.store([Delivery(json.dumps(each).encode()) for each in bodies], now - 9 * _MINUTE)


def _write_templates(engine: Engine, now: datetime) -> None:
    """Two templates as the Graph API described them, and how one changed."""
    body = {"type": "BODY", "text": "Hi {{1}}, your order {{2}} is on its way."}
    rows = [
        {"id": "900210001", "name": "seasonal_offer", "status": "PAUSED", "category": "MARKETING",
         "correct_category": "MARKETING", "quality_score": {"score": "YELLOW"}, "components": [body]},
        {"id": "900210002", "name": "order_update", "status": "REJECTED", "category": "UTILITY",
         "rejected_reason": "INVALID_FORMAT", "components": [{"type": "HEADER", "format": "IMAGE"}, body]},
    ]  # fmt: skip
    found = [read_template({"language": "en_US"} | row, WABA) for row in rows]
    change = {"name": "seasonal_offer", "language": "en_US", "before": "APPROVED", "value": "PAUSED"}
    with engine.begin() as connection:
        templates.save(
            connection, WABA, found, [TemplateChange(aspect="status", **change)], [], now - _MINUTE
        )
        templates.save_reading(connection, WABA, len(found), now - _MINUTE)


def _run_jobs(settings: Settings, engine: Engine, now: datetime) -> None:
    """The scheduler's jobs as of the last minutes; rules every minute, so that alerts have a past."""
    channels = make_channels(settings)
    jobs = make_jobs(engine, settings, load_rules(settings.rules_file), channels, lambda: True)
    jobs.sort(key=lambda job: job.name == "evaluate")  # last: what the others left is no fault of theirs
    for back in range(14, -1, -1):
        for job in jobs:
            if back in (0, 14) or job.name.partition(" ")[0] in ("evaluate", "notify", "suppress"):
                job.step(now - back * _MINUTE)
    for job in jobs:
        with engine.begin() as connection:
            scheduler_state.record_start(connection, job.name, "host-1:4711", now)
            scheduler_state.record_end(connection, job.name, "host-1:4711", now, 0.02, "")


def _writer(settings: Settings) -> BatchWriter:
    return BatchWriter(lambda: connect(settings.database_url, application="tests"), slot=1)
