"""What the kinds signature, integrity and self look at: each check is a group of its own. Reads through store only."""

from collections.abc import Callable
from datetime import datetime, timedelta

from webhook_app.pipeline.incidents.rate_groups import Group, RuleGroup
from webhook_app.pipeline.incidents.rule_inputs import LiveInputs
from webhook_app.rules.incidents.alerts import Judgement, Rule, count, percent
from webhook_app.rules.incidents.anomalies import judge_count, judge_fact
from webhook_app.store.counts import lateness, rates, service_activity
from webhook_app.store.incidents.alerts import group_key
from webhook_app.store.operations import scheduler_state
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.receiving import books
from webhook_app.store.suppressions import contact_failures

_LEAST_REACHED = 50
_WITHOUT_SENT = 0.2
_TOLD_WITHIN = timedelta(minutes=15)
_GIVEN_UP_LATELY = timedelta(hours=1)
_UNHURRIED_JOBS = ("prune", "sum up", "archive", "replay", "backtests")


def signature_cases(rule: Rule, facts: LiveInputs) -> list[RuleGroup]:
    """One group: all deliveries refused in the window."""
    span = rates.window(facts.now, rule.window_minutes)
    refused = service_activity.refusals(facts.connection, *span)
    total = sum(refused.values())
    alive = bool(total) or bool(service_activity.events_by_series(facts.connection, *span))
    kinds = ", ".join(f"{kind} {count(number)}" for kind, number in sorted(refused.items()))
    seen = f"{count(total)} deliveries refused in {rule.window_minutes} min" + (
        f" ({kinds})" if kinds else ""
    )
    advice = (
        "Mismatch: META_APP_SECRET is not the secret of the app that sends; after a rotation give both, separated by a"
        " comma. Missing or malformed: somebody else posts to this address, or a proxy drops the header."
    )
    return [_case(rule, {}, judge_count(rule, total, seen, alive=alive), advice)]


def integrity_cases(rule: Rule, facts: LiveInputs) -> list[RuleGroup]:
    """A group for each check the rule asks for."""
    return [_INTEGRITY[check](rule, facts.connection, facts.now) for check in rule.checks]


def self_cases(rule: Rule, facts: LiveInputs) -> list[RuleGroup]:
    """A group for each check the rule asks for."""
    return [_SELF[check](rule, facts.connection, facts.now) for check in rule.checks]


