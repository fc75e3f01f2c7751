"""What people type and tap, and what may be sent to them the day after. keyword_cases.json holds the cases."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from tests.pipeline.world import MINUTE
from tests.support.factories import body, message
from webhook_app.rules.suppressions.verdict import CheckTerms, decide

CASES = json.loads(Path(__file__).with_name("keyword_cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["case"])
def test_what_is_said_decides_what_may_be_sent(world, case):
    contact = case["contact"]
    for place, said in enumerate(case["messages"]):
        at = world.now - timedelta(days=2) + place * MINUTE
        item = message(f"wamid.{place}", at, sender=contact)
        item = {key: value for key, value in item.items() if key != "text"} | said
        world.store(body(messages=[item]))
    world.run()
    for category in ("marketing", "utility"):
        terms = CheckTerms(category, stop_blocks_all=False, now=world.now)
        assert decide(world.rows(contact), False, terms).verdict == case[category], category
