"""How much of Meta's messaging limit is used: shared by the accounts of a portfolio, and reported when it is nearly."""

import pytest
from msgspec.structs import replace

from webhook_app.rules.accounts.doctor_check import AccountReading, LimitUse
from webhook_app.rules.accounts.messaging_limit import account_tiers, judge_limits, shared_limits
from webhook_app.whatsapp.accounts.graph_answers import AccountFacts, EntityHealth, GraphReadError

FACTS = AccountFacts(
    waba_id="", name="Acme EU", status="ACTIVE", review="APPROVED", marketing_is_off=False, limit="TIER_2K"
)
NO_ANSWER = GraphReadError(2, -1, "Service temporarily unavailable")


def account(limit="TIER_2K", portfolio=""):
    business = EntityHealth(
        kind="BUSINESS", entity_id=portfolio, can_send="AVAILABLE", code=-1, reason="", solution=""
    )
    facts = replace(FACTS, limit=limit)
    return AccountReading(account=facts, apps=[], numbers=[], health=[business] if portfolio else [])


def test_accounts_of_one_portfolio_share_the_limit():
    accounts = {"2": account(portfolio="330"), "1": account(portfolio="330"), "3": account("TIER_250")}
    assert shared_limits(accounts) == [
        LimitUse(waba_ids=("1", "2"), limit=2000),
        LimitUse(waba_ids=("3",), limit=250),
    ]


@pytest.mark.parametrize("limit", ["", "UNTIERED", "TIER_UNLIMITED"])
def test_without_a_known_limit_nothing_is_measured(limit):
    assert shared_limits({"1": account(limit)}) == []


def test_an_account_that_was_not_read_has_no_tier():
    unread = AccountReading(account=NO_ANSWER, apps=NO_ANSWER, numbers=NO_ANSWER)
    assert account_tiers({"1": unread, "2": account("TIER_UNLIMITED")}) == {"2": ("TIER_UNLIMITED", -1)}


@pytest.mark.parametrize(
    ("people", "status"), [(None, "ok"), (1599, "ok"), (1600, "warning"), (2400, "warning")]
)
def test_from_four_fifths_on_the_limit_is_nearly_used(people, status):
    limit = LimitUse(waba_ids=("1", "2"), limit=2000, people=people)
    (check,) = judge_limits([limit], {"1": account(), "2": account()})
    assert (check.status, check.subject_id, check.name) == (status, "1", "Acme EU")
    assert "2 accounts of the portfolio" in check.message
