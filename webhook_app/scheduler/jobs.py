"""The table of jobs: what the scheduler does, how often, and with which rules and channels."""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

from msgspec import Struct

from webhook_app.channels import Channel
from webhook_app.channels.alertmanager import Alertmanager
from webhook_app.channels.email import Email
from webhook_app.channels.heartbeat import Heartbeat
from webhook_app.channels.log import LogChannel
from webhook_app.channels.pagerduty import PagerDuty
from webhook_app.channels.slack import SlackWebhook
from webhook_app.channels.slack_bot import SlackBot
from webhook_app.channels.webhook import Webhook
from webhook_app.graph.certificate import read_certificate
from webhook_app.graph.client import GraphClient
from webhook_app.pipeline.accounts.read_graph import examine
from webhook_app.pipeline.counts.count_funnels import count_stages
from webhook_app.pipeline.counts.measure_lateness import measure
from webhook_app.pipeline.counts.sum_hours import sum_hours
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.findings.find import LastSearch, find
from webhook_app.pipeline.incidents.inputs.live_inputs import ReadCache
from webhook_app.pipeline.incidents.notifications.expire import expire
from webhook_app.pipeline.incidents.notifications.notify import Clock, notify
from webhook_app.pipeline.incidents.past.judge_past import Unfinished, judge_past, note_gap
from webhook_app.pipeline.operations.backtest_queue import run_waiting
from webhook_app.pipeline.operations.heartbeat import HeartbeatMonitor
from webhook_app.pipeline.operations.prune import Retention, prune
from webhook_app.pipeline.operations.settle import settle_days
from webhook_app.pipeline.people.erase import continue_erasures
from webhook_app.pipeline.sends.reports import follow_up
from webhook_app.pipeline.suppressions.suppress import LockWatch, suppress
from webhook_app.rules.accounts.doctor_check import DoctorCheck, Expected
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.settings import Settings
from webhook_app.store.postgres.engine import Engine, connect

NOTIFY_SECONDS = 1.0
PAST_SECONDS = 60.0
EXPIRE_SECONDS = 60.0
FINDINGS_SECONDS = 300.0
SUPPRESS_SECONDS = 2.0
SENDS_SECONDS = 10.0
PRUNE_SECONDS = 3600.0
ERASE_SECONDS = 30.0
SUM_HOURS_SECONDS = 300.0
MEASURE_SECONDS = 60.0
COUNT_STAGES_SECONDS = 60.0
BACKTEST_SECONDS = 2.0
DOCTOR_SECONDS = 3600.0


class Job(Struct, frozen=True):
    """A step and its interval; it first runs at once."""

    name: str
    seconds: float
    step: Callable[[datetime], object]


def load_rules(path: Path | None) -> tuple[Rule, ...]:
    """The rules of the file, or those that ship with the package. Raises OSError or RulesFileError."""
    if path is None:
        return parse_rules(default_rules_text(), "default_rules.toml")
    return parse_rules(path.read_text(encoding="utf-8"), str(path))


def make_channels(settings: Settings) -> dict[str, Channel]:
    """The channels that are set up, in order of preference for rerouting; the log is always the last."""
    made = (
        _make_slack(settings),
        settings.pagerduty_routing_key
        and PagerDuty(settings.pagerduty_routing_key, settings.pagerduty_events_url),
        _make_email(settings),
        settings.alert_webhook_url and Webhook(settings.alert_webhook_url, settings.alert_webhook_secret),
        settings.alertmanager_url and Alertmanager(settings.alertmanager_url),
        LogChannel(sys.stdout),
    )
    return {channel.name: channel for channel in made if channel}


def _make_slack(settings: Settings) -> Channel | None:
    if settings.slack_bot_token:
        return SlackBot(settings.slack_bot_token, settings.slack_channel, settings.slack_api_url)
    return SlackWebhook(settings.slack_webhook_url) if settings.slack_webhook_url else None


def _make_email(settings: Settings) -> Channel | None:
    server = settings.smtp_url
    if server is None:
        return None
    user = server.user if "@" in server.user else f"webhook_app@{server.host}"
    return Email(server, settings.alert_email_from or user, settings.alert_emails)


def retention_of(settings: Settings) -> Retention:
    """The retention settings."""
    return Retention(
        events_days=settings.events_keep_days,
        failures_days=settings.failures_keep_days,
        raw_days=settings.raw_keep_days,
        counts_days=settings.counts_keep_days,
    )


