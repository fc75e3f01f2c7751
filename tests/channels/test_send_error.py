"""The reason of a failed try can be stored, whatever the server answered."""

from webhook_app.channels import SendError


def test_a_reason_has_no_characters_that_the_database_refuses_and_a_limited_length():
    fault = SendError("Slack answered a\0b \ud800" + "x" * 100_000, permanent=False, retry_after=3.0)
    assert str(fault).startswith("Slack answered ab \ufffdx")
    assert len(str(fault)) == 1000
    assert (fault.permanent, fault.retry_after) == (False, 3.0)
