"""Scenarios as events on a virtual clock."""

import functools
import itertools
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.simulator.payloads import envelope, wire
from webhook_app.simulator.plan import plan
from webhook_app.simulator.scenarios import SCENARIOS, Phase, Scenario
from webhook_app.simulator.send_calls import ACCEPTED, SimulatedCall
from webhook_app.web.api.sends.send_items import parse_send
from webhook_app.whatsapp.receiving.payload import parse

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
DURATION_S = 120.0
RATE = 20.0
MESSAGES = int(RATE * DURATION_S)


@functools.lru_cache(maxsize=8)
def planned(name, seed=1, history=0, start=START, rate=RATE):
    return tuple(plan(SCENARIOS[name], seed, rate, DURATION_S, start, history))


def webhooks(timed):
    return [one for one in timed if not isinstance(one, SimulatedCall)]


def calls(timed):
    return [one for one in timed if isinstance(one, SimulatedCall)]


def statuses(timed, kind=None):
    found = [status for one in webhooks(timed) for status in one.change["value"].get("statuses", ())]
    return [status for status in found if kind in (None, status["status"])]


def codes(timed):
    return Counter(status["errors"][0]["code"] for status in statuses(timed, "failed"))


def part(timed, starts, ends=1.0):
    first, last = (START + timedelta(seconds=DURATION_S * share) for share in (starts, ends))
    return [one for one in timed if first <= one.at < last]


def messages_of(timed):
    return {status["id"] for status in statuses(timed)}


