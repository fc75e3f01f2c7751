"""Whether a contact may be messaged: the verdict with its reason, and who may use a probe."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import Struct
from msgspec.structs import replace

from webhook_app.rules.incidents.pauses import Pause
from webhook_app.rules.suppressions.verdict import SEND, CheckTerms, after_claim, decide

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TERMS = CheckTerms("marketing", stop_blocks_all=False, now=NOW)
PAUSED = CheckTerms("marketing", stop_blocks_all=False, now=NOW, pause=Pause(7, "r", 131042, "", NOW - HOUR))


class Row(Struct, frozen=True, kw_only=True):
    contact: str = "12025550117"
    phone_number_id: str = ""
    scope: str = "all"
    reason: str = "manual"
    code: int = -1
    since: datetime | None = NOW - DAY
    until: datetime | None = None
    seen_as: str = ""
    half_open_at: datetime | None = None
    probe_until: datetime | None = None

    @property
    def key(self):
        return self.contact, self.phone_number_id, self.scope, self.reason


EXPIRED = Row(reason="unreachable", code=131026, until=NOW - HOUR)


def test_without_suppressions_the_verdict_is_send_or_the_pause():
    assert decide((), False, TERMS) is SEND
    paused = decide((), False, PAUSED)
    assert (paused.verdict, paused.reason, paused.code, paused.retry_after) == ("wait", "paused", 131042, 60)


@pytest.mark.parametrize(
    ("row", "verdict", "retry_after"),
    [
        (Row(), "suppressed", None),
        (Row(until=NOW + HOUR), "suppressed", 3600),
        (Row(reason="unreachable", scope="marketing", code=131049, until=NOW + HOUR), "wait", 3600),
        (Row(reason="unreachable", code=131026, until=NOW + HOUR), "suppressed", 3600),
    ],
)
def test_a_suppression_blocks_or_is_a_wait_when_its_code_has_an_end_of_its_own(row, verdict, retry_after):
    found = decide([row], False, TERMS)
    assert (found.verdict, found.retry_after) == (verdict, retry_after)
    assert (found.reason, found.scope, found.suppression) == (row.reason, row.scope, row)


def test_of_two_that_say_the_same_the_verdict_names_the_later_end():
    soon, later, endless = (
        Row(until=NOW + HOUR),
        Row(phone_number_id="1", until=NOW + DAY),
        Row(contact="US.1"),
    )
    assert decide([soon, later], False, TERMS).until == NOW + DAY
    assert decide([soon, later, endless], False, TERMS).until is None


def test_a_suppression_goes_before_the_pause_and_the_pause_before_a_probe():
    assert decide([Row()], False, PAUSED).reason == "manual"
    assert decide([EXPIRED], False, PAUSED).reason == "paused"


def test_an_expired_suppression_needs_a_probe_unless_another_one_blocks():
    found = decide([EXPIRED], False, TERMS)
    assert (found.verdict, found.needs_probe, found.suppression) == ("send", True, EXPIRED)
    assert decide([EXPIRED, Row()], False, TERMS).reason == "manual"


def test_while_a_probe_is_out_others_wait_for_it():
    found = decide([Row(reason="unreachable", half_open_at=NOW - DAY, probe_until=NOW + HOUR)], False, TERMS)
    assert (found.verdict, found.retry_after, found.needs_probe) == ("wait", 3600, False)


@pytest.mark.parametrize("is_claimed", [True, False])
def test_who_claims_the_probe_may_send_and_others_wait(is_claimed):
    found = after_claim(decide([EXPIRED], False, TERMS), is_claimed=is_claimed, until=NOW + DAY, now=NOW)
    assert (found.verdict, found.probe) == (("send", True) if is_claimed else ("wait", False))
    assert found.retry_after == (None if is_claimed else 86400)


def test_an_erased_person_s_opt_out_has_no_start():
    found = decide([Row(reason="opted_out", since=None)], False, TERMS)
    assert (found.verdict, found.since, found.code) == ("suppressed", None, None)


SHADOW = CheckTerms("marketing", stop_blocks_all=False, now=NOW, shadow=True)


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row(reason="unreachable", code=131026, until=NOW + DAY), "suppressed"),
        (Row(reason="hard", code=130403), "suppressed"),
        (Row(reason="unreachable", scope="marketing", code=131049, until=NOW + HOUR), "wait"),
        (Row(reason="unreachable", code=131026, until=NOW - HOUR, probe_until=NOW + HOUR), "wait"),
    ],
)
def test_in_shadow_mode_a_rule_blocks_nobody_and_the_verdict_says_what_it_would_be(row, verdict):
    found = decide([row], False, SHADOW)
    assert (found.verdict, found.suppression, found.needs_probe) == ("send", None, False)
    assert found.would_be == decide([row], False, TERMS)
    assert found.would_be.verdict == verdict


@pytest.mark.parametrize("reason", ["opted_out", "manual"])
def test_in_shadow_mode_people_still_decide(reason):
    row = Row(reason=reason)
    assert decide([row], False, SHADOW) == decide([row], False, TERMS)
    both = [row, Row(reason="unreachable", code=131026, until=NOW + DAY)]
    assert decide(both, False, SHADOW) == decide(both, False, TERMS)
    assert decide(both, False, SHADOW).would_be is None


def test_in_shadow_mode_a_stop_of_marketing_leaves_the_rest_to_the_rule_that_would_block_it():
    stopped, gone = Row(reason="opted_out", scope="marketing"), Row(reason="hard", code=130403)
    terms = CheckTerms("utility", stop_blocks_all=False, now=NOW, shadow=True)
    found = decide([stopped, gone], False, terms)
    assert (found.verdict, found.would_be.reason) == ("send", "hard")


def test_in_shadow_mode_an_expired_suppression_needs_no_probe():
    found = decide([EXPIRED], False, SHADOW)
    assert (found.verdict, found.needs_probe, found.would_be) == ("send", False, None)


def test_a_pause_of_meta_is_named_with_its_end():
    row = Row(reason="unreachable", scope="marketing", code=131049, until=NOW + DAY)
    assert decide([row], False, TERMS).why.startswith(
        "Meta limits marketing to this person until 2026-03-06 12:00 UTC. "
    )
    endless = Row(reason="unreachable", scope="marketing", code=130472)
    assert decide([endless], False, TERMS).why.startswith(
        "Meta limits marketing to this person until they write to you. "
    )


@pytest.mark.parametrize(
    ("row", "elsewhere"),
    [
        (Row(reason="unreachable", code=131026, until=NOW + HOUR), "unreachable"),
        (Row(reason="hard", code=131021), "unreachable"),
        (Row(reason="unreachable", code=131026, until=NOW - HOUR, probe_until=NOW + HOUR), "unreachable"),
        (Row(reason="unreachable", scope="marketing", code=131049, until=NOW + HOUR), "withheld"),
        (Row(reason="hard", code=130403), None),
        (Row(reason="opted_out", scope="marketing", code=131050), None),
        (Row(reason="opted_out"), None),
        (Row(reason="manual"), None),
        (EXPIRED, None),
    ],
)
def test_another_channel_is_the_better_choice_when_messages_do_not_arrive(row, elsewhere):
    assert decide([row], False, TERMS).elsewhere == elsewhere


def test_an_opt_out_is_not_bypassed_by_another_channel():
    gone = Row(reason="unreachable", code=131026, until=NOW + HOUR)
    assert decide([gone, Row(reason="opted_out")], False, TERMS).elsewhere is None


@pytest.mark.parametrize(("category", "elsewhere"), [("marketing", None), ("AUTHENTICATION", "paused")])
def test_while_sending_is_paused_only_codes_go_elsewhere(category, elsewhere):
    assert decide((), False, replace(PAUSED, category=category)).elsewhere == elsewhere
