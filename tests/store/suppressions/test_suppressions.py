"""Suppressions are stored with their changes, without gaps, and a person's decision wins over a rule."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from msgspec.structs import replace

from webhook_app.store.suppressions import lists, suppressions
from webhook_app.store.suppressions.suppressions import ChangeEvidence, Removal, Suppression

CONTACT, OTHER, NUMBER = "12025550117", "12025550118", "590238114470021"


@pytest.fixture
def automatic(now):
    evidence = (
        ChangeEvidence(now - timedelta(days=1), "wamid.1", 131026, "spring"),
        ChangeEvidence(now, "wamid.2", 131026),
    )
    return Suppression(
        contact=CONTACT,
        phone_number_id=NUMBER,
        reason="unreachable",
        code=131026,
        since=now,
        until=now + timedelta(days=30),
        evidence=evidence,
        actor="system",
        review=True,
    )


def put(connection, now, contact=CONTACT, **more):
    return suppressions.put(connection, contact, actor="ops", now=now, **more)


def test_a_stored_suppression_is_read_with_its_change(connection, now):
    until = now + timedelta(days=1)
    row = put(
        connection, now, scope="marketing", until=until, note="asked by phone", seen_as="+1 202 555 0117"
    )
    assert suppressions.get(connection, CONTACT) == [row]
    [change] = suppressions.history(connection, CONTACT)
    assert (change.seq, change.action, change.actor, change.note) == (1, "suppress", "ops", "asked by phone")
    assert (change.reason, change.scope, change.until) == ("manual", "marketing", until)


def test_storing_the_same_again_changes_nothing(connection, now):
    put(connection, now)
    put(connection, now + timedelta(hours=1))
    assert [change.action for change in suppressions.history(connection, CONTACT)] == ["suppress"]


def test_a_list_gives_no_end_to_what_the_contact_asked_for(connection, now):
    asked = Suppression(contact=CONTACT, reason="opted_out", since=now, actor="person")
    suppressions.apply(connection, [asked], [], now)
    wanted = replace(asked, until=now + timedelta(days=2), actor="ops", note="from the old list")
    for outcome in ("changed", "unchanged"):
        assert suppressions.put_many(connection, [wanted], now, batch="import:1") == [outcome]
        [row] = suppressions.get(connection, CONTACT)
        assert (row.until, row.actor, row.note) == (None, "person", "from the old list")
    assert [each.actor for each in suppressions.history(connection, CONTACT)] == ["ops", "person"]


def test_a_new_end_is_recorded_and_keeps_the_start(connection, now):
    put(connection, now)
    put(connection, now + timedelta(hours=1), until=now + timedelta(days=2))
    [row] = suppressions.get(connection, CONTACT)
    assert (row.since, row.until) == (now, now + timedelta(days=2))
    assert [change.action for change in suppressions.history(connection, CONTACT)] == ["extend", "suppress"]


def test_evidence_is_read_as_it_was_stored(connection, now, automatic):
    suppressions.apply(connection, [automatic], [], now)
    assert suppressions.get(connection, CONTACT) == [automatic]
    assert suppressions.history(connection, CONTACT)[0].evidence == automatic.evidence


def test_a_confirmed_suppression_keeps_its_evidence_and_no_rule_lifts_it(connection, now, automatic):
    suppressions.apply(connection, [automatic], [], now)
    put(connection, now, phone_number_id=NUMBER, reason="unreachable", until=automatic.until)
    [confirmed] = suppressions.get(connection, CONTACT)
    assert (confirmed.review, confirmed.actor, confirmed.evidence) == (False, "ops", automatic.evidence)
    assert suppressions.apply(connection, [replace(automatic, times=2)], [], now) == []
    assert suppressions.apply(connection, [], [Removal(automatic, "lift", "system")], now) == []
    assert suppressions.get(connection, CONTACT) == [confirmed]


def test_active_excludes_expired_rows_and_other_numbers(connection, now):
    put(connection, now, reason="manual", phone_number_id="")
    put(connection, now, reason="hard", phone_number_id=NUMBER)
    put(connection, now, reason="hard", phone_number_id="2")
    put(connection, now, OTHER, until=now + timedelta(minutes=1))

    def found(contacts, number, at=now):
        rows = lists.active(connection, contacts, number, at)
        return [(row.contact, row.reason, row.phone_number_id) for row in rows]

    assert found([CONTACT], NUMBER) == [(CONTACT, "manual", ""), (CONTACT, "hard", NUMBER)]
    assert found([CONTACT], "3") == [(CONTACT, "manual", "")]
    assert found([CONTACT], None) == [
        (CONTACT, "manual", ""),
        (CONTACT, "hard", "2"),
        (CONTACT, "hard", NUMBER),
    ]
    assert found([OTHER], NUMBER) == [(OTHER, "manual", "")]
    assert found([OTHER], NUMBER, now + timedelta(minutes=1)) == []
    assert found([], NUMBER) == []


@pytest.mark.parametrize(
    ("asked", "lifted"),
    [
        ((None, None, None), {"manual", "hard", "opted_out"}),
        ((NUMBER, None, None), {"hard", "opted_out"}),
        (("", None, None), {"manual"}),
        ((None, "marketing", None), {"opted_out"}),
        ((None, "all", "hard"), {"hard"}),
        (("2", None, None), set()),
    ],
)
def test_a_lift_ends_only_matching_rows(connection, now, asked, lifted):
    put(connection, now, reason="manual")
    put(connection, now, reason="hard", phone_number_id=NUMBER)
    put(connection, now, reason="opted_out", phone_number_id=NUMBER, scope="marketing")
    ended = suppressions.lift(connection, CONTACT, *asked, actor="ops", note="mistake", now=now)
    assert {row.reason for row in ended} == lifted
    left = {row.reason for row in suppressions.get(connection, CONTACT)}
    assert left == {"manual", "hard", "opted_out"} - lifted
    lifts = [change for change in suppressions.history(connection, CONTACT) if change.action == "lift"]
    assert {change.reason for change in lifts} == lifted
    assert all((change.actor, change.note) == ("ops", "mistake") for change in lifts)


def test_an_extended_suppression_does_not_expire_at_its_old_end(connection, now, automatic):
    over = replace(automatic, until=now)
    suppressions.apply(connection, [over], [], now)
    put(connection, now, phone_number_id=NUMBER, reason="unreachable", until=now + timedelta(days=9))
    assert suppressions.apply(connection, [], [Removal(over, "expire", "system")], now) == []


def test_pages_have_no_gap_or_overlap(connection, now):
    contacts = [f"1202555{i:04}" for i in range(25)]
    for contact in contacts:
        put(connection, now, contact)
    read, after = [], None
    while page := lists.list_page(connection, 10, after):
        read += [row.contact for row in page]
        after = page[-1].key
    assert read == contacts


def test_pages_can_be_filtered(connection, now):
    put(connection, now, reason="hard", phone_number_id=NUMBER)
    put(connection, now, reason="manual", scope="marketing")
    listed = lists.list_page
    assert [row.reason for row in listed(connection, 10, reason="hard")] == ["hard"]
    assert [row.reason for row in listed(connection, 10, scope="marketing")] == ["manual"]
    assert [row.reason for row in listed(connection, 10, phone_number_id="")] == ["manual"]
    assert listed(connection, 10, reason="hard", phone_number_id="") == []


def test_the_feed_can_be_read_in_pages(connection, now):
    for i in range(5):
        put(connection, now, f"1202555{i:04}")
    first = suppressions.changes_since(connection, 0, 3)
    rest = suppressions.changes_since(connection, first[-1].seq, 10)
    assert [change.seq for change in first + rest] == [1, 2, 3, 4, 5]
    assert suppressions.changes_since(connection, 5, 10) == []


def test_concurrent_writers_leave_no_gap(engine, now):
    def write(worker):
        for i in range(20):
            with engine.begin() as connection:
                put(connection, now, f"{worker}202555{i:04}")
                if i % 3 == 0:
                    suppressions.lift(
                        connection, f"{worker}202555{i:04}", None, None, None, actor="ops", now=now
                    )

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write, (1, 2, 3)))
    with engine.connect() as connection:
        changes = suppressions.changes_since(connection, 0, 1_000)
    assert [change.seq for change in changes] == list(range(1, 3 * 27 + 1))


def test_a_rollback_leaves_no_gap(engine, now):
    with engine.connect() as connection:
        put(connection, now)
        connection.rollback()
    with engine.begin() as connection:
        put(connection, now, OTHER)
    with engine.connect() as connection:
        assert [(c.seq, c.contact) for c in suppressions.changes_since(connection, 0, 9)] == [(1, OTHER)]
