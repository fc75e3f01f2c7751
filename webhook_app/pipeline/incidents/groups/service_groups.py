"""Finds and judges the groups of the kinds signature, integrity and self; each check is a group."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from webhook_app.pipeline.incidents.groups.rule_group import MOST_GROUPS, Group, OpenGroup, RuleGroup
from webhook_app.pipeline.incidents.inputs.live_inputs import LiveInputs
from webhook_app.rules.incidents.alerts import Judgement
from webhook_app.rules.incidents.anomalies import judge_count, judge_fact
from webhook_app.rules.incidents.formats import duration, number, percent, window_length
from webhook_app.rules.incidents.rules_file.rule import COUNTING_KINDS, Rule
from webhook_app.store.counts import lateness, rates, seen_codes, series, traffic
from webhook_app.store.counts.failures import failures
from webhook_app.store.incidents import alerts, outbox, unjudged_minutes
from webhook_app.store.incidents.alerts import group_key
from webhook_app.store.operations import scheduler_state
from webhook_app.store.postgres.engine import Connection
from webhook_app.store.receiving import books, health_signals, quarantine, webhook_activity
from webhook_app.store.sends import reports
from webhook_app.store.suppressions import contact_failures, reported_failures

_MIN_DELIVERED = 50
_MAX_WITHOUT_SENT = 0.2
_WEBHOOK_WITHIN = timedelta(minutes=15)
_GIVEN_UP_WITHIN = timedelta(hours=1)
_MIN_REPORTED = 20  # contacts suppressed within a day because of one key's reports
_MAX_REPORTED_SHARE = 0.2  # webhooks bring nearly all evidence
_UNJUDGED_FOR = timedelta(hours=4)  # an outage of the past may go on for two hours before it is judged
_RARE_JOBS = ("prune", "settle", "sum up", "archive", "replay", "backtests", "judge past")


def find_signature_groups(rule: Rule, inputs: LiveInputs) -> list[RuleGroup]:
    """Judge one group: all deliveries refused in the window."""
    span = rates.window(inputs.now, rule.window_minutes)
    refused = webhook_activity.rejections(inputs.connection, *span)
    total = sum(refused.values())
    alive = bool(total) or bool(traffic.events_by_series(inputs.connection, *span))
    kinds = ", ".join(f"{kind} {number(deliveries)}" for kind, deliveries in sorted(refused.items()))
    description = f"{number(total)} deliveries refused in {window_length(rule.window_minutes)}" + (
        f" ({kinds})" if kinds else ""
    )
    advice = (
        "Mismatch: META_APP_SECRET is not the secret of the app that sends; during a rotation set both, separated by a"
        " comma. Missing or malformed: somebody else posts to this address, or a proxy removes the header."
    )
    return [_group(rule, {}, judge_count(rule, total, description, alive=alive), advice)]


def find_integrity_groups(rule: Rule, inputs: LiveInputs, opened: Sequence[OpenGroup]) -> list[RuleGroup]:
    """Judge one group for each check of the rule, and for each API key whose sends have no webhook."""
    groups = [
        _INTEGRITY[check](rule, inputs.connection, inputs.now) for check in rule.checks if check in _INTEGRITY
    ]
    return groups + (_silent_sends(rule, inputs, opened) if "silent_sends" in rule.checks else [])


def find_self_groups(rule: Rule, inputs: LiveInputs) -> list[RuleGroup]:
    """Judge one group for each check of the rule."""
    return [_SELF[check](rule, inputs.connection, inputs.now) for check in rule.checks]


def _quarantine(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    found = quarantine.count_open_by_field(connection, *rates.window(now, rule.window_minutes))
    total = sum(found.values())
    description = f"{number(total)} items quarantined in {window_length(rule.window_minutes)}"
    details = tuple((f"Field {name or 'unknown'}", number(items)) for name, items in sorted(found.items()))
    advice = "Check GET /v1/quarantine: Meta may have added something new. The items are stored and can be replayed."
    return _group(rule, {"check": "quarantine"}, judge_count(rule, total, description), advice, details)


def _books(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:  # noqa: ARG001  every check has the same parameters
    wrong = [f"{day:%Y-%m-%d}" for day, totals in books.by_day(connection, 2).items() if not totals.balanced]
    description = f"the books of {', '.join(wrong)} do not balance" if wrong else "the books balance"
    advice = (
        "Some received items are neither applied, duplicate, ignored nor quarantined. Check GET /v1/books."
    )
    return _group(rule, {"check": "books"}, judge_fact(bad=bool(wrong), description=description), advice)


def _delivered_without_sent(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    checked = lateness.newest_checked(connection, now, timedelta(minutes=rule.window_minutes))
    share = checked.unsent / checked.reached if checked.reached else 0.0
    bad = None if checked.reached < _MIN_DELIVERED else share >= _MAX_WITHOUT_SENT
    description = (
        f"no `sent` came within {duration(lateness.GRACE)} for {percent(share)} of {number(checked.reached)} messages"
        f" delivered in {window_length(rule.window_minutes)}"
    )
    advice = "Webhooks are lost on the way, or another app receives some of them. Attempts are undercounted."
    return _group(
        rule, {"check": "delivered_without_sent"}, judge_fact(bad=bad, description=description), advice
    )


def _silent_sends(rule: Rule, inputs: LiveInputs, opened: Sequence[OpenGroup]) -> list[RuleGroup]:
    """A group for each key, so that what one key makes up does not hide the sends of another."""
    start, end = rates.window(inputs.now - _WEBHOOK_WITHIN, rule.window_minutes)
    silent = reports.unreported_by_key(inputs.connection, start, end)
    keys = {"", *(str(each.group["key"]) for each in opened if "key" in each.group)}
    return [_silent_key(rule, key, silent.get(key, 0)) for key in sorted(keys.union(silent))]


def _silent_key(rule: Rule, key: str, silent: int) -> RuleGroup:
    description = f"{number(silent)} messages accepted over {duration(_WEBHOOK_WITHIN)} ago have no webhook"
    description += f" (reported by the API key {key})" if key else ""
    advice = (
        "Accepted does not mean sent. Check at Meta whether the messages exist before you send them again."
    )
    group: Group = {"check": "silent_sends"}
    if key:
        group["key"] = key
    return _group(rule, group, judge_count(rule, silent, description), advice)


def _notifications(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    waiting = outbox.backlog(connection, now - _GIVEN_UP_WITHIN)
    late = {
        name: now - backlog.oldest_at
        for name, backlog in waiting.items()
        if backlog.oldest_at and now - backlog.oldest_at > timedelta(minutes=rule.max_minutes)
    }
    lost = {name: backlog.failed for name, backlog in waiting.items() if backlog.failed}
    words = [f"{name} has waited for {duration(wait)}" for name, wait in sorted(late.items())]
    words += [
        f"{number(notifications)} were given up on {name} within an hour"
        for name, notifications in sorted(lost.items())
    ]
    description = (
        f"notifications are not delivered: {', '.join(words)}" if words else "notifications are delivered"
    )
    advice = "GET /v1/notifications shows each try and the answer of the channel."
    return _group(
        rule, {"check": "notifications"}, judge_fact(bad=bool(words), description=description), advice
    )


def _jobs(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    words = []
    for job in scheduler_state.job_states(connection):
        if job.error:
            words.append(f"{job.job} failed ({job.error.partition(':')[0]})")
        elif job.job not in _RARE_JOBS and now - job.started_at > timedelta(minutes=rule.max_minutes):
            words.append(f"{job.job} last began {duration(now - job.started_at)} ago")
    unjudged = unjudged_minutes.span(connection, now)
    if unjudged is not None and now - unjudged.first_added > _UNJUDGED_FOR:
        words.append(
            f"judge past has not judged minutes that came {duration(now - unjudged.first_added)} ago"
        )
    description = f"jobs of the scheduler: {', '.join(words)}" if words else "all jobs of the scheduler run"
    return _group(
        rule,
        {"check": "jobs"},
        judge_fact(bad=bool(words), description=description),
        "Read the scheduler's log.",
    )


def _slow_evaluation(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:  # noqa: ARG001
    states = {job.job: job for job in scheduler_state.job_states(connection)}
    last = states.get("evaluate")
    took = last.seconds if last else 0.0
    limit = rule.max_minutes * 60 / 10
    description = f"the last evaluation of the rules took {took:.1f} s, the limit is {limit:.0f} s"
    advice = "The database is slow or far away, and alerts are late. Check its load and autovacuum."
    return _group(
        rule, {"check": "slow_evaluation"}, judge_fact(bad=took > limit, description=description), advice
    )


def _suppression(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    oldest = contact_failures.oldest_waiting(connection)
    wait = now - oldest if oldest else timedelta()
    description = (
        f"failures have waited for {duration(wait)} to be evaluated"
        if oldest
        else "no failure waits to be evaluated"
    )
    advice = (
        "Either more contacts than SUPPRESS_HOURLY_CAP were suppressed within an hour, which may be an error: check"
        " GET /v1/suppressions?review=true. Or the job `suppress` does not run."
    )
    late = wait > timedelta(minutes=rule.max_minutes)
    return _group(rule, {"check": "suppression"}, judge_fact(bad=late, description=description), advice)


def _key_reports(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    since = now - timedelta(hours=24)
    by_key = reported_failures.suppressed_by_key(connection, since)
    total = max(reported_failures.count_automatic(connection, since), *by_key.values()) if by_key else 0
    odd = {
        key: contacts
        for key, contacts in by_key.items()
        if contacts >= _MIN_REPORTED and contacts > _MAX_REPORTED_SHARE * total
    }
    description = (
        f"reports of the API key {' and '.join(sorted(odd))} led to {number(sum(odd.values()))} of the {number(total)}"
        " automatic suppressions of the last 24 hours"
        if odd
        else "no API key's reports lead to an unusual share of suppressions"
    )
    advice = (
        "Check what this sender reports. POST /v1/suppressions/undo with `key` and `since` undoes its reports. Revoke"
        " the key if somebody else may have it."
    )
    return _group(rule, {"check": "key_reports"}, judge_fact(bad=bool(odd), description=description), advice)


def _are_reports_at_ceiling(connection: Connection, since: datetime) -> bool:
    is_reached = series.is_at_ceiling(connection, since, reported=True)
    is_reached = is_reached or seen_codes.is_at_ceiling(connection, since, reported=True)
    return is_reached and failures.reported_as_other(connection, since)


def _ceilings(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:
    since = now - timedelta(hours=1)
    reached = [
        name
        for name, is_reached in (
            ("templates and campaigns", series.is_at_ceiling(connection, since)),
            ("error texts", failures.is_at_ceiling(connection, since)),
            ("error codes", seen_codes.is_at_ceiling(connection, since)),
            ("states of accounts, numbers and templates", health_signals.is_at_ceiling(connection, since)),
            ("names or codes of senders' reports", _are_reports_at_ceiling(connection, since)),
        )
        if is_reached
    ]
    description = (
        f"so many new {' and '.join(reached)} within an hour that further ones are counted as (other)"
        if reached
        else "no hourly ceiling on new templates, campaigns, error texts, codes and states is reached"
    )
    advice = (
        "Check biz_opaque_callback_data and what senders report: a template or campaign must not hold an id of its own"
        " for each message. Totals are exact; the next hour counts new ones by name again."
    )
    return _group(rule, {"check": "ceilings"}, judge_fact(bad=bool(reached), description=description), advice)


def _many_alerts(rule: Rule, connection: Connection, now: datetime) -> RuleGroup:  # noqa: ARG001
    full = alerts.rules_with_many(connection, COUNTING_KINDS, MOST_GROUPS)
    description = (
        f"so many groups are above that not all have an alert: {', '.join(full)} had {number(MOST_GROUPS)} or more"
        if full
        else f"no rule has {number(MOST_GROUPS)} alerts"
    )
    advice = "Those with the most failures have one. If the names are not yours, find out which sender makes them up."
    return _group(rule, {"check": "many_alerts"}, judge_fact(bad=bool(full), description=description), advice)


_Check = Callable[[Rule, Connection, datetime], RuleGroup]
_INTEGRITY: dict[str, _Check] = {
    "quarantine": _quarantine,
    "books": _books,
    "delivered_without_sent": _delivered_without_sent,
}
_SELF: dict[str, _Check] = {
    "notifications": _notifications,
    "jobs": _jobs,
    "slow_evaluation": _slow_evaluation,
    "suppression": _suppression,
    "key_reports": _key_reports,
    "ceilings": _ceilings,
    "many_alerts": _many_alerts,
}


def _group(
    rule: Rule, group: Group, judgement: Judgement, advice: str, details: tuple[tuple[str, str], ...] = ()
) -> RuleGroup:
    finding = judgement.text[:1].upper() + judgement.text[1:]
    return RuleGroup(
        rule=rule,
        group=group,
        key=group_key(group),
        judgement=judgement,
        finding=finding,
        advice=advice,
        details=details,
    )
