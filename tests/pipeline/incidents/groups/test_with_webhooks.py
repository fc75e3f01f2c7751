"""Which judgement of a group counts: that of everything, or that of webhooks alone."""

import pytest

from webhook_app.pipeline.incidents.groups.rule_group import OpenGroup, RuleGroup
from webhook_app.pipeline.incidents.groups.window_groups import with_webhooks
from webhook_app.rules.incidents.alerts import Judgement, Reading
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.store.incidents.alerts import group_key

RULE = Rule(name="failure-rate", threshold=0.02, resolve_below=0.015)
GROUP: dict[str, str | int] = {"code": 131026, "phone_number_id": "n0"}
KEY = group_key(GROUP)
ABOVE, BETWEEN, BELOW, NO_DATA = Reading.ABOVE, Reading.BETWEEN, Reading.BELOW, Reading.NO_DATA


def judged(reading: Reading | None, description: str) -> list[RuleGroup]:
    if reading is None:
        return []
    judgement = Judgement(reading=reading, description=description)
    return [RuleGroup(rule=RULE, group=GROUP, key=KEY, judgement=judgement)]


@pytest.mark.parametrize(
    ("every", "webhooks", "opened", "is_reported", "expected"),
    [
        (ABOVE, ABOVE, "", True, "webhooks"),
        (ABOVE, BETWEEN, "", True, "every"),
        (ABOVE, BELOW, "shown", True, "webhooks"),
        (ABOVE, NO_DATA, "shown", True, "every"),
        (ABOVE, BELOW, "reported", True, "every"),
        (BELOW, BETWEEN, "", True, "webhooks"),
        (None, ABOVE, "", False, "webhooks"),
        (None, BELOW, "", False, "webhooks"),
        (ABOVE, BETWEEN, "", False, "webhooks"),
        (ABOVE, None, "", False, ""),
        (ABOVE, None, "reported", False, "every"),
    ],
    ids=[
        "webhooks show it",
        "only with reports",
        "webhooks have shown it and it is over",
        "webhooks say nothing any more",
        "they have never shown it",
        "reports make the share smaller",
        "only webhooks have it",
        "only webhooks have it, and it is calm",
        "reports of other codes make a share smaller, so that it seems to go on",
        "and webhooks are calm",
        "an alert of before",
    ],
)
def test_webhooks_decide_where_they_say_something(
    every: Reading | None, webhooks: Reading | None, opened: str, is_reported: bool, expected: str
) -> None:
    known = [OpenGroup(GROUP, is_firing=True, is_shown=opened == "shown")] if opened else []
    found = with_webhooks(
        judged(every, "every"), judged(webhooks, "webhooks"), known, {KEY} if is_reported else ()
    )
    assert [each.judgement.text for each in found] == ([expected] if expected else [])