def failed_share(timed, *, code=None, of=None):
    chosen = [one for one in statuses(timed) if of is None or of in one.get("biz_opaque_callback_data", "")]
    failed = {
        one["id"] for one in chosen if one["status"] == "failed" and code in (None, one["errors"][0]["code"])
    }
    return len(failed) / len({one["id"] for one in chosen})


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_and_start_give_the_same_plan(name):
    first, again, other = (tuple(plan(SCENARIOS[name], seed, 5, DURATION_S, START, 2)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("name", SCENARIOS)
def test_events_are_in_order_of_time_within_the_duration(name):
    times = [one.at for one in planned(name, history=3, rate=4)]
    assert times == sorted(times)
    assert times[0] >= START
    assert times[-1] <= START + timedelta(seconds=DURATION_S)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_timestamp_is_later_than_its_webhook(name):
    for one in webhooks(planned(name, history=3, rate=4)):
        assert all(int(s["timestamp"]) <= one.at.timestamp() for s in one.change["value"].get("statuses", ()))


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_change_is_understood_by_the_parser(name):
    timed = webhooks(planned(name, history=3, rate=4))
    parsed = parse(wire(envelope(timed)))
    assert parsed.unreadable == []
    assert parsed.ignored == {}
    assert len(parsed.statuses) == len(statuses(timed))


def test_the_rate_is_messages_per_second():
    timed = planned("steady")
    assert len(messages_of(timed)) == pytest.approx(MESSAGES, rel=0.02)
    assert 0.45 < len(messages_of(part(timed, 0, 0.5))) / MESSAGES < 0.55


@pytest.mark.parametrize("seed", range(1, 3))
def test_on_an_ordinary_day_about_one_percent_fails_for_mixed_reasons(seed):
    timed = planned("steady", seed=seed)
    assert 0.004 < failed_share(timed) < 0.018
    assert len(codes(timed)) >= 3


def test_an_ordinary_day_stays_under_two_percent_for_every_code():
    counts = codes(planned("steady"))
    assert max(counts.values()) / MESSAGES < 0.015


@pytest.mark.parametrize("seed", range(1, 3))
def test_a_quarter_of_an_old_list_is_unreachable(seed):
    timed = planned("bad-list", seed=seed)
    assert 0.20 < failed_share(timed, code=131026, of="win-back") < 0.30
    assert failed_share(timed, code=131026, of="orders") < 0.02


def test_an_old_list_is_one_campaign_from_one_number():
    timed = planned("bad-list")
    numbers = {
        one.change["value"]["metadata"]["phone_number_id"]
        for one in timed
        if any("win-back" in s.get("biz_opaque_callback_data", "") for s in statuses([one]))
    }
    assert len(numbers) == 1


def test_messages_to_unreachable_people_are_never_delivered():
    outcomes = defaultdict(set)
    for status in statuses(planned("bad-list", history=3)):
        outcomes[status.get("recipient_id")].add(
            (status["status"], "errors" in status and status["errors"][0]["code"])
        )
    dead = [seen for phone, seen in outcomes.items() if phone and ("failed", 131026) in seen]
    assert len(dead) > 50
    assert not any(("delivered", False) in seen or ("parse_send", False) in seen for seen in dead)


def test_only_the_paused_template_fails_and_only_from_the_pause_on():
    timed = planned("template-paused")
    assert codes(part(timed, 0, 0.25))[132015] == 0
    paused = [one for one in statuses(timed, "failed") if one["errors"][0]["code"] == 132015]
    assert all("seasonal_offer" in one["biz_opaque_callback_data"] for one in paused)
    assert failed_share(part(timed, 0.5), code=132015, of="seasonal_offer") > 0.8


def test_meta_reports_the_pause_when_it_starts():
    pauses = [
        one for one in planned("template-paused") if one.change["field"] == "message_template_status_update"
    ]
    assert {one.at for one in pauses} == {START + timedelta(seconds=DURATION_S * 0.25)}
    assert all(one.change["value"]["event"] == "PAUSED" for one in pauses)


def test_an_outage_starts_healthy_and_then_every_message_fails():
    timed = planned("outage")
    assert failed_share(part(timed, 0, 0.25)) < 0.02
    sent_later = {s["id"] for s in statuses(part(timed, 0.25))} - messages_of(part(timed, 0, 0.25))
    failed = {s["id"] for s in statuses(timed, "failed")}
    assert len(sent_later & failed) / len(sent_later) > 0.95
    assert {131000, 131016, 131026, 135000} <= set(codes(timed))


def test_messages_to_the_same_people_fail_several_times_in_an_outage():
    failures = Counter(
        s.get("recipient_id")
        for s in statuses(planned("outage"), "failed")
        if s["errors"][0]["code"] == 131026
    )
    assert sum(count >= 3 for count in failures.values()) > 10


def test_people_opt_out_in_every_way_and_some_opt_in_again():
    timed = planned("opt-outs")
    preferences = Counter(
        item["value"] for one in timed for item in one.change["value"].get("user_preferences", ())
    )
    inbound = [item for one in timed for item in one.change["value"].get("messages", ())]
    typed = Counter(item["text"]["body"] for item in inbound if item["type"] == "text")
    assert preferences["stop"] > preferences["resume"] > 0
    assert typed["STOP"] > 0 < typed["START"]
    assert any(
        item["type"] == "button" and item["button"]["payload"] == "Stop promotions" for item in inbound
    )


def test_marketing_to_people_who_stopped_it_fails_with_131050():
    timed = planned("opt-outs")
    stopped = {
        item.get("wa_id", item["user_id"])
        for one in timed
        for item in one.change["value"].get("user_preferences", ())
    }
    refused = [one for one in statuses(timed, "failed") if one["errors"][0]["code"] == 131050]
    assert refused
    assert {one.get("recipient_id", one.get("recipient_user_id")) for one in refused} <= stopped


def test_webhooks_stop_and_only_the_sender_reports_the_accepted_messages():
    timed = planned("silence")
    assert part(timed, 0, 0.4)
    assert not webhooks(part(timed, 0.4))
    assert len(calls(part(timed, 0.4))) == pytest.approx(0.6 * MESSAGES, rel=0.02)
    assert {call.code for call in calls(timed)} == {ACCEPTED}
    assert not calls(part(timed, 0, 0.4))


def test_once_the_token_has_expired_every_call_is_refused_and_no_webhook_comes():
    timed = planned("token-expired")
    assert not calls(part(timed, 0, 0.25))
    refused = calls(part(timed, 0.25))
    assert len(refused) == pytest.approx(0.75 * MESSAGES, rel=0.02)
    errors = [call.report["error"] for call in refused]
    assert {(error["code"], error["error_subcode"]) for error in errors} == {(190, 463)}
    assert len({error["fbtrace_id"] for error in errors}) == len(refused)
    started = [one for one in statuses(timed, "sent") if int(one["timestamp"]) > START.timestamp() + 32]
    assert not started


def test_every_reported_call_is_understood():
    for name in ("silence", "token-expired"):
        for call in calls(planned(name, rate=4)):
            report, reason = parse_send(call.report, call.at)
            assert reason == ""
            assert (report.error_code, report.sent_at) == (call.code, call.at.replace(microsecond=0))


def test_the_phase_and_the_hour_of_the_day_change_the_rate():
    phases = (Phase(0.0), Phase(0.5, rate_factor=3.0))
    hourly = tuple(2.0 if hour == 13 else 1.0 for hour in range(24))
    busy = Scenario("busy", "", phases=phases, hourly=hourly)
    timed = tuple(plan(busy, 1, 0.1, 4 * 3600, START))
    starts = sorted({one["id"]: int(one["timestamp"]) for one in reversed(statuses(timed))}.values())
    hours = Counter(int(at - START.timestamp()) // 3600 for at in starts)
    assert [round(hours[hour] / 360) for hour in range(4)] == [1, 2, 3, 3]


def test_a_backlog_arrives_at_once_after_a_pause_with_old_timestamps():
    timed = planned("backlog")
    assert not part(timed, 0.3, 0.6)
    release = START + timedelta(seconds=DURATION_S * 0.6)
    old = [one for one in timed if one.at == release]
    ages = [release.timestamp() - int(s["timestamp"]) for s in statuses(old)]
    assert len(old) > 500
    assert sum(age > 3 * 3600 for age in ages) / len(ages) > 0.8
    assert codes(old)[131000] > 100
    assert failed_share(part(timed, 0.65)) < 0.03


@pytest.mark.parametrize(("name", "days"), [("steady", 3), ("bad-list", 3), ("outage", 2)])
def test_people_with_a_history_failed_once_on_each_day_before(name, days):
    timed = planned(name, history=4)
    failure_days = defaultdict(set)
    numbers = defaultdict(set)
    for one in itertools.takewhile(lambda one: one.at == START, timed):
        for status in statuses([one], "failed"):
            age_s = START.timestamp() - int(status["timestamp"])
            failure_days[status["recipient_id"]].add(round(age_s / 86400))
            numbers[status["recipient_id"]].add(one.change["value"]["metadata"]["phone_number_id"])
    assert len(failure_days) == 4
    assert all(seen == set(range(1, days + 1)) for seen in failure_days.values())
    assert all(len(seen) == 1 for seen in numbers.values())


def test_people_with_a_history_get_messages_only_after_the_outage_has_started():
    timed = planned("outage", history=4)
    known = {s["recipient_id"] for s in statuses([one for one in timed if one.at == START], "failed")}
    healthy = [one for one in part(timed, 0, 0.25) if one.at > START]
    assert not known & {s.get("recipient_id") for s in statuses(healthy)}
    assert known & {s.get("recipient_id") for s in statuses(part(timed, 0.25), "failed")}


def test_another_start_sends_other_messages_to_the_same_people():
    first = planned("steady", rate=10)
    second = planned("steady", rate=10, start=START + timedelta(hours=1))
    assert not messages_of(first) & messages_of(second)
    people = [{s.get("recipient_id") for s in statuses(timed)} for timed in (first, second)]
    assert len(people[0] & people[1]) > 50


def test_marketing_never_goes_to_us_numbers():
    for name in ("steady", "bad-list"):
        for one in statuses(planned(name), "sent"):
            marketing = one["pricing"]["category"] == "marketing"
            assert not (marketing and one["recipient_user_id"].startswith("US."))


@pytest.mark.parametrize("figures", [(0, 1, 0), (1, 0, 0), (-1, 1, 0), (1, 1, -1)])
def test_invalid_figures_are_refused(figures):
    rate, duration_s, history = figures
    with pytest.raises(ValueError, match="must be positive"):
        plan(SCENARIOS["steady"], 1, rate, duration_s, START, history)
