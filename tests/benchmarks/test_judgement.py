"""A short form of `make judgement`: some scenarios in simulated time, through the code that evaluates live."""

from datetime import timedelta

import pytest

from benchmarks.judgement.__main__ import play
from benchmarks.judgement.lasting import LASTING, play_lasting
from benchmarks.judgement.scenarios import MUST_NOT_SAY, MUST_SEE
from webhook_app.pipeline.incidents.groups.rule_groups import REPLAYABLE
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

RULES = [rule for rule in parse_rules(default_rules_text()) if rule.kind in REPLAYABLE]
SCENARIOS = {scenario.name: scenario for scenario in (*MUST_SEE, *MUST_NOT_SAY)}


@pytest.mark.parametrize(
    "name",
    [
        "20 of 20 in an hour",
        "60 of 60 of one campaign among 4 060 messages of the number",
        "a bill not paid",
    ],
)
def test_the_default_rules_are_right_about_a_scenario(name):
    assert play(SCENARIOS[name], RULES).faults == []


def test_a_pause_of_three_hours_is_no_recovery_for_a_sender_of_20_messages_a_day():
    """Every five minutes for 26 hours: the sender has a message in more than an hour."""
    scenario = SCENARIOS["everything fails for a week on 20 messages a day"]
    assert play(scenario, RULES, timedelta(minutes=5)).faults == []


@pytest.mark.parametrize("scenario", [LASTING[0], LASTING[3]], ids=lambda scenario: scenario.name)
def test_a_state_that_lasts_is_a_finding_and_no_incident(scenario):
    assert play_lasting(scenario, RULES).is_right
