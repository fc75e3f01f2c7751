"""Fills the demo's database with the week before, alerts and notifications included, before anything starts."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from webhook_app.channels import Channel
from webhook_app.demo.backfill import Backfill, Deed
from webhook_app.demo.week import Week
from webhook_app.pipeline.incidents import alert_actions
from webhook_app.scheduler import load_rules
from webhook_app.store.incidents import alerts
from webhook_app.store.postgres import partitions
from webhook_app.store.postgres.engine import Engine, make_engine
from webhook_app.store.receiving import books

ACTOR = "demo"
_REACTION = timedelta(minutes=12)
_SOON = timedelta(hours=6)


def fill(
    database_url: str,
    channels: Mapping[str, Channel],
    week: Week,
    *,
    seed: int = 1,
    public_url: str = "",
    progress: Callable[[float], object] = lambda _share: None,
) -> int:
    """Live through the week with the rules that ship; returns how many items came.

    `progress` is told the share that is done.
    """
    engine = make_engine(database_url, application="webhook_app demo")
    with engine.begin() as connection:
        partitions.ensure(connection, week.ends)
    past = Backfill(engine, database_url, load_rules(None), channels, public_url)
    try:
        for look in past.live(week.told(seed), week.looks(), _deeds(week, engine, past)):
            progress((look - week.start).total_seconds() / week.seconds)
        with engine.connect() as connection:
            return books.totals(connection).received
    finally:
        past.close()
        engine.dispose()


def _deeds(week: Week, engine: Engine, past: Backfill) -> list[Deed]:
    """Somebody looks after each trouble, once, some minutes after it began, and silences what is only news."""
    third = (week.ends - week.start) / 3

    def acknowledge(now: datetime) -> None:
        with engine.begin() as connection:
            for alert in alerts.open_alerts(connection):
                if (
                    alert.state == "firing"
                    and alert.acknowledged_at is None
                    and now - alert.started_at < _SOON
                ):
                    alert_actions.acknowledge(connection, alert.id, actor=ACTOR, now=now)

    def silence(now: datetime) -> None:
        with engine.begin() as connection:
            alert_actions.add_silence(
                connection,
                matchers={"rule": "new-code"},
                author=ACTOR,
                until=week.ends + timedelta(days=2),
                comment="Known: a new campaign brings new codes",
                now=now,
            )

    return [
        (week.start + third, lambda now: past.refuse("mismatch", 40, now)),
        (week.start + 2 * third, silence),
        *((trouble.begins + _REACTION, acknowledge) for trouble in week.troubles),
    ]