def make_jobs(
    engine: Engine,
    settings: Settings,
    rules: Sequence[Rule],
    channels: Mapping[str, Channel],
    go_on: Callable[[], bool],
) -> list[Job]:
    """The table of jobs. Each channel has its own job, so that a slow one does not delay others."""
    kept = retention_of(settings)
    thresholds = Thresholds(failures=settings.soft_failures, days=settings.soft_days)
    public_url, names, memory = settings.public_url, tuple(channels), ReadCache()
    connecting = partial(connect, settings.database_url, application="webhook_app erase")
    lock_watch, last_search, unfinished = LockWatch(), LastSearch(), Unfinished()

    def suppressing(now: datetime) -> object:
        caps = {
            "hourly_cap": settings.suppress_hourly_cap,
            "key_hourly_cap": settings.key_suppress_hourly_cap,
        }
        return lock_watch.check(suppress(engine, rules, thresholds, now, **caps), now)

    def evaluating(now: datetime) -> object:
        note_gap(engine, now)
        return evaluate(engine, rules, now, public_url=public_url, channels=names, memory=memory)

    def notifying(name: str, channel: Channel) -> Job:
        return Job(
            f"notify {name}",
            NOTIFY_SECONDS,
            lambda now: notify(engine, channel, Clock(now), fallbacks=names, go_on=go_on),
        )

    return [
        Job("evaluate", settings.evaluate_seconds, evaluating),
        Job(
            "judge past",
            PAST_SECONDS,
            lambda now: judge_past(
                engine, rules, now, public_url=public_url, channels=names, unfinished=unfinished
            ),
        ),
        *(notifying(name, channel) for name, channel in channels.items()),
        Job("tidy outbox", EXPIRE_SECONDS, lambda now: expire(engine, now, names)),
        *_heartbeat_jobs(engine, settings),
        *_doctor_jobs(engine, settings, go_on),
        Job("suppress", SUPPRESS_SECONDS, suppressing),
        Job("reconcile", MEASURE_SECONDS, lambda now: measure(engine, now)),
        Job("count steps", COUNT_STAGES_SECONDS, lambda now: count_stages(engine, now)),
        Job("erase", ERASE_SECONDS, lambda now: continue_erasures(engine, connecting, now, go_on=go_on)),
        Job("sends", SENDS_SECONDS, lambda now: follow_up(engine, now)),
        Job("backtests", BACKTEST_SECONDS, lambda now: run_waiting(engine, thresholds, now, go_on=go_on)),
        Job(
            "findings",
            FINDINGS_SECONDS,
            lambda now: find(engine, rules, now, public_url=public_url, channels=names, last=last_search),
        ),
        Job("sum up", SUM_HOURS_SECONDS, lambda now: sum_hours(engine, now)),
        Job("prune", PRUNE_SECONDS, lambda now: prune(engine, now, kept, go_on=go_on)),
        Job("settle", PRUNE_SECONDS, lambda now: settle_days(engine, now, go_on=go_on)),
    ]


def _heartbeat_jobs(engine: Engine, settings: Settings) -> list[Job]:
    """The heartbeat job, which runs more often than the evaluations it reports."""
    if not settings.heartbeat_url:
        return []
    monitor = HeartbeatMonitor(engine, Heartbeat(settings.heartbeat_url))
    return [Job("heartbeat", settings.evaluate_seconds / 3, monitor.report)]


def _doctor_jobs(engine: Engine, settings: Settings, go_on: Callable[[], bool]) -> list[Job]:
    """The job that reads the Graph API, at start and every hour."""
    if not settings.meta_access_token:
        return []
    return [Job("doctor", DOCTOR_SECONDS, lambda now: read_meta(engine, settings, now, go_on))]


def read_meta(
    engine: Engine, settings: Settings, now: datetime, go_on: Callable[[], bool] = lambda: True
) -> list[DoctorCheck]:
    """Read the Graph API with the access token, store the checks of doctor and return them, the worst first."""
    expected = Expected(
        app_id=settings.meta_app_id,
        callback_url=f"{settings.public_url.rstrip('/')}/webhook" if settings.public_url else "",
    )
    client = GraphClient(
        settings.meta_access_token,
        app_secrets=settings.meta_app_secret,
        url=settings.graph_api_url,
        version=settings.graph_api_version,
        go_on=go_on,
    )
    return examine(engine, client, expected, now, read_certificate)
