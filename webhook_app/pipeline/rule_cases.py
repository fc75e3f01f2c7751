"""Which groups a rule has to judge at one moment: those with messages, those with an open alert. No I/O."""

from msgspec import Struct

from webhook_app.rules.alerting import Rule, selects
from webhook_app.rules.failure_rate import Counts
from webhook_app.store.alerts import Alert, group_key
from webhook_app.store.window_counts import Counted, WindowCounts
from webhook_app.whatsapp.error_codes import explain

Group = dict[str, str | int]
Key = tuple[str, str]
"""A rule's name and a group's key."""


class Case(Struct, frozen=True):
    """One group of one rule at one moment, with its open alert, if there is one."""

    rule: Rule
    group: Group
    counts: Counts
    window: WindowCounts
    alert: Alert | None


def counted_by(rule: Rule) -> Counted:
    """Which codes the rule counts, each looked up once."""
    known: dict[int, bool] = {}

    def counted(code: int) -> bool:
        if code not in known:
            known[code] = selects(rule, explain(code), code)
        return known[code]

    return counted


def cases_of(rule: Rule, window: WindowCounts, open_alerts: dict[Key, Alert]) -> list[Case]:
    """Every group of the rule with messages or an open alert; takes its alerts out of `open_alerts`."""
    counted = counted_by(rule)
    found: list[Case] = []
    for values, count in window.by_group(rule.group_by, counted).items():
        group = dict(zip(rule.group_by, values, strict=True))
        alert = open_alerts.pop((rule.name, group_key(group)), None)
        found.append(Case(rule, group, count, window, alert))
    for key in [key for key, alert in open_alerts.items() if _is_watched(rule, alert, counted)]:
        alert = open_alerts.pop(key)
        own = window.within(alert.group)
        count = Counts(sum(own.attempts.values()), own.failures(counted))
        found.append(Case(rule, alert.group, count, window, alert))
    # In one order everywhere, so that two evaluations that open the same alerts cannot deadlock.
    return sorted(found, key=lambda case: group_key(case.group))


def _is_watched(rule: Rule, alert: Alert, counted: Counted) -> bool:
    """Whether the rule, as it is now, still makes the alert's group."""
    code = alert.group.get("code")
    same = alert.rule == rule.name and alert.group.keys() == set(rule.group_by)
    return same and (code is None or counted(int(code)))
