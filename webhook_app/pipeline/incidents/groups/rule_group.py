"""The groups that rules judge: what is known of an open one, and a judged one."""

from datetime import timedelta

from msgspec import Struct

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Judgement, Rule, selects
from webhook_app.store.counts.window_counts import Counted, WindowCounts
from webhook_app.whatsapp.errors.catalogue import explain

Group = dict[str, str | int]
"""Value by dimension."""

NO_COUNTS = Counts(0, 0)


class OpenGroup(Struct, frozen=True):
    """The part of an open alert that judging its group needs."""

    group: Group
    limit: float = 0.0
    is_firing: bool = False


class RuleGroup(Struct, frozen=True, kw_only=True):
    """One group of one rule at one time, with its judgement. `finding` is the problem for kinds without a rate."""

    rule: Rule
    group: Group
    key: str
    """The key of the group, by which its alert is found."""
    judgement: Judgement
    counts: Counts = NO_COUNTS
    window: WindowCounts | None = None
    finding: str = ""
    details: tuple[tuple[str, str], ...] = ()
    advice: str = ""
    account_wide: bool = False
    recent: Counts | None = None
    """The counts of the shortest window, for a rule with several."""
    usual_gap: timedelta = timedelta(0)
    """The average time between two messages, for a rule with several windows."""


def counted_by(rule: Rule) -> Counted:
    """A function that says whether the rule counts a code. It looks each code up once."""
    known: dict[int, bool] = {}

    def counted(code: int) -> bool:
        if code not in known:
            known[code] = selects(rule, explain(code), code)
        return known[code]

    return counted


class FoundGroups(Struct, frozen=True):
    """The judged groups of a rule: those that may be above, those with an open alert, and the closest."""

    groups: list[RuleGroup]
    examined: int
    """The number of all groups of the rule."""
