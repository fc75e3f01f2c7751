"""Decides about templates of low quality, sends without labels, and lists of people who are never reached."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from webhook_app.rules.accounts.health_states import HealthState
from webhook_app.rules.counts.binomial import lower_bound
from webhook_app.rules.incidents.findings.finding import WEEK_DAYS, CountedDays, FoundState
from webhook_app.rules.incidents.formats import number, percent
from webhook_app.rules.incidents.rules_file.rule import Rule

UNREACHABLE = 131026
LOW_QUALITY = ("YELLOW", "RED")
UNLABELLED_SHARE = 0.5
FEWEST_UNLABELLED = 200
FEWEST_UNLABELLED_DAYS = 3
UNREACHED_SHARE = 0.2
FEWEST_CONTACTS = 50
_ERROR = 0.001


def find_low_quality(
    subject_id: str, name: str, waba_id: str, states: Mapping[str, HealthState]
) -> FoundState | None:
    """The finding about a template whose quality is YELLOW or RED; None for another quality."""
    quality = states.get("quality")
    if quality is None or quality.value not in LOW_QUALITY:
        return None
    template = name or subject_id
    return FoundState(
        kind="template_quality",
        key=subject_id,
        title=f"Meta rates the quality of template {template} {quality.value}",
        severity="warning" if quality.value == "RED" else "notice",
        waba_id=waba_id,
        slice={"template": [template]},
        evidence={
            "quality": quality.value,
            "before": quality.detail.get("before"),
            "reported_at": quality.told_at.isoformat(),
        },
        advice="People block or report messages of this template. Send it to fewer people, only to those who expect it,"
        " or change its text. Meta pauses a template whose quality stays low.",
        since=quality.since,
    )


def is_announced_as_incident(quality: str, rules: Iterable[Rule]) -> bool:
    """Whether a rule already announces the template's RED quality as an incident."""
    return quality == "RED" and any(rule.kind == "health" and "quality" in rule.checks for rule in rules)


def find_unlabelled(days: CountedDays) -> list[FoundState]:
    """The accounts of which more than half of the week's messages name neither template nor campaign."""
    every: dict[str, list[int]] = {}
    unlabelled: Counter[str] = Counter()
    for series, counts in days.attempts.items():
        week = counts[-WEEK_DAYS:]
        sums = every.setdefault(series.waba_id, [0] * len(week))
        every[series.waba_id] = [one + other for one, other in zip(sums, week, strict=True)]
        if not series.template and not series.campaign:
            unlabelled[series.waba_id] += sum(week)
    return [
        _unlabelled(account, unlabelled[account], sum(counts), days)
        for account, counts in sorted(every.items())
        if sum(map(bool, counts)) >= FEWEST_UNLABELLED_DAYS and _are_most(unlabelled[account], sum(counts))
    ]


def _are_most(unlabelled: int, messages: int) -> bool:
    enough = messages >= FEWEST_UNLABELLED
    return enough and lower_bound(unlabelled, messages, _ERROR) > UNLABELLED_SHARE


def _unlabelled(account: str, unlabelled: int, messages: int, days: CountedDays) -> FoundState:
    return FoundState(
        kind="unlabelled_sends",
        key=account,
        title=f"Most messages name neither template nor campaign, WhatsApp account {account}",
        waba_id=account,
        slice={"waba_id": [account]} if account else None,
        impact={"messages": unlabelled, "share": unlabelled / messages},
        evidence={"messages": messages, "unlabelled": unlabelled, "days": WEEK_DAYS},
        advice='Add biz_opaque_callback_data to each send, such as {"template": "order", "campaign": "spring"},'
        " or report sends with POST /v1/sends. Without it an incident cannot say which template or campaign fails.",
        since=days.starts[-WEEK_DAYS],
    )


class UnreachedList(Struct, frozen=True, kw_only=True):
    """A campaign of the last week. `tried`: the contacts it was sent to; `unreached`: those never reached before."""

    campaign: str
    waba_id: str
    tried: int
    unreached: int


def suspect_campaigns(days: CountedDays) -> list[tuple[str, str, int]]:
    """Campaigns of which a fifth of the week's messages reached nobody: name, account, messages; the largest first.

    Whether their contacts were never reached is another question, which costs more.
    """
    tried: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for series, counts in days.attempts.items():
        if series.campaign:
            tried[series.campaign, series.waba_id] += sum(counts[-WEEK_DAYS:])
    for (code, series), counts in days.failures.items():
        if series.campaign and code == UNREACHABLE:
            failed[series.campaign, series.waba_id] += sum(counts[-WEEK_DAYS:])
    found = [
        (*place, messages)
        for place, messages in tried.items()
        if messages >= FEWEST_CONTACTS and failed[place] >= UNREACHED_SHARE * messages
    ]
    return sorted(found, key=lambda each: (-each[2], each[0]))


def find_unreached(lists: Sequence[UnreachedList], since: datetime) -> list[FoundState]:
    """The campaigns of which a fifth or more of the contacts were never reached."""
    return [
        FoundState(
            kind="unreached_list",
            key=f"{each.waba_id} {each.campaign}",
            title=f"Many contacts of campaign {each.campaign} were never reached",
            waba_id=each.waba_id,
            codes=(UNREACHABLE,),
            slice={"campaign": [each.campaign]},
            impact={
                "failures": each.unreached,
                "contacts": each.unreached,
                "share": each.unreached / each.tried,
            },
            evidence={"contacts": each.tried, "unreached": each.unreached},
            advice=f"{number(each.unreached)} of {number(each.tried)} contacts"
            f" ({percent(each.unreached / each.tried)}) failed with {UNREACHABLE} and have received nothing for a year,"
            " or since webhooks are stored. Remove them from the list: Meta lowers the quality of numbers that"
            " write to such people.",
            since=since,
        )
        for each in lists
        if each.tried >= FEWEST_CONTACTS and each.unreached >= UNREACHED_SHARE * each.tried
    ]
