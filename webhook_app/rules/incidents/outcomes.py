"""Judges shares of messages without a delivery report, or delivered slowly, against what is usual. Counts only."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache, partial

from webhook_app.rules.counts.failure_rate import Counts, wilson
from webhook_app.rules.incidents.alerts import Judgement, Reading
from webhook_app.rules.incidents.anomalies import USUAL_DAYS
from webhook_app.rules.incidents.rates import USUAL_FACTOR, WindowFigures, describe_share, judge_rate
from webhook_app.rules.incidents.rules_file.rule import Rule

KNOWN = 20
"""So many earlier messages of a group say what is usual there."""

KNOWN_IN_HOURS = 50
"""With fewer in the same hours, those of all hours count."""

_CONFIDENCE = 0.99
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

FINDINGS: Mapping[str, str] = {
    "undelivered": "Delivery reports are missing",
    "slow": "Messages are delivered slowly",
}
"""What an incident of this kind is about, as its title says it."""

ADVICE: Mapping[str, str] = {
    "undelivered": (
        "Meta reports these messages as sent and does not report them delivered. Send one to a phone that is online. If"
        " it does not arrive, hold what can wait, do not send again what was accepted, and remove no contacts: see"
        " Meta's status page (https://metastatus.com/whatsapp-business-api). If it arrives, only the reports are late"
        " or missing, and nothing needs to be sent again."
    ),
    "slow": (
        "Messages arrive late. Send what is urgent, such as one-time codes, another way until the delay is over, and"
        " send nothing twice. See Meta's status page (https://metastatus.com/whatsapp-business-api)."
    ),
}


def usual_hours(start: datetime, end: datetime) -> tuple[datetime, ...]:
    """The hours that say what is usual from `start` to `end`: those of the last seven days, and of four weekdays."""
    first = start.replace(minute=0, second=0, microsecond=0)
    return _usual_hours(first, -(-(end - first) // _HOUR))


@lru_cache(maxsize=64)
def _usual_hours(first: datetime, hours: int) -> tuple[datetime, ...]:
    own = [first + place * _HOUR for place in range(hours)]
    return tuple(
        sorted({hour - back * _DAY for back in USUAL_DAYS for hour in own if hour - back * _DAY < first})
    )


def usual_outcome_share(own: Counts) -> float | None:
    """The highest share that is usual for a group with this past; None if too few earlier messages are known.

    Chance may have hidden more in a short past. What is usual for others says little: some senders have no reports.
    """
    if own.attempts < KNOWN:
        return None
    high = wilson(own.failures, own.attempts, _CONFIDENCE).high
    return max(own.failures / own.attempts, high / USUAL_FACTOR)


def judge_outcomes(rule: Rule, counts: WindowFigures | None, usual: float | None) -> Judgement:
    """Judge a share as a failure rate, once it is known which share is usual.

    Where most messages never have a report, no share is a multiple of the usual one, so nothing fires.
    """
    if usual is not None:
        return judge_rate(rule, counts, usual)
    return Judgement(
        reading=Reading.NO_DATA, description=partial(_describe_unknown, rule, counts), limit=rule.threshold
    )


def _describe_unknown(rule: Rule, counts: WindowFigures | None) -> str:
    return f"{describe_share(rule, counts)}; too few earlier messages are known to say what is usual"