def _quarantine(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    found = service_activity.quarantined(connection, *rates.window(now, rule.window_minutes))
    total = sum(found.values())
    seen = f"{count(total)} items put into quarantine in {rule.window_minutes} min"
    details = tuple((f"Field {name or 'unknown'}", count(number)) for name, number in sorted(found.items()))
    advice = (
        "Look at them (GET /v1/quarantine): Meta may say something new. They are kept and can be replayed."
    )
    return _case(rule, {"check": "quarantine"}, judge_count(rule, total, seen), advice, details)


def _books(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:  # noqa: ARG001  the form of a check
    wrong = [f"{day:%Y-%m-%d}" for day, totals in books.by_day(connection, 2).items() if not totals.balanced]
    seen = f"the books of {', '.join(wrong)} do not balance" if wrong else "the books balance"
    advice = "Items were received that are neither applied, duplicate, ignored nor quarantined: compare GET /v1/books."
    return _case(rule, {"check": "books"}, judge_fact(bad=bool(wrong), seen=seen), advice)


def _delivered_without_sent(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    told = lateness.checked(connection, now, timedelta(minutes=rule.window_minutes))
    share = told.unsent / told.reached if told.reached else 0.0
    bad = None if told.reached < _LEAST_REACHED else share >= _WITHOUT_SENT
    seen = (
        f"no `sent` came within {_minutes(lateness.GRACE)} for {percent(share)} of {count(told.reached)} messages"
        f" told delivered in {rule.window_minutes} min"
    )
    advice = "Webhooks get lost on their way here, or another app takes part of them: attempts are counted too low."
    return _case(rule, {"check": "delivered_without_sent"}, judge_fact(bad=bad, seen=seen), advice)


def _silent_sends(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    start, end = rates.window(now - _TOLD_WITHIN, rule.window_minutes)
    silent = service_activity.silent_sends(connection, start, end)
    seen = f"no webhook told of {count(silent)} messages that Meta accepted over {_minutes(_TOLD_WITHIN)} ago"
    advice = "Accepted is not sent: look whether the messages exist at Meta before sending them again."
    return _case(rule, {"check": "silent_sends"}, judge_count(rule, silent, seen), advice)


def _notifications(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    waiting = service_activity.outbox(connection, now - _GIVEN_UP_LATELY)
    late = {
        name: now - held.oldest_at
        for name, held in waiting.items()
        if held.oldest_at and now - held.oldest_at > timedelta(minutes=rule.max_minutes)
    }
    lost = {name: held.given_up for name, held in waiting.items() if held.given_up}
    words = [f"{name} waits for {_minutes(wait)}" for name, wait in sorted(late.items())]
    words += [
        f"{count(number)} were given up for {name} within an hour" for name, number in sorted(lost.items())
    ]
    seen = f"alerts do not get out: {', '.join(words)}" if words else "alerts get out"
    advice = "GET /v1/alerts/{id} shows every try of a notification and what the channel answered."
    return _case(rule, {"check": "notifications"}, judge_fact(bad=bool(words), seen=seen), advice)


def _jobs(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    words = []
    for job in scheduler_state.job_states(connection):
        if job.error:
            words.append(f"{job.job} failed ({job.error.partition(':')[0]})")
        elif job.job not in _UNHURRIED_JOBS and now - job.started_at > timedelta(minutes=rule.max_minutes):
            words.append(f"{job.job} began last {_minutes(now - job.started_at)} ago")
    seen = f"jobs of the scheduler: {', '.join(words)}" if words else "every job of the scheduler runs"
    return _case(rule, {"check": "jobs"}, judge_fact(bad=bool(words), seen=seen), "Read the scheduler's log.")


def _slow_evaluation(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:  # noqa: ARG001
    states = {job.job: job for job in scheduler_state.job_states(connection)}
    last = states.get("evaluate")
    took = last.seconds if last else 0.0
    limit = rule.max_minutes * 60 / 10
    seen = f"the last evaluation of the rules took {took:.1f} s, the limit is {limit:.0f} s"
    advice = "The database is slow or far away: alerts come late. Look at its load, and at autovacuum."
    return _case(rule, {"check": "slow_evaluation"}, judge_fact(bad=took > limit, seen=seen), advice)


def _suppression(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    oldest = contact_failures.oldest_waiting(connection)
    wait = now - oldest if oldest else timedelta()
    seen = f"failures wait {_minutes(wait)} to be judged" if oldest else "no failure waits to be judged"
    advice = (
        "Either more people than SUPPRESS_HOURLY_CAP were suppressed within an hour, which looks like a fault: look"
        " through GET /v1/suppressions?review=true. Or the job `suppress` does not run."
    )
    late = wait > timedelta(minutes=rule.max_minutes)
    return _case(rule, {"check": "suppression"}, judge_fact(bad=late, seen=seen), advice)


_Check = Callable[[Rule, Connection, datetime], RuleGroup]
_INTEGRITY: dict[str, _Check] = {
    "quarantine": _quarantine,
    "books": _books,
    "delivered_without_sent": _delivered_without_sent,
    "silent_sends": _silent_sends,
}
_SELF: dict[str, _Check] = {
    "notifications": _notifications,
    "jobs": _jobs,
    "slow_evaluation": _slow_evaluation,
    "suppression": _suppression,
}


def _case(
    rule: Rule, group: Group, look: Judgement, advice: str, details: tuple[tuple[str, str], ...] = ()
) -> RuleGroup:
    finding = look.words[:1].upper() + look.words[1:]
    return RuleGroup(
        rule=rule,
        group=group,
        key=group_key(group),
        look=look,
        finding=finding,
        advice=advice,
        details=details,
    )


def _minutes(lasted: timedelta) -> str:
    return f"{int(lasted.total_seconds()) // 60} min"
