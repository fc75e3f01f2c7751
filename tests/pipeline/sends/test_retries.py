"""Failed messages are leased to one sender at a time until they arrive, or become dead letters."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.support.factories import NUMBER, number_change, status
from tests.support.reports import report_failed_calls
from tests.support.traffic import Traffic
from webhook_app.pipeline.receiving.delivery import Delivery
from webhook_app.pipeline.sends.reports import follow_up, register
from webhook_app.pipeline.sends.retries import LeasedRetry, LeaseLostError, RetryClaim, claim, report
from webhook_app.rules.sends.retries import Permission
from webhook_app.store.sends import retries as store
from webhook_app.store.sends.retries import HeldFailures, Retry, RetryFilters
from webhook_app.whatsapp.sends.graph_errors import read_graph_error
from webhook_app.whatsapp.sends.send_reports import SendReport

RATE_LIMIT, PAIR_LIMIT, PER_PERSON, MISSING_PARAMETER = 130429, 131056, 131049, 131008
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


class Senders:
    """Senders with keys of their own, at simulated times after `now`."""

    def __init__(self, engine: Engine, now: datetime) -> None:
        self._engine, self._now = engine, now

    def claim(
        self,
        seconds: float,
        *,
        key: str = "shop",
        permission: Permission | None = None,
        held: Sequence[HeldFailures] = (),
        claim_id: str = "",
        limit: int = 100,
        **wanted: str,
    ) -> list[LeasedRetry]:
        asked = RetryClaim(limit=limit, lease=60 * SECOND, claim=claim_id)
        allowed = permission or Permission(allowed=True)
        with self._engine.begin() as connection:
            return claim(
                connection,
                asked,
                RetryFilters(key=key, held=tuple(held), **wanted),
                lambda due: [allowed] * len(due),
                self._now + seconds * SECOND,
            )

    def report(
        self,
        seconds: float,
        lease: str,
        outcome: Any,
        retry_id: int = 0,
        read_before: Retry | None = None,
        **more: Any,
    ) -> Retry:
        with self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            retry = read_before or store.get(connection, retry_id or self.only().id)
            assert retry
            at = self._now + seconds * SECOND
            return report(connection, retry, lease, outcome, at, reported_by="shop", **more)

    def failed(self, seconds: float, lease: str, code: int) -> Retry:
        return self.report(seconds, lease, "failed", error=read_graph_error({"code": code, "message": "no"}))

    def all(self) -> list[Retry]:
        with self._engine.connect() as connection:
            ids = connection.execute(text("SELECT id FROM retries ORDER BY id")).scalars().all()
            return [found for each in ids if (found := store.get(connection, each))]

    def only(self) -> Retry:
        (found,) = self.all()
        return found


@pytest.fixture
def senders(engine: Engine, now: datetime) -> Senders:
    return Senders(engine, now)


@pytest.fixture
def fail(traffic: Traffic, now: datetime) -> Callable[..., str]:
    """Store a message that failed so many seconds after `now`; returns its id."""

    def store_failure(code: int = RATE_LIMIT, seconds: float = 0, **more: Any) -> str:
        (message_id,) = traffic.failed(1, now + seconds * SECOND, code, **more)
        return message_id

    return store_failure


def ids(leased: Sequence[LeasedRetry]) -> list[str]:
    return [each.retry.message_id for each in leased]


def ended(retry: Retry) -> tuple[str, str]:
    return retry.state, retry.reason


def test_a_failed_message_is_due_after_its_wait_and_leased_once(senders, fail):
    failed = fail()
    assert senders.claim(0.5) == []
    (leased,) = senders.claim(2)
    assert (leased.retry.message_id, leased.retry.attempts, leased.retry.leased_by) == (failed, 1, "shop")
    assert senders.claim(3) == []
    assert senders.claim(61, key="second") == []
    assert senders.report(4, leased.retry.lease, "sent", sent_message_id="wamid.AGAIN").state == "sent"
    assert senders.claim(4000) == []


def test_a_crashed_sender_loses_its_lease_after_the_grace_and_cannot_report_any_more(senders, fail):
    fail()
    (lost,) = senders.claim(2)
    assert senders.claim(2 + 60 + 119) == []
    (again,) = senders.claim(2 + 60 + 121, key="second")
    assert again.retry.attempts == 2
    with pytest.raises(LeaseLostError):
        senders.report(200, lost.retry.lease, "sent", sent_message_id="wamid.LATE")
    with pytest.raises(LeaseLostError):  # it was read before the message was leased again
        senders.report(200, lost.retry.lease, "sent", sent_message_id="wamid.LATE", read_before=lost.retry)
    assert senders.only() == again.retry
    assert senders.report(201, again.retry.lease, "sent", sent_message_id="wamid.B").leased_by == "second"


def test_a_late_report_counts_while_nobody_else_has_the_lease(senders, fail):
    fail()
    (leased,) = senders.claim(2)
    assert senders.report(500, leased.retry.lease, "sent", sent_message_id="wamid.B").state == "sent"


@pytest.mark.parametrize("is_reported_first", [True, False])
def test_a_message_sent_again_that_fails_goes_on_with_the_attempts(
    senders, fail, traffic, now, is_reported_first
):
    first = fail(recipient="12025550117")
    (leased,) = senders.claim(2)

    def fails() -> None:
        traffic.store(
            status("wamid.B", "failed", now + 4 * SECOND, code=PAIR_LIMIT, recipient="12025550117"), at=now
        )

    if not is_reported_first:
        fails()
        senders.claim(4)
    senders.report(5, leased.retry.lease, "sent", sent_message_id="wamid.B", retry_id=leased.retry.id)
    if is_reported_first:
        fails()
    (again,) = senders.claim(12)
    assert (again.retry.message_id, again.retry.first_message_id, again.retry.attempts) == (
        "wamid.B",
        first,
        2,
    )


def test_a_failed_call_is_a_failure_of_its_own_and_its_message_is_due_again_later(senders, fail, engine):
    fail()
    (leased,) = senders.claim(2)
    retry = senders.failed(3, leased.retry.lease, RATE_LIMIT)
    assert (retry.state, retry.attempts) == ("waiting", 1)
    assert 2 <= (retry.due_at - retry.failed_at).total_seconds() <= 3
    with engine.connect() as connection:
        found = connection.execute(text("SELECT source, contact FROM failures ORDER BY source")).all()
    assert [row.source for row in found] == ["send", "webhook"]
    assert found[0].contact == found[1].contact
    (again,) = senders.claim(7)
    assert (again.retry.id, again.retry.attempts) == (retry.id, 2)
    assert again.facts.later_message_id == "", "the failed call is no message"


def test_a_repeated_report_changes_nothing_and_another_outcome_is_refused(senders, fail, engine):
    fail()
    (leased,) = senders.claim(2)
    first, repeated = (senders.failed(seconds, leased.retry.lease, RATE_LIMIT) for seconds in (3, 4))
    assert first == repeated
    with pytest.raises(LeaseLostError):
        senders.report(5, leased.retry.lease, "sent", sent_message_id="wamid.B")
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM failures")).scalar_one() == 2


def test_other_failures_of_the_call_and_giving_up_make_dead_letters(senders, fail):
    fail()
    (leased,) = senders.claim(2)
    assert ended(senders.failed(3, leased.retry.lease, MISSING_PARAMETER)) == ("dead", "code")
    given_up = fail(seconds=10)
    (leased,) = senders.claim(12)
    assert leased.retry.message_id == given_up
    found = senders.report(13, leased.retry.lease, "gave_up", retry_id=leased.retry.id)
    assert ended(found) == ("dead", "gave_up")
    assert senders.claim(4000) == []


def test_after_seven_attempts_a_message_is_a_dead_letter(senders, fail):
    fail()
    at = 2.0
    for attempt in range(1, 8):
        (leased,) = senders.claim(at)
        assert leased.retry.attempts == attempt
        at += 181
    assert senders.claim(at) == []
    assert ended(senders.only()) == ("dead", "used_up")


def test_a_message_that_was_delivered_meanwhile_is_not_sent_again(senders, fail, traffic, now):
    failed = fail(recipient="12025550117")
    traffic.store(status(failed, "delivered", now + SECOND, recipient="12025550117"), at=now)
    assert senders.claim(2) == []
    assert ended(senders.only()) == ("done", "delivered")


@pytest.mark.parametrize("crashed", [True, False])
def test_a_later_message_of_the_template_ends_a_lapsed_lease_and_is_a_hint_otherwise(
    senders, fail, traffic, now, crashed
):
    fail(recipient="12025550117", template="offer")
    if crashed:
        assert len(senders.claim(2)) == 1
    traffic.sent(1, now + 5 * SECOND, recipient="12025550117", template="offer")
    traffic.sent(1, now + 4 * SECOND, recipient="12025550117", template="other")
    leased = senders.claim(300)
    if crashed:
        assert (leased, ended(senders.only())) == ([], ("done", "resent"))
    else:
        assert leased[0].facts.later_message_id == "wamid.T2"
        assert leased[0].facts.callback_data == '{"template": "offer"}'


@pytest.mark.parametrize("code", [None, PAIR_LIMIT])
def test_what_another_key_reports_to_the_contact_is_no_later_message(senders, fail, engine, now, code):
    failed = fail(recipient="12025550117", template="offer")
    if code:
        assert len(senders.claim(2)) == 1
    made_up = SendReport(
        message_id="wamid.FAKE", phone_number_id=NUMBER, contact="12025550117", template="offer", campaign="",
        category="", sent_at=now + 5 * SECOND, endpoint="", request_json="",
        error=read_graph_error({"code": code, "message": "no"}) if code else None,
    )  # fmt: skip
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, [made_up], now + 5 * SECOND, reported_by="rival")
    (leased,) = senders.claim(300)
    assert (leased.retry.message_id, leased.facts.later_message_id) == (failed, "")


def test_waiting_messages_of_another_key_do_not_slow_a_claim_down(senders, fail, engine, now):
    fail()
    senders.claim(0)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO retries OVERRIDING SYSTEM VALUE"
                " SELECT (jsonb_populate_record(r, jsonb_build_object('message_id', 'x' || n, 'id', r.id + n,"
                " 'reported_by', 'rival', 'due_at', r.due_at - interval '1 day'))).*"
                " FROM retries r, generate_series(1, 20000) n"
            )
        )
        connection.execute(text("ANALYZE retries"))
    rows_read = text(
        "SELECT coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) FROM pg_stat_xact_user_tables"
        " WHERE relname = 'retries'"
    )
    wanted = RetryFilters(key="shop")
    with engine.begin() as connection:
        assert len(store.take_due(connection, wanted, now + 3 * SECOND, 10)) == 1
        assert store.next_due_at(connection, wanted, now)
        assert connection.execute(rows_read).scalar_one() < 10


def test_a_suppressed_contact_is_never_leased_and_one_that_waits_is_asked_about_later(senders, fail):
    fail()
    assert senders.claim(2, permission=Permission(allowed=False, wait=90 * SECOND, why="paused")) == []
    assert senders.claim(91) == []
    assert senders.claim(93, permission=Permission(allowed=False, why="They opted out.")) == []
    found = senders.only()
    assert (ended(found), found.why, found.attempts) == (("dead", "suppressed"), "They opted out.", 0)


OLD, NEW = "12025550117", "12025550118"


@pytest.mark.parametrize(
    ("contact", "seconds", "is_leased"),
    [(OLD, 0, False), (OLD, 20, True), (NEW, 0, False), (NEW, 20, True)],
)
@pytest.mark.parametrize("is_known_before", [True, False])
def test_a_message_goes_to_nobody_who_got_the_number_after_it_failed(
    senders, fail, writer, now, contact, seconds, is_leased, is_known_before
):
    fail(seconds=seconds, recipient=contact)
    if is_known_before:
        senders.claim(seconds)
    writer.store([Delivery(number_change(OLD, NEW, now + 10 * SECOND))], now)
    assert len(senders.claim(60)) == is_leased
    found = senders.only()
    assert (found.state, found.reason) == (("leased", "") if is_leased else ("dead", "suppressed"))
    assert bool(found.why) == (not is_leased)


def test_failures_of_an_open_incident_wait_without_losing_attempts(senders, fail):
    fail(number="1111")
    other = fail(number="2222")
    held = HeldFailures([RATE_LIMIT], [{"phone_number_id": "1111", "code": RATE_LIMIT}])
    elsewhere = HeldFailures([PER_PERSON], [{}])
    assert ids(senders.claim(2, held=(held, elsewhere))) == [other]
    assert senders.claim(3, held=(HeldFailures([RATE_LIMIT], [{}]),)) == []
    assert [each.retry.attempts for each in senders.claim(4)] == [1]


def test_a_sender_claims_only_what_it_asks_for(senders, fail):
    mine = fail(number="1111", template="offer")
    fail(number="2222", template="offer")
    fail(number="1111", template="other")
    assert ids(senders.claim(2, phone_number_id="1111", template="offer")) == [mine]
    assert senders.claim(2, campaign="autumn") == []
    assert len(senders.claim(4, limit=1)) == 1


def test_a_message_that_a_key_reported_is_leased_to_that_key_only(senders, fail, engine, now):
    report_failed_calls(engine, 1, now, RATE_LIMIT, key="shop", contact="12025550117")
    anybody_s = fail()
    assert ids(senders.claim(2, key="other")) == [anybody_s]
    (mine,) = senders.claim(2, key="shop")
    assert mine.retry.reported_by == "shop"


@pytest.fixture
def tell(engine: Engine, now: datetime) -> Callable[..., None]:
    """Report a message as accepted, so many seconds after `now`."""

    def store_report(message_id: str, seconds: float, key: str = "shop") -> None:
        accepted = SendReport(
            message_id=message_id, phone_number_id=NUMBER, contact="12025550117", template="offer", campaign="",
            category="utility", sent_at=now, error=None, endpoint="", request_json="",
        )  # fmt: skip
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            register(connection, [accepted], now + seconds * SECOND, reported_by=key)

    return store_report


def test_a_report_that_comes_after_the_lease_decides_whose_message_it_is_and_what_it_is(senders, fail, tell):
    failed = fail(recipient="12025550117")
    assert ids(senders.claim(2, key="other")) == [failed]
    tell(failed, 3)
    assert senders.claim(200, key="other") == []
    (mine,) = senders.claim(200, key="shop", template="offer")
    assert (mine.retry.reported_by, mine.retry.category) == ("shop", "utility")


def test_a_report_from_before_the_failure_says_whose_message_it_is_whatever_others_report(
    senders, fail, tell
):
    failed = fail(recipient="12025550117")
    tell(failed, -60, key="shop")
    tell(failed, 2, key="thief")
    assert senders.claim(200, key="thief") == []
    assert ids(senders.claim(200, key="shop")) == [failed]


@pytest.mark.parametrize("is_found", [False, True], ids=["found after both reports", "found between them"])
def test_after_the_failure_another_key_s_report_does_not_take_a_message_from_its_sender(
    senders, fail, tell, is_found
):
    failed = fail(recipient="12025550117")
    tell(failed, 2, key="thief")
    if is_found:
        (leased,) = senders.claim(3, key="thief")
        assert leased.retry.reported_by == "thief"
    tell(failed, 4, key="shop")
    assert ids(senders.claim(200, key="shop")) == [failed]
    assert senders.only().reported_by == ""


def test_a_report_that_comes_during_a_claim_counts_a_minute_later(senders, fail, tell, engine, now):
    failed = fail(recipient="12025550117")
    senders.claim(0, key="other")
    with engine.begin() as connection:
        assert store.take_due(connection, RetryFilters(key="other"), now + 2 * SECOND, 1)
        tell(failed, 2)
    follow_up(engine, now + 63 * SECOND)
    assert senders.claim(64, key="other") == []
    assert ids(senders.claim(64, key="shop")) == [failed]


def test_while_several_keys_claim_a_message_that_no_key_reported_waits_a_minute_for_its_report(
    senders, fail, tell, engine, now
):
    senders.claim(-60, key="shop")
    mine, anybody_s = fail(recipient="12025550117"), fail()
    assert senders.claim(3, key="other") == []
    with engine.connect() as connection:
        due_at = store.next_due_at(connection, RetryFilters(key="other"), now + 3 * SECOND)
    assert due_at == now + 60 * SECOND
    tell(mine, 4)
    assert ids(senders.claim(5, key="shop")) == [mine]
    assert ids(senders.claim(60, key="other")) == [anybody_s]


def test_a_key_that_claims_alone_waits_for_no_report(senders, fail):
    senders.claim(-25 * 3600, key="other")
    failed = fail()
    assert ids(senders.claim(2, key="shop")) == [failed]


def test_another_key_cannot_pass_off_a_message_as_a_retry(senders, fail, traffic, engine, now):
    fail(recipient="12025550117")
    report_failed_calls(engine, 1, now, PAIR_LIMIT, key="other", contact="12025550117", message_id="wamid.O")
    traffic.store(status("wamid.O", "failed", now, code=PAIR_LIMIT, recipient="12025550117"), at=now)
    (leased,) = senders.claim(2)
    senders.report(3, leased.retry.lease, "sent", retry_id=leased.retry.id, sent_message_id="wamid.O")
    (others,) = senders.claim(60, key="other")
    assert (others.retry.first_message_id, others.retry.attempts) == ("wamid.O", 1)


def test_a_message_that_nobody_claims_for_a_week_is_a_dead_letter(senders, fail):
    fail()
    senders.claim(2, phone_number_id="another number")
    senders.claim(7 * 24 * 3600 + 60, phone_number_id="another number")
    assert ended(senders.only()) == ("dead", "expired")


def test_a_repeated_claim_gets_the_same_leases(senders, fail):
    fail()
    first = senders.claim(2, claim_id="a")
    fail(seconds=2)
    assert senders.claim(4, claim_id="a") == first
    assert len(senders.claim(62, claim_id="b", key="other")) == 1
    assert senders.claim(62, claim_id="a", key="other") == []


def test_failures_from_long_before_the_first_claim_are_not_sent_again(senders, fail):
    fail(seconds=-3700)
    fail(PER_PERSON, seconds=-3 * 24 * 3600)
    recent = fail(seconds=-3500)
    assert ids(senders.claim(0)) == [recent]


def test_after_a_pause_of_its_senders_only_messages_with_a_long_wait_are_found(senders, fail, now):
    senders.claim(0)
    fail(seconds=3600)
    withheld = fail(PER_PERSON, seconds=3600)
    assert ids(senders.claim(3 * 24 * 3600)) == [withheld]
    assert len(senders.all()) == 1


def test_other_failures_make_no_retries(senders, fail, traffic, now):
    fail(131026)
    fail(MISSING_PARAMETER)
    group = {"recipient": "a_group", "recipient_type": "group", "code": RATE_LIMIT}
    traffic.store(status("wamid.G", "failed", now, **group), at=now)
    one = group | {"recipient_participant_id": "12025550117", "participant_recipient_id": "12025550117"}
    traffic.store(status("wamid.P", "failed", now, **one), at=now)
    senders.claim(2)
    assert senders.all() == []


def test_the_counts_say_what_is_due_leased_and_dead(senders, fail, engine, now):
    fail(number="1111")
    for seconds in (0, 0, 100):
        fail(seconds=seconds, number="2222")
    senders.claim(2, phone_number_id="1111")
    senders.claim(100, limit=1, permission=Permission(allowed=False), phone_number_id="2222")
    with engine.connect() as connection:
        counts = store.count(connection, now + 50 * SECOND)
        assert (
            store.next_due_at(connection, RetryFilters(key="shop", phone_number_id="1111"), now)
            == now + 182 * SECOND
        )
    assert (counts.due, counts.waiting, counts.leased, counts.dead) == (0, 1, 1, 2)


def test_thousands_of_alike_failures_of_one_contact_do_not_hold_up_a_claim(
    engine: Engine, senders: Senders, fail: Callable[..., str]
) -> None:
    fail()
    with engine.begin() as connection:
        columns = "phone_number_id, occurred_at, participant, error_code, contact, series_id, received_at"
        connection.execute(
            text(
                f"INSERT INTO failures (message_id, {columns})"
                f" SELECT message_id || n, {columns} FROM failures, generate_series(1, 6000) n"
            )
        )
    began = perf_counter()
    assert senders.claim(60, limit=10)
    assert perf_counter() - began < 5  # before: it grew with the square of their number, 8 s here


def test_a_failed_call_that_another_key_makes_up_sends_no_message_again(
    engine: Engine, senders: Senders, traffic: Traffic, now: datetime
) -> None:
    own = SendReport(
        message_id="wamid.M", phone_number_id=NUMBER, contact="12025550117", template="promo", campaign="",
        category="", sent_at=now, error=None, endpoint="", request_json="",
    )  # fmt: skip
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        register(connection, [own], now, reported_by="shop")
    traffic.store(status("wamid.M", "sent", at=now, recipient="12025550117"), at=now)
    report_failed_calls(engine, 1, now, RATE_LIMIT, key="rival", message_id="wamid.M", contact="12025550117")
    assert senders.claim(60) == []
    report_failed_calls(engine, 1, now, RATE_LIMIT, key="shop", message_id="wamid.N", contact="12025550117")
    assert [each.retry.message_id for each in senders.claim(120)] == ["wamid.N"]
