"""Evaluations on stored webhooks, for the tests of incidents."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from tests.support.incidents import sent
from webhook_app.rules.incidents.rules_file.rule import Rule

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
OTHER_NUMBER = "590238114470022"
UNREACHABLE, BROKEN, PLATFORM, TEMPLATE_PAUSED = 131026, 131053, 131016, 132015

Evaluate = Callable[..., None]
"""As the fixture `look` has it."""


def rule(**more: Any) -> Rule:
    """A rule of kind rate that fires at the first evaluation."""
    plain = {
        "name": "r",
        "threshold": 0.02,
        "resolve_below": 0.015,
        "for_evaluations": 1,
        "resolve_after_evaluations": 2,
        "channels": ("slack",),
    }
    return Rule(**(plain | more))


def reasons(engine: Engine) -> list[str]:
    """The reasons of all notifications, the first one first."""
    return [each.reason for each in sent(engine)]
