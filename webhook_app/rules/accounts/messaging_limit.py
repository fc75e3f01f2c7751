"""Decides how much of Meta's messaging limit is used: the people that a business portfolio messaged within 24 hours."""

from collections.abc import Iterable, Mapping

from webhook_app.rules.accounts.doctor_check import AccountReading, Checked, DoctorCheck, LimitUse
from webhook_app.rules.incidents.formats import number, percent
from webhook_app.whatsapp.accounts.graph_answers import AccountFacts, GraphReadError
from webhook_app.whatsapp.accounts.health_changes import tier

NEARLY_USED = 0.8


def account_tiers(accounts: Mapping[str, AccountReading]) -> dict[str, tuple[str, int]]:
    """The messaging limit of each account as tier and number of people; without those that Meta does not limit so."""
    found = {}
    for waba_id, reading in accounts.items():
        listed = [] if isinstance(reading.numbers, GraphReadError) else reading.numbers
        own = [reading.account.limit] if isinstance(reading.account, AccountFacts) else []
        name, limit = tier(next(filter(None, [*own, *(each.limit for each in listed)]), ""))
        if limit is not None:
            found[waba_id] = name, limit
    return found


def shared_limits(accounts: Mapping[str, AccountReading]) -> list[LimitUse]:
    """The limits to measure, one for each business portfolio that `health_status` names, or for an account alone."""
    together: dict[str, list[str]] = {}
    tiers = account_tiers(accounts)
    for waba_id in sorted(tiers):
        together.setdefault(_portfolio(accounts[waba_id]) or waba_id, []).append(waba_id)
    limits = {waba_ids[0]: max(tiers[each][1] for each in waba_ids) for waba_ids in together.values()}
    return [
        LimitUse(waba_ids=tuple(waba_ids), limit=limits[waba_ids[0]])
        for waba_ids in together.values()
        if limits[waba_ids[0]] > 0
    ]


def _portfolio(reading: AccountReading) -> str:
    return next((each.entity_id for each in reading.health if each.kind == "BUSINESS"), "")


def judge_limits(limits: Iterable[LimitUse], accounts: Mapping[str, AccountReading]) -> Iterable[DoctorCheck]:
    """A check of each limit, of the first account that has it."""
    for each in limits:
        first = accounts[each.waba_ids[0]].account
        name = first.name if isinstance(first, AccountFacts) else ""
        of = Checked("account", each.waba_ids[0], name, each.waba_ids[0])
        limit = f"the messaging limit of {number(each.limit)} people in 24 hours"
        if len(each.waba_ids) > 1:
            limit += f", which {len(each.waba_ids)} accounts of the portfolio share,"
        if each.people is None or each.people < NEARLY_USED * each.limit:
            yield of.ok("messaging_limit", f"Less than {percent(NEARLY_USED)} of {limit} is used.")
            continue
        said = f"{percent(each.people / each.limit)} of {limit} is used: {number(each.people)} people were messaged."
        fix = (
            "Spread the campaign: near the limit Meta refuses messages to more people, with 131048 or 130429."
        )
        yield of.warning("messaging_limit", said, fix)
