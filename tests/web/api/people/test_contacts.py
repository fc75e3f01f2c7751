"""Everything stored about one person, under any number or id, newest first."""

from datetime import timedelta

import pytest

from tests.support.factories import NUMBER, body, handed_over, handover, message, number_change, status

USER_ID = "US.70411938265500174423"
SECOND = timedelta(seconds=1)


@pytest.fixture
def stored(api, deliver, now):
    """A send, its statuses, a failure, a message and a STOP of the person, partly under the user id alone."""
    at = now - timedelta(minutes=10)
    api.post(
        "/v1/sends",
        json={
            "sends": [
                {
                    "contact": "+12025550117",
                    "message_id": "wamid.A",
                    "template": "offer",
                    "sent_at": at.isoformat(),
                }
            ]
        },
    )
    deliver(
        body(
            status("wamid.A", "sent", at + SECOND, recipient_user_id=USER_ID),
            status("wamid.A", "read", at + 3 * SECOND, recipient_user_id=USER_ID),
            status("wamid.B", "sent", at + 4 * SECOND, recipient="", recipient_user_id=USER_ID),
            status(
                "wamid.B", "failed", at + 5 * SECOND, code=131026, recipient="", recipient_user_id=USER_ID
            ),
        )
    )
    deliver(
        body(messages=[message("wamid.I", at + 6 * SECOND), message("wamid.S", at + 7 * SECOND, text="STOP")])
    )
    return at


@pytest.mark.parametrize("asked", ["+1 (202) 555-0117", "0012025550117", "12025550117", USER_ID])
def test_a_person_is_found_by_any_spelling_of_any_key(api, stored, asked):
    answer = api.get(f"/v1/contacts/{asked}", role="sender").json
    assert set(answer["keys"]) == {"+12025550117", USER_ID}
    assert [(entry["what"], entry["message_id"]) for entry in answer["timeline"]] == [
        ("stop", "wamid.S"),
        ("wrote", "wamid.I"),
        ("failed", "wamid.B"),
        ("sent", "wamid.B"),
        ("read", "wamid.A"),
        ("sent", "wamid.A"),
        ("accepted", "wamid.A"),
    ]
    assert answer["timeline"][2]["code"] == 131026
    assert answer["timeline"][4]["template"] == "offer"


def test_handovers_of_the_conversation_are_in_the_timeline(api, deliver, now):
    at = now.replace(microsecond=0)
    deliver(handed_over(handover("control_taken", at, role="escalation"), handover(at=at - SECOND)))
    found = api.get("/v1/contacts/12025550117").json["timeline"]
    assert [(entry["what"], entry["note"]) for entry in found] == [
        ("control_taken", "escalation"),
        ("control_passed", ""),
    ]


def test_what_is_from_before_a_change_of_number_moves_with_the_person(api, deliver, stored):
    before = api.get("/v1/contacts/12025550117").json
    deliver(number_change("12025550117", "12025550118", stored + 8 * SECOND))
    deliver(body(messages=[message("wamid.NEXT", stored + 10 * SECOND)]))
    present = api.get("/v1/contacts/12025550118").json
    assert present["timeline"][-len(before["timeline"]) :] == before["timeline"]
    assert present["windows"] == before["windows"]
    assert [each["message_id"] for each in api.get("/v1/contacts/12025550117").json["timeline"]] == [
        "wamid.NEXT"
    ]


def test_the_page_has_the_outcome_of_its_messages(api, stored):
    outcomes = {each["message_id"]: each for each in api.get("/v1/contacts/12025550117").json["messages"]}
    assert set(outcomes) == {"wamid.A", "wamid.B"}
    assert (outcomes["wamid.A"]["reached"], outcomes["wamid.A"]["failed"]) == (True, False)
    assert outcomes["wamid.A"]["delivered_at"] == outcomes["wamid.A"]["read_at"]
    assert (outcomes["wamid.B"]["reached"], outcomes["wamid.B"]["failed"]) == (False, True)


def test_a_window_is_open_for_a_day_after_they_wrote(api, stored):
    (window,) = api.get("/v1/contacts/12025550117").json["windows"]
    until = (stored + 6 * SECOND + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert window == {"phone_number_id": NUMBER, "until": until}


def test_suppressions_come_with_their_evidence_and_history(api, stored):
    api.put("/v1/suppressions/12025550117", json={"note": "asked by phone"})
    suppression = api.get(f"/v1/contacts/{USER_ID}").json["suppression"]
    assert [row["reason"] for row in suppression["suppressions"]] == ["manual", "opted_out"]
    assert suppression["history"][0]["note"] == "asked by phone"


@pytest.mark.parametrize("limit", [1, 2, 3, 6])
def test_pages_together_are_complete_and_in_order(api, stored, limit):
    whole = api.get("/v1/contacts/12025550117").json["timeline"]
    path, seen, cursor = "/v1/contacts/12025550117", [], None
    while True:
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        answer = api.get(path, query_string=query).json
        seen += answer["timeline"]
        if not (cursor := answer["next_cursor"]):
            break
        assert len(answer["timeline"]) == limit
    assert seen == whole


def test_events_of_one_second_are_paged_without_loss(api, deliver, now):
    deliver(body(*(status(f"wamid.{i}", "sent", now) for i in range(7))))
    seen, cursor = [], None
    while cursor is not None or not seen:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        answer = api.get("/v1/contacts/12025550117", query_string=query).json
        seen += [entry["message_id"] for entry in answer["timeline"]]
        if (cursor := answer["next_cursor"]) is None:
            break
    assert sorted(seen) == [f"wamid.{i}" for i in range(7)]


def test_an_unknown_person_has_no_data(api):
    answer = api.get("/v1/contacts/+49 171 2345678").json
    assert (answer["contact"], answer["keys"], answer["timeline"]) == ("+491712345678", ["+491712345678"], [])
    assert answer["next_cursor"] is None


def test_invalid_contacts_and_cursors_are_refused(api):
    assert api.get("/v1/contacts/nobody").status_code == 400
    assert api.get("/v1/contacts/12025550117?cursor=abc").json["error"]["code"] == "bad_cursor"
