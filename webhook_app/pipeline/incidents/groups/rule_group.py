"""The groups that rules judge: what is known of an open one, and a judged one."""

from collections.abc import Sequence
from datetime import timedelta

from msgspec import Struct

from webhook_app.rules.counts.failure_rate import Counts
from webhook_app.rules.incidents.alerts import Judgement, Reading
from webhook_app.rules.incidents.formats import number
from webhook_app.rules.incidents.rules_file.rule import Rule, selects
from webhook_app.store.counts.window_counts import Counted, WindowCounts
from webhook_app.store.incidents.alerts import Alert, group_key
from webhook_app.whatsapp.errors.catalogue import explain

Group = dict[str, str | int]
"""Value by dimension."""

NO_COUNTS = Counts(0, 0)
ENOUGH_TO_JUDGE = 20
"""Messages in a window from which its rate says whether a failure is over."""
MOST_GROUPS = 500
"""Groups of one rule above that have their own alert, and as many open ones besides."""


class OpenGroup(Struct, frozen=True):
    """The part of an open alert that judging its group needs."""

    group: Group
    limit: float = 0.0
    is_firing: bool = False
    is_shown: bool = False
    """Whether webhooks have shown failures of it."""


def open_group(alert: Alert) -> OpenGroup:
    """The group of an open alert."""
    return OpenGroup(alert.group, alert.threshold, alert.state == "firing", bool(alert.webhook_codes))


class WebhookProof(Struct, frozen=True):
    """What webhooks alone say of a group: the codes for which they show it above. `has_reports`: whether senders
    reported failures in its window; then `window` is the one without them. Of the kind silence: whether only accepted
    sends that they report may show it.
    """

    codes: tuple[int, ...] = ()
    has_reports: bool = False
    window: WindowCounts | None = None


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
    accepted: int = 0
    """The sends that Meta accepted in the window, of a group of the kind silence."""
    reporters: frozenset[str] = frozenset()
    """The API keys that reported these sends."""
    recent: Counts | None = None
    """The counts of the shortest window, for a rule with several."""
    usual_gap: timedelta = timedelta(0)
    """The average time between two messages, for a rule with several windows."""
    proof: WebhookProof = WebhookProof()


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
    left_out: int = 0
    """Groups above that get no alert, because the rule has so many."""


def is_crowded(groups: Sequence[RuleGroup]) -> bool:
    """Whether more of the groups are above than have alerts."""
    return sum(each.judgement.reading is Reading.ABOVE for each in groups) > MOST_GROUPS


def limit_groups(groups: Sequence[RuleGroup], opened: Sequence[OpenGroup]) -> tuple[list[RuleGroup], int]:
    """The first MOST_GROUPS of these groups that are above, given worst first, and all open ones that are not.

    An open group stays among those above while these are fewer than twice as many. Also returns how many above are
    left out.
    """
    open_keys = {group_key(each.group) for each in opened}
    above = [each for each in groups if each.judgement.reading is Reading.ABOVE]
    others = [each for each in groups if each.judgement.reading is not Reading.ABOVE]
    kept = above[:MOST_GROUPS]
    kept += [each for each in above[MOST_GROUPS:] if each.key in open_keys][:MOST_GROUPS]
    left_out = len(above) - len(kept)
    kept += [each for n, each in enumerate(others) if n < MOST_GROUPS or each.key in open_keys]
    return kept, left_out


def worst_groups(
    groups: Sequence[RuleGroup], opened: Sequence[OpenGroup], rule: Rule, rest: Group, what: str
) -> list[RuleGroup]:
    """The groups that `limit_groups` returns, and the group `rest` while some are left out. `what`: their kind."""
    kept, left = limit_groups(groups, opened)
    if left or any(each.group == rest for each in opened):
        judgement = Judgement(
            reading=Reading.ABOVE if left else Reading.BELOW,
            description=f"{number(left)} further {what} have no alert of their own",
            trigger=f"More than {number(MOST_GROUPS)} {what}",
            recovery=f"At most {number(MOST_GROUPS)} {what}",
            closeness=float(left > 0),
        )
        finding = judgement.text
        kept.append(
            RuleGroup(rule=rule, group=rest, key=group_key(rest), judgement=judgement, finding=finding)
        )
    return kept
