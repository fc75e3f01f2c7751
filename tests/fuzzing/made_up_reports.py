"""Made-up reports of a sender's key beside real traffic: what webhooks show is judged as it is without them.

python -m tests.fuzzing.made_up_reports --minutes 20 --seed 7    prints each fault with its seed; exit code 1 if any
Each seed is a few hours of webhooks in simulated time, with outages or none, played once alone and once with what a key
makes up: failed calls with the same or other codes, at real or invented places, also of messages that others have sent,
and accepted sends.
"""

import argparse
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count, product
from pathlib import Path
from random import Random
from typing import TypeVar

import psycopg
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import text

from tests.support.factories import body, status
from tests.support.reports import accepted_calls, failed_call
from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database
from webhook_app.pipeline.counts.count_funnels import count_stages
from webhook_app.pipeline.counts.measure_lateness import measure
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.pipeline.incidents.inputs.live_inputs import ReadCache
from webhook_app.pipeline.incidents.past.judge_past import Unfinished, judge_past
from webhook_app.pipeline.receiving.batch_writer import BatchWriter
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.sends.reports import register
from webhook_app.pipeline.suppressions.suppress import suppress
from webhook_app.rules.incidents.pauses import pauses
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.rules.suppressions.streaks import Thresholds
from webhook_app.store.incidents import alerts
from webhook_app.store.postgres.engine import connect, make_engine
from webhook_app.store.schema import metadata
from webhook_app.whatsapp.sends.send_reports import SendReport

MINUTE = timedelta(minutes=1)
KINDS = ("rate", "attention", "spike", "new_code", "silence", "undelivered")
RULES = tuple(rule for rule in parse_rules(default_rules_text()) if rule.kind in KINDS)
ACCOUNTS = {
    "590238114470021": "384610027715590",
    "590238114470022": "384610027715590",
    "590238114470077": "384610027715591",
}
TEMPLATES = ("order", "invoice", "")
NO_REPORTS = 0
"""The code of an outage in which messages are sent and no delivery report comes."""
PLATFORM, BROKEN, PAUSED, UNPAID, UNREACHABLE, TOKEN, LOCKED, LIMITED = (
    131016, 131053, 132015, 131042, 131026, 190, 131031, 130429,
)  # fmt: skip
KEYS = ("rival", "accomplice")
NOWHERE, MADE_UP = "590230000000000", "made_up"
BEGINNINGS = ("fired", "again", "escalated", "past")
LATER = 3
ALLOWED = {"past": 20, "resolved": 40}
"""Minutes by which made-up reports may delay a notification, by its reason; LATER for the others."""

Item = TypeVar("Item")


class Outage(Struct, frozen=True):
    """From minute `start` to before `end` this share of the messages fails with the code, or has no delivery report."""

    code: int
    share: float
    start: int
    end: int
    number: str = ""
    template: str = ""
    late: int = 0
    """Minutes by which its webhooks come late."""

    def holds(self, minute: int, number: str, template: str) -> bool:
        return (
            self.start <= minute < self.end
            and self.number in ("", number)
            and self.template in ("", template)
        )


class MadeUp(Struct, frozen=True):
    """What a key reports in each of these minutes. Code 0: calls that Meta accepted."""

    key: str
    code: int
    calls: int
    minutes: range
    number: str
    template: str
    is_of_others: bool = False
    """Whether the failed calls are of messages that were sent in the last minutes."""


class Plan(Struct, frozen=True):
    """One seed: the traffic, what really fails, and what is made up."""

    per_minute: dict[str, float]
    outages: list[Outage]
    made_up: list[MadeUp]
    minutes: int


class Told(Struct, frozen=True):
    """A notification about an incident that webhooks show."""

    minute: int
    reason: str
    title: str
    codes: tuple[int, ...]


class Seen(Struct, frozen=True):
    """What came of it."""

    told: list[Told]
    paused: dict[int, set[tuple[int, str]]]
    """By minute: the codes and business numbers of pauses that concern other keys."""
    open: dict[int, set[int]]
    """By minute: the codes of open incidents that webhooks show."""
    excused: set[str]
    """The real failures that an outage explains."""


