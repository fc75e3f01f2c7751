"""Fixtures of the incidents' tests."""

from collections.abc import Sequence
from datetime import datetime

import pytest
from sqlalchemy import Engine

from tests.pipeline.incidents.evaluations import SECOND, Evaluate
from webhook_app.pipeline.incidents.evaluate import evaluate
from webhook_app.rules.incidents.rules_file.rule import Rule
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules

DEFAULT = parse_rules(default_rules_text())


@pytest.fixture
def look(engine: Engine) -> Evaluate:
    """Evaluates at these moments, by default every 15 s for a minute."""

    def run(at: datetime, rules: Sequence[Rule] = DEFAULT, seconds: int = 60) -> None:
        for second in range(0, seconds + 1, 15):
            evaluate(engine, rules, at + second * SECOND, channels=["slack", "log"])

    return run
