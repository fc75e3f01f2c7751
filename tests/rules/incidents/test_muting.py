"""Of firing alerts with one cause one is notified, and it mutes the others."""

from datetime import UTC, datetime, timedelta

import pytest

from webhook_app.rules.incidents.muting import Mute, OpenAlert, find_mutes

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def alert(number, code=131026, **changes):
    known = {
        "id": number,
        "rule": "r",
        "kind": "rate",
        "severity": "warning",
        "group": {"code": code, "phone_number_id": f"n{number}"},
        "code": code,
        "fired_at": NOW,
        "failures": 10,
    }
    return OpenAlert(**(known | changes))


def token(number=9, **changes):
    return alert(number, 190, **({"kind": "attention", "severity": "critical", "rule": "t"} | changes))


def test_one_code_on_many_numbers_is_notified_by_the_alert_with_most_failures():
    alerts = [alert(number, failures=number) for number in range(1, 6)]
    assert find_mutes(alerts, NOW) == {number: Mute(5, "incident") for number in range(1, 5)}


def test_an_alert_that_was_notified_keeps_muting_the_others():
    alerts = [alert(1, notified=True), alert(2, failures=1000)]
    assert find_mutes(alerts, NOW) == {2: Mute(1, "incident")}


def test_a_critical_alert_mutes_the_warning_on_the_same_cause_and_never_the_other_way_round():
    warning, critical = (
        alert(1, notified=True),
        alert(2, severity="critical", group={"phone_number_id": "n1"}),
    )
    assert find_mutes([warning, critical], NOW) == {1: Mute(2, "incident")}


def test_other_codes_are_other_causes():
    assert find_mutes([alert(1), alert(2, code=131053)], NOW) == {}


def test_the_same_code_much_later_on_another_number_is_another_incident():
    assert find_mutes([alert(1, notified=True), alert(2, fired_at=NOW + 31 * MINUTE)], NOW) == {}
    nearby = {"code": 131026, "template": "spring"}
    assert find_mutes([alert(1, notified=True), alert(2, group=nearby, fired_at=NOW + 31 * MINUTE)], NOW) == {
        2: Mute(1, "incident")
    }


@pytest.mark.parametrize(
    ("caused", "is_muted"),
    [
        (alert(1, 190, group={"code": 190, "phone_number_id": "n9"}), True),
        (alert(1, 190, fired_at=NOW - 90 * MINUTE), False),  # another number, long ago
        (alert(1, 190, group={"phone_number_id": "n9"}), True),
        (
            alert(1, 190, severity="critical", fired_at=NOW - 90 * MINUTE, group={"phone_number_id": "n9"}),
            True,
        ),
        (alert(1, 131005, fired_at=NOW - 90 * MINUTE, group={}), True),  # another code of the domain auth
        (alert(1, None, kind="silence", group={"phone_number_id": "n9"}), True),
        (alert(1, None, kind="silence", group={"phone_number_id": "n1"}), False),
        (alert(1, 131026), False),
        (alert(1, None, kind="signature", group={}), False),
    ],
)
def test_an_account_wide_cause_mutes_its_effects(caused, is_muted):
    cause = token(group={"code": 190, "phone_number_id": "n9"})
    assert (1 in find_mutes([caused, cause], NOW)) is is_muted


def test_an_account_in_trouble_mutes_its_codes_and_silence():
    health = alert(9, None, kind="health", group={"waba_id": "w"}, account_wide=True, severity="critical")
    silence = alert(1, None, kind="silence", group={"phone_number_id": "n1"})
    locked = alert(2, 131031)
    other = alert(3, 131026)
    assert set(find_mutes([health, silence, locked, other], NOW)) == {1, 2}


def test_a_notified_alert_still_mutes_others_for_a_while_after_its_end():
    over = {"resolved_at": NOW - 9 * MINUTE, "severity": "critical"}
    assert find_mutes([alert(1), alert(2, notified=True, **over)], NOW) == {1: Mute(2, "incident")}
    assert find_mutes([alert(1), alert(2, **over)], NOW) == {}
    assert find_mutes([alert(1), alert(2, notified=True, **over)], NOW + 2 * MINUTE) == {}


def test_many_silent_numbers_are_one_incident():
    silent = [alert(n, None, kind="silence", group={"phone_number_id": f"n{n}"}) for n in range(1, 4)]
    assert find_mutes(silent, NOW) == {2: Mute(1, "incident"), 3: Mute(1, "incident")}


def test_one_alert_of_each_cause_is_never_muted():
    alerts = [
        *(
            alert(n, severity=severity, failures=n % 3)
            for n, severity in enumerate(["info", "critical", "error"] * 5, 1)
        ),
        *(token(100 + n) for n in range(3)),
        *(alert(200 + n, 190) for n in range(3)),
    ]
    found = find_mutes(alerts, NOW)
    for start in found:
        seen = start
        while seen in found:
            seen = found[seen].by
        assert seen not in found
    notified = {each.id for each in alerts} - set(found)
    assert notified == {2, 100}, (
        "one for each of the two causes: the most severe with most failures, the first token alert"
    )
