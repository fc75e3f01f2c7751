"""Meta's pauses of marketing have a label with their end, and nobody has to review them."""

from datetime import UTC, datetime

import pytest
from msgspec import Struct

from webhook_app.rules.suppressions.marketing_pauses import PAUSED_BY_META, pause_label, waits_for_review
from webhook_app.whatsapp.errors.catalogue import explain

UNTIL = datetime(2026, 12, 1, 10, 30, tzinfo=UTC)


class Row(Struct):
    code: int
    review: bool = True


def test_the_label_says_until_when():
    assert pause_label(131049, UNTIL) == "Meta limits marketing to this person until 2026-12-01 10:30 UTC."
    assert pause_label(131049, None) == "Meta limits marketing to this person until it is lifted."
    assert pause_label(130472, None) == "Meta limits marketing to this person until they write to you."


@pytest.mark.parametrize("code", [131026, 131050, 130403, -1])
def test_other_codes_have_no_label_and_wait_for_review(code):
    assert pause_label(code, UNTIL) == ""
    assert waits_for_review(Row(code))
    assert not waits_for_review(Row(code, review=False))


@pytest.mark.parametrize("code", PAUSED_BY_META)
def test_pauses_do_not_wait_for_review_and_concern_marketing_alone(code):
    assert not waits_for_review(Row(code))
    assert explain(code).contact_effect == "marketing_only"
