"""Fills the demo's database with the week before, including incidents and notifications, before the service starts."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from webhook_app.channels import Channel
from webhook_app.demo.backfill import Backfill, ScheduledAction
from webhook_app.demo.week import Week
from webhook_app.pipeline.incidents import actions
from webhook_app.scheduler.jobs import load_rules
from webhook_app.store.incidents import incidents
from webhook_app.store.postgres import partitions
from webhook_app.store.postgres.engine import Engine, make_engine
from webhook_app.store.receiving import books

ACTOR = "demo"
_REACTION_TIME = timedelta(minutes=12)
_RECENT = timedelta(hours=6)


def fill(
    database_url: str,
    channels: Mapping[str, Channel],
    week: Week,
    *,
    seed: int = 1,
    public_url: str = "",
    progress: Callable[[float], object] = lambda _share: None,
) -> int:
    """Replay the week with the default rules and return the number of items received.

    `progress` is called with the finished share.
    """
    engine = make_engine(database_url, application="webhook_app demo")
    with engine.begin() as connection:
        partitions.ensure(connection, week.end)
    past = Backfill(engine, database_url, load_rules(None), channels, public_url)
    try:
        actions = _scheduled_actions(week, engine, past)
        for now in past.run(week.events(seed), week.evaluation_times(), actions):
            progress((now - week.start).total_seconds() / week.seconds)
        past.find(week.end)
        with engine.connect() as connection:
            return books.totals(connection).received
    finally:
        past.close()
        engine.dispose()


def _scheduled_actions(week: Week, engine: Engine, past: Backfill) -> list[ScheduledAction]:
    """Return what a user does: acknowledge each incident soon after its start, and add one silence."""
    third = (week.end - week.start) / 3

    def acknowledge(now: datetime) -> None:
        with engine.begin() as connection:
            for incident in incidents.open_incidents(connection):
                if incident.acknowledged_at is None and now - incident.opened_at < _RECENT:
                    actions.acknowledge(connection, incident.id, actor=ACTOR, now=now)

    def silence(now: datetime) -> None:
        with engine.begin() as connection:
            actions.add_silence(
                connection,
                matchers={"rule": "new-code"},
                author=ACTOR,
                until=week.end + timedelta(days=2),
                comment="Known: a new campaign brings new codes",
                now=now,
            )

    return [
        (week.start + third, lambda now: past.reject("mismatch", 40, now)),
        (week.start + 2 * third, silence),
        *((incident.starts_at + _REACTION_TIME, acknowledge) for incident in week.incidents),
    ]
