"""/rules: each rule in plain words, its last evaluation, its alerts, and its groups by distance to the threshold."""

from collections.abc import Mapping

from flask import Response
from msgspec import Struct, to_builtins
from werkzeug.exceptions import NotFound

from webhook_app.pipeline.incidents.groups.rule_group import RuleGroup, open_group
from webhook_app.pipeline.incidents.inputs.live_inputs import LiveInputs, ReadCache
from webhook_app.pipeline.incidents.threshold_distances import LIVE, closest_groups
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rule_kinds import RULE_KINDS
from webhook_app.store.incidents import alerts, rule_evaluations, silences
from webhook_app.store.incidents.alerts import Alert
from webhook_app.store.incidents.rule_evaluations import RuleEvaluation
from webhook_app.store.incidents.silences import Silence
from webhook_app.web.pages.incidents.alert_names import KINDS, who
from webhook_app.web.pages.incidents.alert_view import AlertView, view, worst_first
from webhook_app.web.pages.incidents.rule_descriptions import describe
from webhook_app.web.pages.page import Page, PageRequest, render

_GROUPS = 25
_SHOWN_BESIDE = ("name", "kind", "severity")


class RuleView(Struct, frozen=True):
    """One rule with what is known of it now."""

    rule: Rule
    kind: str
    asks: str
    words: list[str]
    evaluation: RuleEvaluation | None
    alerts: list[AlertView]
    silences: list[Silence]
    """In force, and about this rule or its kind."""

    @property
    def firing(self) -> int:
        return sum(each.alert.state == "firing" for each in self.alerts)


class GroupView(Struct, frozen=True):
    """One group of a rule at this moment. `closeness`: 1 is above the threshold."""

    words: str
    seen: str
    reading: str
    closeness: float
    alert: Alert | None


def rule_list(request: PageRequest) -> Response:
    """All rules."""
    return render(request, "rules.html", rules=_views(request))


def rule_page(request: PageRequest) -> Response:
    """One rule, with the groups nearest to its threshold."""
    name = request.args.get("rule", "")
    shown = next((each for each in _views(request) if each.rule.name == name), None)
    if shown is None:
        raise NotFound(f"There is no rule {name!r} in the file.")
    values = to_builtins(shown.rule)
    keys = {key: values[key] for key in RULE_KINDS[shown.rule.kind].all_keys if key not in _SHOWN_BESIDE}
    groups = _groups(request, shown) if shown.rule.kind in LIVE else None
    return render(request, "rule.html", shown=shown, keys=keys, groups=groups, most=_GROUPS)


def _views(request: PageRequest) -> list[RuleView]:
    evaluations = rule_evaluations.all_evaluations(request.connection)
    open_alerts = worst_first(alerts.open_alerts(request.connection))
    active = silences.active(request.connection, request.now)
    return [
        RuleView(
            rule,
            KINDS.get(rule.kind, rule.kind),
            RULE_KINDS[rule.kind].asks,
            describe(rule),
            evaluations.get(rule.name),
            [view(alert) for alert in open_alerts if alert.rule == rule.name],
            [silence for silence in active if _is_about(silence.matchers, rule)],
        )
        for rule in request.rules.values()
    ]


def _is_about(matchers: Mapping[str, str | int], rule: Rule) -> bool:
    """Whether the silence may cover alerts of the rule, whatever their group."""
    own = {"rule": rule.name, "kind": rule.kind}
    return all(matchers.get(name, value) == value for name, value in own.items())


def _groups(request: PageRequest, shown: RuleView) -> list[GroupView]:
    facts = LiveInputs(request.connection, request.now, request.context.cache(ReadCache))
    opened = [open_group(each.alert) for each in shown.alerts]
    by_key = {each.alert.group_key: each.alert for each in shown.alerts}
    cases = closest_groups(shown.rule, facts, opened, _GROUPS)
    return [_group(case, by_key.get(case.key)) for case in cases]


def _group(case: RuleGroup, alert: Alert | None) -> GroupView:
    judgement = case.judgement
    code = case.group.get("code")
    named = ", ".join(filter(None, ("" if code is None else f"code {code}", who(case.group), _check(case))))
    words = f"{judgement.text[:1].upper()}{judgement.text[1:]}"
    return GroupView(named or "everything", words, judgement.reading.name.lower(), judgement.closeness, alert)


def _check(case: RuleGroup) -> str:
    return str(case.group.get("check") or case.group.get("aspect") or "").replace("_", " ")


PAGES = (
    Page("GET", "/rules", rule_list),
    Page("GET", "/rules/one", rule_page),
)