def make_plan(seed: int) -> Plan:
    random = Random(seed)
    numbers = list(ACCOUNTS)
    plan = Plan(
        per_minute={number: random.choice((0.3, 2, 8)) for number in numbers},
        outages=[_outage(random, numbers) for _ in range(random.choice((1, 1, 1, 2)))],
        made_up=[],
        minutes=120,
    )
    if any(each.late for each in plan.outages):
        plan = replace(plan, minutes=210)
    plan.made_up.extend(_made_up(random, plan) for _ in range(random.choice((1, 1, 2, 3, 5))))
    return plan


def _outage(random: Random, numbers: list[str]) -> Outage:
    start = random.randrange(20, 50)
    code = random.choice((PLATFORM, BROKEN, PAUSED, UNPAID, UNREACHABLE, TOKEN, LOCKED, NO_REPORTS))
    template = random.choice(TEMPLATES[:2]) if code == PAUSED else ""
    is_wide = code in (PLATFORM, TOKEN) and random.random() < 0.5
    return Outage(
        code=code,
        share=random.choice((0.1, 0.3, 1.0)),
        start=start,
        end=start + random.choice((10, 25, 45)),
        number="" if is_wide or template else random.choice(numbers),
        template=template,
        late=0 if code == NO_REPORTS else random.choice((0, 0, 0, 70)),
    )


def _made_up(random: Random, plan: Plan) -> MadeUp:
    real = random.choice(plan.outages)
    start = random.choice((5, real.start - 10, real.start - 2, real.start + 3, real.end - 3, real.end + 5))
    codes = (real.code, real.code, 0, PLATFORM, BROKEN, PAUSED, UNPAID, UNREACHABLE, TOKEN, LIMITED)
    found = MadeUp(
        key=random.choice(KEYS[:1] * 3 + KEYS[1:]),
        code=random.choice(codes),
        calls=random.choice((1, 3, 12, 60, 400)),
        minutes=range(start, start + random.choice((1, 1, 5, 20, 60)), random.choice((1, 1, 5))),
        number=random.choice((real.number or next(iter(ACCOUNTS)), *ACCOUNTS, NOWHERE)),
        template=random.choice((real.template, "order", "", MADE_UP)),
    )
    share_of_others = 0.7 if real.code == NO_REPORTS else 0.25
    return replace(found, is_of_others=found.code != 0 and random.random() < share_of_others)


