"""/v1/rules: the rules in force with their last evaluation, and a rules file tried out on the past."""

from datetime import timedelta
from typing import Annotated, Any

from msgspec import Meta, Struct, to_builtins

from webhook_app.pipeline.operations.backtest import BacktestReport
from webhook_app.pipeline.operations.backtest import backtest as run_backtest
from webhook_app.rules.incidents.alerts import Rule
from webhook_app.rules.incidents.rule_kinds import RULE_KINDS
from webhook_app.rules.incidents.rules_file import RulesFileError, default_rules_text, parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import rule_evaluations
from webhook_app.store.incidents.rule_evaluations import RuleLook
from webhook_app.web.api.endpoints import Call, Endpoint
from webhook_app.web.api.values import Time
from webhook_app.web.errors import ApiError
from webhook_app.web.rules_in_force import rules_in_force
from webhook_app.whatsapp.people.contacts import display

_LONGEST_DAYS = 7.0
_SHOWN = 1000


class LastLook(Struct, kw_only=True):
    """The last evaluation of a rule. `closeness`: how near its nearest group is to firing, 1 when it is above."""

    evaluated_at: Time
    groups: Annotated[int, Meta(description="How many groups it made.")]
    closeness: float
    nearest: dict[str, str | int]
    seen: Annotated[str, Meta(description="The look at the nearest group, in words.")]


class ActiveRule(Struct, kw_only=True):
    """One rule of the file with the keys that its kind uses; `last` is null before its first evaluation."""

    name: str
    kind: str
    asks: Annotated[str, Meta(description="The question that the kind answers.")]
    severity: str
    keys: dict[str, Any]
    last: LastLook | None


class ActiveRules(Struct):
    """The rules in force, in the order of the file."""

    rules: list[ActiveRule]


class BacktestBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The text of a rules file, the default file if empty, and how much of the past to try it on."""

    rules: Annotated[str, Meta(max_length=200_000)] = ""
    hours: Annotated[float, Meta(gt=0, le=_LONGEST_DAYS * 24)] = 24.0
    step_seconds: Annotated[int, Meta(ge=15, le=3600, description="One look every so many seconds.")] = 60


class WouldFire(Struct, kw_only=True):
    """An alert that would have fired. `told_at` null: alert `spoken_for_by` would have told of the same cause."""

    number: int
    rule: str
    kind: str
    severity: str
    group: dict[str, str | int]
    codes: dict[str, Annotated[int, Meta(description="Messages that failed with it.")]]
    fired_at: Time
    resolved_at: Time | None
    minutes: int
    told_at: Time | None
    spoken_for_by: int | None
    attempts: int
    failures: int
    peak_rate: float
    why: str


class WouldSuppress(Struct, kw_only=True):
    """A suppression that would have been made from the failures of this time."""

    contact: str
    phone_number_id: str
    reason: str
    scope: str
    code: int
    until: Time | None
    failures: int


class BacktestAnswer(Struct, kw_only=True):
    """What would have happened. `left_out`: rules of kinds that cannot be judged afterwards."""

    start: Time
    end: Time
    evaluations: int
    alerts: list[WouldFire]
    left_out: list[str]
    suppressed: Annotated[
        int, Meta(description="Whom it would have suppressed; the first thousand are listed.")
    ]
    spared: Annotated[int, Meta(description="How many more it would have been without the alerts.")]
    suppressions: list[WouldSuppress]


def list_rules(call: Call) -> ActiveRules:
    """The rules in force, the last evaluation of each, and how near it is to firing."""
    looks = rule_evaluations.all_looks(call.connection)
    rules = rules_in_force(call.settings)
    if rules is None:
        raise ApiError(503, "bad_rules", "The rules file cannot be used: run `webhook-app check`.")
    return ActiveRules([_active(rule, looks.get(rule.name)) for rule in rules])


def backtest_rules(call: Call, body: BacktestBody) -> BacktestAnswer:
    """Try a rules file on the past: what would have fired, for how long, why, and whom it would have suppressed.

    A faulty file answers 400 with every fault by line and key. Longer stretches: `webhook-app backtest`.
    """
    try:
        rules = parse_rules(body.rules or default_rules_text())
    except RulesFileError as fault:
        raise ApiError(400, "bad_rules", str(fault)) from None
    thresholds = Thresholds(strikes=call.settings.soft_failures, days=call.settings.soft_days)
    start, step = call.now - timedelta(hours=body.hours), timedelta(seconds=body.step_seconds)
    return _answer(run_backtest(call.connection.engine, rules, start, call.now, thresholds, step=step))


def _active(rule: Rule, look: RuleLook | None) -> ActiveRule:
    kind = RULE_KINDS[rule.kind]
    held = to_builtins(rule)
    last = None
    if look is not None:
        last = LastLook(
            evaluated_at=look.evaluated_at,
            groups=look.groups,
            closeness=look.closeness,
            nearest=look.nearest,
            seen=look.seen,
        )
    keys = {key: held[key] for key in kind.all_keys if key not in ("name", "kind", "severity")}
    return ActiveRule(
        name=rule.name, kind=rule.kind, asks=kind.asks, severity=rule.severity, keys=keys, last=last
    )


def _answer(report: BacktestReport) -> BacktestAnswer:
    alerts = [
        WouldFire(
            number=firing.number,
            rule=firing.rule,
            kind=firing.kind,
            severity=firing.severity,
            group=firing.group,
            codes={str(each.code): each.failures for each in firing.codes},
            fired_at=firing.fired_at,
            resolved_at=firing.resolved_at,
            minutes=firing.minutes(report.end),
            told_at=firing.told_at,
            spoken_for_by=firing.spoken_for_by,
            attempts=firing.attempts,
            failures=firing.failures,
            peak_rate=firing.peak_rate,
            why=firing.why,
        )
        for firing in report.firings
    ]
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
        for row in report.blocked[:_SHOWN]
    ]
    return BacktestAnswer(
        start=report.start,
        end=report.end,
        evaluations=report.evaluations,
        alerts=alerts,
        left_out=report.left_out,
        suppressed=len(report.blocked),
        spared=report.spared,
        suppressions=suppressions,
    )


ENDPOINTS = (
    Endpoint("GET", "/v1/rules", list_rules, "viewer"),
    Endpoint("POST", "/v1/rules/backtest", backtest_rules, "admin"),
)
