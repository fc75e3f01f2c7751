"""The scenarios: outages and other faults that people must be told of, and what is not worth a message."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from benchmarks.judgement.traffic import (
    ALL_DAY,
    DAY,
    HOUR,
    MINUTE,
    OFFICE,
    QUIET_WEEKEND,
    WEEKDAYS,
    Fault,
    Sender,
)
from webhook_app.rules.counts.dimensions import SeriesKey

MONDAY = datetime(2026, 3, 9, tzinfo=UTC)
"""The first day of the traffic; the faults begin in the second week."""
BEGIN = MONDAY + 8 * DAY + 10 * HOUR
"""A Tuesday at 10:00."""

UNREACHABLE, BROKEN, PLATFORM, OVERLOADED = 131026, 131053, 131016, 131000
TEMPLATE_PAUSED, TEMPLATE_DISABLED, TOKEN, UNPAID, PERMISSION, TEMPLATE_MISSING = (
    *(132015, 132016, 190, 131042, 131005),
    132001,
)
HEALTHY = ((BROKEN, 0.003), (UNREACHABLE, 0.008))


class Scenario(Struct, frozen=True, kw_only=True):
    """One fault, and what is expected of the rules. `slice` None: none may be named; `any_slice`: no matter."""

    name: str
    senders: Sequence[Sender]
    faults: Sequence[Fault] = ()
    begin: datetime = BEGIN
    hours: float = 3.0
    told: int = 1
    """How many incidents are notified."""
    slice: tuple[dict[str, list[str]], ...] | None = None
    """Slices that are right; they hold the same messages."""
    any_slice: bool = False
    advice: str = ""
    """A part of the advice."""
    within: float = 15.0
    """Minutes from the beginning to the first message."""
    missing: str = ""
    """Why it cannot be told yet."""


def number(
    name: str,
    per_day: float,
    account: str = "A",
    template: str = "",
    campaign: str = "",
    country: str = "DE",
    usual: tuple[tuple[int, float], ...] = HEALTHY,
    **more: Any,
) -> Sender:
    """A sender with this series."""
    series = SeriesKey(name, account, template, campaign, country)
    return Sender(series=series, per_day=per_day, usual=usual, **more)


def fleet(count: int, per_day: float, account: str = "A", prefix: str = "n") -> list[Sender]:
    """Equal numbers of one account."""
    return [number(f"{prefix}{place}", per_day, account) for place in range(count)]


def fault(
    code: int,
    share: float = 1.0,
    minutes: float = 120,
    after: float = 0,
    begin: datetime = BEGIN,
    **where: str,
) -> Fault:
    """A fault from `after` minutes after the beginning on."""
    start = begin + after * MINUTE
    return Fault(start=start, end=start + minutes * MINUTE, code=code, share=share, where=where)


def undelivered(minutes: float = 120, after: float = 0, begin: datetime = BEGIN, **where: str) -> Fault:
    """Messages of matching series are reported as sent and not as delivered."""
    start = begin + after * MINUTE
    return Fault(start=start, end=start + minutes * MINUTE, undelivered=True, where=where)


def slow(share: float = 1.0, minutes: float = 120, after: float = 0, **where: str) -> Fault:
    """This share of the messages of matching series is delivered late."""
    start = BEGIN + after * MINUTE
    return Fault(start=start, end=start + minutes * MINUTE, slow=True, share=share, where=where)


def campaign(name: str, messages: float, minutes: float, number_name: str = "n0", **more: Any) -> Sender:
    """A campaign that begins with the fault and sends evenly."""
    return number(
        number_name,
        messages * 1440 / minutes,
        campaign=name,
        start=BEGIN,
        end=BEGIN + timedelta(minutes=minutes),
        **more,
    )


def _silence(begin: datetime, hours: float = 6, **where: str) -> Fault:
    return Fault(start=begin, end=begin + hours * HOUR, silent=True, where=where)


SATURDAY, NIGHT = MONDAY + 12 * DAY + 11 * HOUR, MONDAY + 9 * DAY + 2 * HOUR
SLOW = [number("small", 5, account="B", usual=()), *fleet(2, 3_000)]
TWO_COUNTRIES = [
    number("n0", 6_000, country="DE"),
    number("n0", 2_000, country="FR"),
    number("n1", 3_000, country="DE"),
]
TEMPLATES = [
    *(number("n0", 4_000, template=name) for name in ("order", "invoice", "shipped")),
    number("n1", 4_000, template="other"),
]

MUST_SEE: tuple[Scenario, ...] = (
    Scenario(
        name="4 % of one code on one of two numbers, 1 200 messages in 15 min",
        senders=[number("n0", 115_200), number("n1", 115_200)],
        faults=[fault(BROKEN, 0.04, phone_number_id="n0")],
        slice=({"phone_number_id": ["n0"]},),
    ),
    Scenario(
        name="5 of 5 on a number that sends 5 a day",
        senders=SLOW,
        faults=[fault(BROKEN, minutes=2 * 1440, phone_number_id="small")],
        slice=({"phone_number_id": ["small"]}, {"waba_id": ["B"]}),
        hours=50,
        within=24 * 60,
    ),
    Scenario(
        name="20 of 20 in an hour",
        senders=[number("n0", 480), *fleet(2, 3_000, prefix="m")],
        faults=[fault(BROKEN, minutes=60, phone_number_id="n0")],
        slice=({"phone_number_id": ["n0"]},),
        within=20,
    ),
    Scenario(
        name="60 of 60 of one campaign among 4 060 messages of the number",
        senders=[number("n0", 96_000), number("n1", 20_000), campaign("blast", 60, 60)],
        faults=[fault(BROKEN, minutes=60, campaign="blast")],
        slice=({"campaign": ["blast"]},),
    ),
    Scenario(
        name="500 numbers of 40 messages a day all fail",
        senders=fleet(500, 40),
        faults=[fault(PLATFORM)],
        advice="outage",
    ),
    Scenario(
        name="4 % for two hours at 300 messages per quarter of an hour",
        senders=[number("n0", 28_800), number("n1", 28_800)],
        faults=[fault(BROKEN, 0.04, phone_number_id="n0")],
        slice=({"phone_number_id": ["n0"]},),
        within=60,
    ),
    Scenario(
        name="one country",
        senders=TWO_COUNTRIES,
        faults=[fault(BROKEN, 0.6, country="FR")],
        slice=({"country": ["FR"]},),
    ),
    Scenario(
        name="one account",
        senders=[*fleet(3, 2_000, "A", "a"), *fleet(3, 2_000, "B", "b")],
        faults=[fault(BROKEN, 0.5, waba_id="B")],
        slice=({"waba_id": ["B"]},),
    ),
    Scenario(
        name="total silence of a sender that works on weekdays only",
        senders=[number("n0", 3_000, hours=OFFICE, weekdays=WEEKDAYS)],
        faults=[_silence(BEGIN + 14 * DAY)],
        begin=BEGIN + 14 * DAY,
        within=60,
    ),
    Scenario(
        name="total silence of 300 small numbers at once",
        senders=fleet(300, 40),
        faults=[_silence(BEGIN)],
        within=60,
    ),
    Scenario(
        name="delivered stops while sent goes on, one number",
        senders=fleet(3, 3_000),
        faults=[undelivered(phone_number_id="n0")],
        slice=({"phone_number_id": ["n0"]},),
        advice="does not report them delivered",
        within=30,
    ),
    Scenario(
        name="delivered stops, everything",
        senders=fleet(2, 3_000),
        faults=[undelivered()],
        within=30,
    ),
    Scenario(
        name="delivered stops, one account",
        senders=[*fleet(3, 2_000, "A", "a"), *fleet(3, 2_000, "B", "b")],
        faults=[undelivered(waba_id="B")],
        slice=({"waba_id": ["B"]},),
        within=30,
    ),
    Scenario(
        name="delivered stops, one country",
        senders=TWO_COUNTRIES,
        faults=[undelivered(country="FR")],
        slice=({"country": ["FR"]},),
        within=30,
    ),
    Scenario(
        name="delivered stops, a number that sends 5 a day",
        senders=SLOW,
        faults=[undelivered(minutes=3 * 1440, phone_number_id="small")],
        slice=({"phone_number_id": ["small"]}, {"waba_id": ["B"]}),
        hours=72,
        within=52 * 60,
    ),
    Scenario(
        name="delivered stops, five million messages a day",
        senders=[number("n0", 5_000_000), number("n1", 5_000_000)],
        faults=[undelivered(minutes=60, phone_number_id="n0")],
        slice=({"phone_number_id": ["n0"]},),
        hours=1.5,
        within=30,
    ),
    Scenario(
        name="delivered stops at night",
        senders=[number("n0", 5_000, unreported=0.15), number("n1", 5_000, unreported=0.15)],
        faults=[undelivered(minutes=180, begin=NIGHT, phone_number_id="n0")],
        begin=NIGHT,
        hours=4,
        slice=({"phone_number_id": ["n0"]},),
        within=40,
    ),
    Scenario(
        name="delivered stops, slow first: one incident",
        senders=fleet(3, 3_000),
        faults=[
            slow(minutes=30, phone_number_id="n0"),
            undelivered(minutes=90, after=30, phone_number_id="n0"),
        ],
        slice=({"phone_number_id": ["n0"]},),
    ),
    Scenario(
        name="slow deliveries, one number",
        senders=fleet(3, 3_000),
        faults=[slow(0.8, phone_number_id="n0")],
        slice=({"phone_number_id": ["n0"]},),
        advice="arrive late",
    ),
    Scenario(
        name="slow deliveries, everything",
        senders=fleet(3, 3_000),
        faults=[slow(0.6)],
        advice="arrive late",
    ),
    Scenario(
        name="platform outage over all numbers",
        senders=fleet(20, 2_000),
        faults=[fault(code, 0.45) for code in (PLATFORM, OVERLOADED)],
        advice="outage",
    ),
    Scenario(
        name="token expired",
        senders=fleet(3, 1_000),
        faults=[fault(TOKEN)],
        within=5,
    ),
    Scenario(
        name="template paused, then disabled",
        senders=TEMPLATES,
        faults=[
            fault(TEMPLATE_PAUSED, minutes=60, template="order"),
            fault(TEMPLATE_DISABLED, minutes=60, after=60, template="order"),
        ],
        slice=({"template": ["order"]},),
    ),
    Scenario(
        name="bad list: 80 % of a campaign unreachable",
        senders=[*fleet(3, 3_000), campaign("old-list", 800, 60)],
        faults=[fault(UNREACHABLE, 0.8, campaign="old-list")],
        slice=({"campaign": ["old-list"]},),
    ),
    Scenario(
        name="a bill not paid",
        senders=[*fleet(3, 1_000, "A", "a"), *fleet(3, 1_000, "B", "b")],
        faults=[fault(UNPAID, waba_id="B")],
        slice=({"waba_id": ["B"]},),
        within=5,
    ),
    Scenario(
        name="two accounts with unpaid bills are two incidents",
        senders=[*fleet(2, 1_000, "A", "a"), *fleet(2, 1_000, "B", "b"), *fleet(4, 3_000, "C", "c")],
        faults=[fault(UNPAID, waba_id="A"), fault(UNPAID, after=40, waba_id="B")],
        told=2,
        any_slice=True,
        within=5,
    ),
    Scenario(
        name="two causes at once",
        senders=[*fleet(2, 4_000, "A", "a"), *(number("b0", 4_000, "B", name) for name in ("x", "y"))],
        faults=[fault(BROKEN, 0.5, phone_number_id="a0"), fault(TEMPLATE_MISSING, template="x")],
        told=2,
        any_slice=True,
    ),
    Scenario(
        name="a broken template inside an outage",
        senders=TEMPLATES,
        faults=[fault(PLATFORM, 0.5), fault(TEMPLATE_PAUSED, after=30, minutes=60, template="order")],
        told=2,
        any_slice=True,
    ),
    Scenario(
        name="recovery and relapse within an hour are one incident",
        senders=fleet(2, 4_000),
        faults=[
            fault(BROKEN, 0.5, minutes=30, phone_number_id="n0"),
            fault(BROKEN, 0.5, minutes=30, after=80, phone_number_id="n0"),
        ],
        slice=({"phone_number_id": ["n0"]},),
    ),
    Scenario(
        name="an outage at night",
        senders=[number("n0", 5_000, hours=OFFICE), number("n1", 5_000, hours=OFFICE)],
        faults=[fault(PLATFORM, minutes=180, begin=NIGHT)],
        begin=NIGHT,
        hours=4,
        within=60,
        advice="outage",
    ),
    Scenario(
        name="an outage on a Saturday",
        senders=[number("n0", 5_000, weekdays=QUIET_WEEKEND), number("n1", 5_000, weekdays=QUIET_WEEKEND)],
        faults=[fault(PLATFORM, begin=SATURDAY)],
        begin=SATURDAY,
        advice="outage",
    ),
    Scenario(
        name="a campaign of an hour fails from its beginning",
        senders=[*fleet(3, 2_000), campaign("sale", 3_000, 60)],
        faults=[fault(TEMPLATE_MISSING, minutes=60, campaign="sale")],
        slice=({"campaign": ["sale"]},),
    ),
    Scenario(
        name="one 131005 every 20 minutes is one incident",
        senders=[number("n0", 3_000), *fleet(2, 3_000, prefix="m")],
        faults=[fault(PERMISSION, minutes=1, after=20 * turn, phone_number_id="n0") for turn in range(12)],
        hours=5,
        any_slice=True,
        within=30,
    ),
    Scenario(
        name="a number of two that carries a tenth of the traffic",
        senders=[number("n0", 9_000), number("n1", 1_000)],
        faults=[fault(BROKEN, 0.5, phone_number_id="n1")],
        slice=({"phone_number_id": ["n1"]},),
    ),
    Scenario(
        name="two of ten numbers",
        senders=fleet(10, 2_000),
        faults=[fault(BROKEN, 0.6, phone_number_id=name) for name in ("n2", "n5")],
        slice=({"phone_number_id": ["n2", "n5"]},),
    ),
    Scenario(
        name="one template in one country",
        senders=[
            number("n0", 3_000, template=template, country=country)
            for template in ("order", "invoice")
            for country in ("DE", "FR")
        ],
        faults=[fault(BROKEN, 0.7, template="order", country="FR")],
        slice=({"template": ["order"], "country": ["FR"]},),
    ),
    Scenario(
        name="media links broken for everybody, one number",
        senders=[number("n0", 4_000)],
        faults=[fault(BROKEN, 0.3)],
    ),
    Scenario(
        name="unreachable doubles from 4 % to 15 % on one number",
        senders=[number("n0", 5_000, usual=((UNREACHABLE, 0.04),)), *fleet(2, 5_000, prefix="m")],
        faults=[fault(UNREACHABLE, 0.12, minutes=180, phone_number_id="n0")],
        slice=({"phone_number_id": ["n0"]},),
        within=60,
    ),
    Scenario(
        name="everything fails for a week on 20 messages a day",
        senders=[number("n0", 20, usual=()), *fleet(2, 1_000, "B", "b")],
        faults=[fault(BROKEN, minutes=7 * 1440, phone_number_id="n0")],
        hours=26,
        slice=({"phone_number_id": ["n0"]}, {"waba_id": ["A"]}),
        within=6 * 60,
    ),
)

MUST_NOT_SAY: tuple[Scenario, ...] = (
    Scenario(name="healthy traffic for a day", senders=fleet(20, 2_000), hours=24, told=0),
    Scenario(
        name="4 % unreachable as every day",
        senders=[
            number("n0", 5_000, usual=((UNREACHABLE, 0.04),)),
            number("n1", 300, usual=((UNREACHABLE, 0.05),)),
        ],
        hours=24,
        told=0,
    ),
    Scenario(
        name="a campaign of an hour with a little more unreachable than usual",
        senders=[
            *(number(f"n{place}", 4_000, usual=((UNREACHABLE, 0.03), (BROKEN, 0.003))) for place in range(3)),
            campaign("sale", 3_000, 60, usual=((UNREACHABLE, 0.036), (BROKEN, 0.003))),
        ],
        hours=6,
        told=0,
    ),
    Scenario(
        name="a sender whose messages never have delivery reports",
        senders=[number("n0", 5_000, unreported=0.99), number("n1", 300, unreported=0.97), *fleet(2, 2_000)],
        hours=24,
        told=0,
    ),
    Scenario(
        name="phones that are off at night, and slow ones in the morning",
        senders=[number("n0", 5_000, unreported=0.2, slow=0.1), number("n1", 500, unreported=0.3, slow=0.15)],
        begin=NIGHT - 6 * HOUR,
        hours=20,
        told=0,
    ),
    Scenario(
        name="a campaign to phones that are off more often than usual",
        senders=[*fleet(3, 4_000), campaign("sale", 3_000, 60, unreported=0.12, slow=0.08)],
        hours=6,
        told=0,
    ),
    Scenario(
        name="a quiet weekend of a sender of office hours",
        senders=[number("n0", 3_000, hours=OFFICE, weekdays=WEEKDAYS)],
        begin=SATURDAY,
        hours=30,
        told=0,
    ),
    Scenario(
        name="a quiet night",
        senders=[number("n0", 3_000, hours=(0.0,) * 7 + ALL_DAY[7:])],
        begin=NIGHT - 4 * HOUR,
        hours=12,
        told=0,
    ),
    Scenario(
        name="two isolated failures on a small number",
        senders=SLOW,
        faults=[fault(BROKEN, minutes=2, phone_number_id="small")],
        hours=12,
        told=0,
    ),
)