class World:
    """A database in which plans are played one after the other."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.engine = make_engine(url, application="tests")

    def empty(self) -> None:
        with self.engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())

    def play(self, seed: int, plan: Plan, begin: datetime, *, is_made_up: bool) -> Seen:
        """Play a plan from `begin` on, with the reports or without, in an empty database."""
        writer = BatchWriter(lambda: connect(self._url, application="tests"), slot=0)
        traffic, reports = Random(f"traffic {seed}"), Random(f"reports {seed}")
        ids, calls, memory = count(1), count(1), ReadCache()
        paused: dict[int, set[tuple[int, str]]] = {}
        opened: dict[int, set[int]] = {}
        late: dict[int, list[bytes]] = {}
        recent: dict[str, list[str]] = {}
        unfinished = Unfinished()
        for raw, at in _days_before(begin):
            writer.store([Delivery(raw)], at)
        for minute in range(plan.minutes):
            at = begin + minute * MINUTE
            for number, waba in ACCOUNTS.items():
                for after, items in _statuses(traffic, plan, minute, number, at, ids).items():
                    recent[number] = [*recent.get(number, ()), *(str(each["id"]) for each in items)][-200:]
                    late.setdefault(minute + after, []).append(body(*items, number=number, waba=waba))
            for raw in late.pop(minute, ()):
                writer.store([Delivery(raw)], at)
            for each in plan.made_up if is_made_up else ():
                if minute in each.minutes:
                    theirs = recent.get(each.number, ()) if each.is_of_others else ()
                    self._report(each, list(_reports(reports, each, at, calls, theirs)), at)
            count_stages(self.engine, at + timedelta(seconds=20))
            evaluate(self.engine, RULES, at + timedelta(seconds=30), channels=["slack", "log"], memory=memory)
            measure(self.engine, at + timedelta(seconds=50))
            judge_past(
                self.engine,
                RULES,
                at + timedelta(seconds=50),
                channels=["slack", "log"],
                unfinished=unfinished,
            )
            self._deliver(at)
            if minute % 5 == 0:
                suppress(self.engine, RULES, Thresholds(), at + timedelta(seconds=50))
            paused[minute], opened[minute] = self._paused(), self._open()
        for minute in (*range(plan.minutes, plan.minutes + 60, 5), plan.minutes + 180):
            at = begin + minute * MINUTE
            evaluate(self.engine, RULES, at, channels=["slack", "log"], memory=memory)
            suppress(self.engine, RULES, Thresholds(), at)
        writer.close()
        return Seen(list(self._notifications(begin)), paused, opened, self._excused())

    def _report(self, made_up: MadeUp, found: list[SendReport], at: datetime) -> None:
        with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            register(connection, found, at, reported_by=made_up.key)

    def _deliver(self, at: datetime) -> None:
        """Otherwise what waits to be delivered would be changed by what happens next."""
        with self.engine.begin() as connection:
            connection.execute(
                text("UPDATE notifications SET sent_at = :at WHERE sent_at IS NULL"), {"at": at}
            )

    def _paused(self) -> set[tuple[int, str]]:
        with self.engine.connect() as connection:
            found = pauses(alerts.firing_of_kinds(connection, ("attention",)))
        return {(each.code, each.phone_number_id) for each in found if each.is_shown}

    def _open(self) -> set[int]:
        asked = text(
            "SELECT DISTINCT unnest(i.codes) FROM incidents i JOIN alerts a ON a.incident_id = i.id"
            " WHERE i.state = 'open' AND a.state = 'firing' AND a.webhook_codes IS DISTINCT FROM '{}'"
        )
        with self.engine.connect() as connection:
            return set(connection.execute(asked).scalars())

    def _notifications(self, begin: datetime) -> Iterator[Told]:
        asked = text(
            "SELECT n.created_at, n.reason, n.payload,"
            " bool_or(a.id IS NOT NULL AND a.webhook_codes IS DISTINCT FROM '{}') AS is_shown"
            " FROM notifications n LEFT JOIN alerts a ON a.incident_id = n.incident_id"
            " WHERE n.channel = 'slack' GROUP BY n.id ORDER BY n.id"
        )
        with self.engine.connect() as connection:
            for at, reason, payload, is_shown in connection.execute(asked):
                if is_shown:
                    codes = tuple(each["code"] for each in payload.get("codes", ()))
                    yield Told(int((at - begin) / MINUTE), reason, payload["title"], codes)

    def _excused(self) -> set[str]:
        asked = text("SELECT message_id FROM failures WHERE source <> 'send' AND explained_by IS NOT NULL")
        with self.engine.connect() as connection:
            return set(connection.execute(asked).scalars())


def _days_before(begin: datetime) -> Iterator[tuple[bytes, datetime]]:
    """Messages whose delivery reports came at once, at the same hours of three days: what is usual."""
    for day, hour, (number, waba) in product((1, 2, 3), (0, 1, 2), ACCOUNTS.items()):
        at = begin - timedelta(days=day) + timedelta(hours=hour)
        ids = [f"wamid.before.{number}.{day}.{hour}.{place}" for place in range(20)]
        for kind in ("sent", "delivered"):
            yield body(*(status(each, kind, at) for each in ids), number=number, waba=waba), at


def _statuses(
    random: Random, plan: Plan, minute: int, number: str, at: datetime, ids: Iterator[int]
) -> dict[int, list[dict[str, object]]]:
    """The statuses of a minute, by how many minutes late they arrive."""
    rate, found = plan.per_minute[number], dict[int, list[dict[str, object]]]()
    messages = int(rate) + (random.random() < rate % 1)
    for _ in range(messages):
        template, serial = random.choice(TEMPLATES), next(ids)
        failing = next(
            (o for o in plan.outages if random.random() < o.share and o.holds(minute, number, template)), None
        )
        code = failing.code if failing else UNREACHABLE if random.random() < 0.005 else None
        named = {"biz_opaque_callback_data": f"template={template}"} if template else {}
        kinds = ("sent", "delivered") if code is None else ("failed",)
        if code == NO_REPORTS:
            kinds, code = ("sent",), None
        for kind in kinds:
            made = status(f"wamid.R{serial}", kind, at, code=code, recipient=f"1202555{serial:05}", **named)
            found.setdefault(failing.late if failing else 0, []).append(made)
    return found


def _reports(
    random: Random, made_up: MadeUp, at: datetime, calls: Iterator[int], theirs: Sequence[str]
) -> Iterator[SendReport]:
    """`theirs`: the messages of others that the calls are about; none: each has one of its own."""
    if not made_up.code:
        yield from accepted_calls(
            made_up.number, at, contacts=[f"1404556{next(calls):05}" for _ in range(made_up.calls)]
        )
        return
    for _ in range(made_up.calls):
        serial = next(calls)
        yield failed_call(
            at + timedelta(seconds=random.randrange(20)),
            made_up.code,
            message_id=theirs[serial % len(theirs)] if theirs else f"send:{made_up.key}.{serial}",
            number=made_up.number,
            contact=f"1404555{serial:05}",
            template="" if theirs else made_up.template,
        )


def faults(plan: Plan, alone: Seen, beside: Seen) -> Iterator[str]:
    """What webhooks show and made-up reports change."""
    yield from _told_faults(alone.told, beside.told)
    for minute, codes in alone.open.items():
        failing = {each.code for each in plan.outages if minute < each.end + each.late}
        if gone := (codes & failing) - _near(beside.open, minute):
            yield f"not open at minute {minute}: {sorted(gone)}"
            break
    for what, one, other in (("no pause", alone, beside), ("a pause", beside, alone)):
        for minute, found in one.paused.items():
            if differing := found - _near(other.paused, minute):
                yield f"{what} at minute {minute}: {sorted(differing)}"
                break
    for what, differing_failures in (
        ("more", beside.excused - alone.excused),
        ("fewer", alone.excused - beside.excused),
    ):
        if differing_failures:
            yield f"{len(differing_failures)} {what} failures are excused (of {len(alone.excused)})"


def _told_faults(alone: Iterable[Told], beside: Sequence[Told]) -> Iterator[str]:
    for each in alone:
        if each.reason in BEGINNINGS and not _is_told(each, beside, BEGINNINGS):
            yield f"not told in time: {each.title} ({each.reason} at {each.minute})"
        if each.reason == "resolved" and not _is_told(each, beside, ("resolved",)):
            yield f"no end in time: {each.title} (at {each.minute})"
    for each in beside:
        if MADE_UP in each.title or NOWHERE in each.title:
            yield f"a made-up place: {each.title} ({each.reason} at {each.minute})"


def _near(found: Mapping[int, set[Item]], minute: int) -> set[Item]:
    return set().union(*(found.get(each, set()) for each in range(minute - LATER, minute + LATER + 1)))


def _is_told(told: Told, others: Iterable[Told], reasons: Collection[str]) -> bool:
    return any(
        set(told.codes[:1]) <= set(other.codes)
        and (bool(told.codes) or _what(told) == _what(other))
        and other.minute <= told.minute + ALLOWED.get(told.reason, LATER)
        and other.reason in reasons
        for other in others
    )


def _what(told: Told) -> str:
    return told.title.partition(",")[0]


def examine(world: World, seed: int, begin: datetime) -> list[str]:
    """Play the plan of a seed twice; returns what does not hold."""
    plan = make_plan(seed)
    seen = []
    for is_made_up in (False, True):
        world.empty()
        seen.append(world.play(seed, plan, begin, is_made_up=is_made_up))
    return list(faults(plan, *seen))


@contextmanager
def own_database() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="webhook_app_fuzz_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            with psycopg.connect(postgres.url, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            migrate_database(postgres.url)
            yield postgres.url
        finally:
            postgres.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing.made_up_reports", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--seeds", type=int, help="how many; without it, as many as the minutes allow")
    given = parser.parse_args()
    begin = (datetime.now(UTC) - timedelta(hours=6)).replace(second=0, microsecond=0)
    ends, wrong = time.monotonic() + given.minutes * 60, 0
    with own_database() as url:
        world = World(url)
        for seed in count(given.seed):
            if time.monotonic() > ends or (given.seeds and seed >= given.seed + given.seeds):
                break
            found = examine(world, seed, begin)
            wrong += bool(found)
            for fault in found:
                print(f"seed {seed}: {fault}", flush=True)
        world.engine.dispose()
    print(f"{seed - given.seed} seeds, {wrong} with faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
