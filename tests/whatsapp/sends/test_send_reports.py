"""Generated ids are equal for equal reports and differ for different calls."""

from datetime import UTC, datetime, timedelta

from webhook_app.whatsapp.sends.graph_errors import read_graph_error
from webhook_app.whatsapp.sends.send_reports import GENERATED_ID_PREFIX, generated_message_id

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TRACED = read_graph_error({"code": 190, "message": "x", "fbtrace_id": "AAA"})
UNTRACED = read_graph_error({"code": 190, "message": "x"})
CALL = ("12025550117", "590238114470021", "offer", "autumn")


def test_equal_reports_have_the_same_id_at_any_time():
    first = generated_message_id(*CALL, TRACED, None, NOW)
    assert first.startswith(GENERATED_ID_PREFIX)
    assert generated_message_id(*CALL, TRACED, None, NOW + timedelta(days=3)) == first
    timed = generated_message_id(*CALL, UNTRACED, NOW, NOW)
    assert generated_message_id(*CALL, UNTRACED, NOW, NOW + timedelta(days=3)) == timed


def test_every_difference_gives_another_id():
    later = NOW + timedelta(seconds=1)
    other = read_graph_error({"code": 190, "message": "x", "fbtrace_id": "BBB"})
    ids = [
        generated_message_id(*CALL, TRACED, None, NOW),
        generated_message_id(*CALL, other, None, NOW),
        generated_message_id(*CALL, UNTRACED, NOW, NOW),
        generated_message_id(*CALL, UNTRACED, later, NOW),
        generated_message_id(*CALL, UNTRACED, None, NOW),
        generated_message_id(*CALL, None, None, NOW),
        *(
            generated_message_id(*CALL[:place], "", *CALL[place + 1 :], TRACED, None, NOW)
            for place in range(4)
        ),
    ]
    assert len(set(ids)) == len(ids)


def test_without_time_and_trace_the_id_changes_once_a_day():
    first = generated_message_id(*CALL, UNTRACED, None, NOW)
    assert generated_message_id(*CALL, UNTRACED, None, NOW + timedelta(hours=11)) == first
    assert generated_message_id(*CALL, UNTRACED, None, NOW + timedelta(hours=13)) != first
