"""/v1/rules: the active rules with their last evaluation, and backtests of a rules file."""

from datetime import timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct, convert, to_builtins

from webhook_app.pipeline.operations.backtest import BacktestReport
from webhook_app.pipeline.operations.backtest import backtest as run_backtest
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rule_kinds import RULE_KINDS
from webhook_app.rules.incidents.rules_file.rules_file import (
    MAX_TEXT,
    RulesFileError,
    default_rules_text,
    parse_rules,
)
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import rule_evaluations
from webhook_app.store.incidents.rule_evaluations import RuleEvaluation
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Time
from webhook_app.web.errors import ApiError
from webhook_app.web.rules_in_force import rules_in_force
from webhook_app.whatsapp.people.contacts import display

_LONGEST_DAYS = 7.0
_LISTED = 1000


class LastEvaluation(Struct, kw_only=True):
    """The last evaluation of a rule. `closeness`: how close its nearest group is to firing; 1 means above."""

    evaluated_at: Time
    groups: Annotated[int, Meta(description="Number of groups evaluated.")]
    closeness: float
    nearest: dict[str, str | int]
    seen: Annotated[str, Meta(description="The evaluation of the nearest group, in words.")]


class ActiveRule(Struct, kw_only=True):
    """One rule of the file with the keys of its kind; `last` is null before its first evaluation."""

    name: str
    kind: str
    asks: Annotated[str, Meta(description="The question that a rule of this kind answers.")]
    severity: str
    keys: dict[str, Any]
    last: LastEvaluation | None


class ActiveRules(Struct):
    """The active rules, in the order of the file."""

    rules: list[ActiveRule]


class BacktestBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The text of a rules file (empty: the default file) and the period to test."""

    rules: Annotated[str, Meta(max_length=MAX_TEXT)] = ""
    hours: Annotated[float, Meta(gt=0, le=_LONGEST_DAYS * 24)] = 24.0
    step_seconds: Annotated[int, Meta(ge=15, le=3600, description="Seconds between evaluations.")] = 60


class BacktestAlertAnswer(Struct, kw_only=True):
    """The alert that one rule would have raised for one group."""

    rule: str
    group: dict[str, str | int]
    fired_at: Time


class BacktestMessageAnswer(Struct, kw_only=True):
    """A notification that would have been sent, with the figures of the leading alert."""

    at: Time
    reason: Annotated[str, Meta(description="opened, raised, reminder, again, ended or past.")]
    rate: float | None
    low: float | None
    threshold: float | None


class BacktestIncidentAnswer(Struct, kw_only=True):
    """An incident that there would have been. `told_at` is null if nobody would have been notified."""

    kind: str
    opened_at: Time
    told_at: Time | None
    ended_at: Time | None
    ended_how: str
    severity: str
    title: str
    advice: str
    codes: Annotated[list[int], Meta(description="The leading code first.")]
    slice: dict[str, list[str]] | None
    attempts: int
    failures: Annotated[int, Meta(description="From its start to its end, as are the contacts.")]
    contacts: int
    alerts: list[BacktestAlertAnswer]
    messages: list[BacktestMessageAnswer]


class WouldSuppress(Struct, kw_only=True):
    """A suppression that the failures of this period would have caused."""

    contact: str
    phone_number_id: str
    reason: str
    scope: str
    code: int
    until: Time | None
    failures: int


class BacktestAnswer(Struct, kw_only=True):
    """The result of a backtest. `left_out`: rules of kinds that cannot be evaluated afterwards."""

    start: Time
    end: Time
    evaluations: int
    incidents: list[BacktestIncidentAnswer]
    left_out: list[str]
    suppressed: Annotated[int, Meta(description="Number of suppressions; the first thousand are listed.")]
    spared: Annotated[int, Meta(description="Suppressions that the incidents would have prevented.")]
    suppressions: list[WouldSuppress]


def list_rules(call: Call) -> ActiveRules:
    """List the active rules with the last evaluation of each."""
    evaluations = rule_evaluations.all_evaluations(call.connection)
    rules = rules_in_force(call.settings)
    if rules is None:
        raise ApiError(503, "bad_rules", "The rules file is invalid: run `webhook-app check`.")
    return ActiveRules([_active_rule(rule, evaluations.get(rule.name)) for rule in rules])


def backtest_rules(call: Call, body: BacktestBody) -> BacktestAnswer:
    """Test a rules file on past data: incidents that there would have been, and suppressions.

    An invalid file returns 400 with every error by line and key. For longer periods use `webhook-app backtest`.
    """
    try:
        rules = parse_rules(body.rules or default_rules_text())
    except RulesFileError as fault:
        raise ApiError(400, "bad_rules", str(fault)) from None
    thresholds = Thresholds(failures=call.settings.soft_failures, days=call.settings.soft_days)
    start, step = call.now - timedelta(hours=body.hours), timedelta(seconds=body.step_seconds)
    return _backtest_answer(
        run_backtest(call.connection.engine, rules, start, call.now, thresholds, step=step)
    )


def _active_rule(rule: Rule, evaluation: RuleEvaluation | None) -> ActiveRule:
    kind = RULE_KINDS[rule.kind]
    values = to_builtins(rule)
    last = convert(evaluation, LastEvaluation, from_attributes=True) if evaluation else None
    keys = {key: values[key] for key in kind.all_keys if key not in ("name", "kind", "severity")}
    return ActiveRule(
        name=rule.name, kind=rule.kind, asks=kind.asks, severity=rule.severity, keys=keys, last=last
    )


def _backtest_answer(report: BacktestReport) -> BacktestAnswer:
    suppressions = [
        WouldSuppress(
            contact=display(row.contact),
            phone_number_id=row.phone_number_id,
            reason=row.reason,
            scope=row.scope,
            code=row.code,
            until=row.until,
            failures=row.failures,
        )
        for row in report.blocked[:_LISTED]
    ]
    return BacktestAnswer(
        start=report.start,
        end=report.end,
        evaluations=report.evaluations,
        incidents=[convert(each, BacktestIncidentAnswer, from_attributes=True) for each in report.incidents],
        left_out=report.left_out,
        suppressed=len(report.blocked),
        spared=report.spared,
        suppressions=suppressions,
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/rules", list_rules, "viewer"),
    Endpoint("POST", "/v1/rules/backtest", backtest_rules, "admin"),
)
