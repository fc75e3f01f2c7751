"""Decides from a reading of Meta's Graph API what is ok, what deserves attention and what is broken."""

from webhook_app.rules.accounts.doctor_access import judge_access
from webhook_app.rules.accounts.doctor_assets import judge_account
from webhook_app.rules.accounts.doctor_check import ORDER, DoctorCheck, Expected, GraphReading
from webhook_app.rules.accounts.messaging_limit import judge_limits


def judge(reading: GraphReading, expected: Expected) -> list[DoctorCheck]:
    """All checks of a reading, the worst first. Each names the error that its fault causes, and the remedy."""
    found = list(judge_access(reading, expected))
    for waba_id, account in reading.accounts.items():
        found += judge_account(waba_id, account, expected)
    found += judge_limits(reading.limits, reading.accounts)
    return sorted(found, key=lambda each: -ORDER.index(each.status))
