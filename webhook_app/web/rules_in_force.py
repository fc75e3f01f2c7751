"""The rules that the scheduler evaluates, for pages and API answers that show them."""

from functools import lru_cache
from pathlib import Path

import structlog

from webhook_app.rules.incidents.rules_file.rule import FAILURE_KINDS, Rule, selects
from webhook_app.rules.incidents.rules_file.rules_file import default_rules_text, parse_rules
from webhook_app.settings import Settings
from webhook_app.whatsapp.errors.catalogue import ErrorCode

log = structlog.get_logger()


def rules_in_force(settings: Settings) -> tuple[Rule, ...] | None:
    """The rules, read once as the scheduler does. None if the file is invalid: the scheduler does not start then, but
    the pages that show the problem must work.
    """
    return _read(settings.rules_file)


def rules_text(settings: Settings) -> str | None:
    """The current text of the rules file; None if it cannot be read."""
    try:
        path = settings.rules_file
        return path.read_text(encoding="utf-8") if path else default_rules_text()
    except (OSError, ValueError):
        return None


def rules_counting(settings: Settings, entry: ErrorCode) -> list[str] | None:
    """The names of the rules that count the code, in file order; None if the file is invalid."""
    rules = rules_in_force(settings)
    return (
        None
        if rules is None
        else [rule.name for rule in rules if rule.kind in FAILURE_KINDS and selects(rule, entry)]
    )


@lru_cache(maxsize=4)
def _read(path: Path | None) -> tuple[Rule, ...] | None:
    try:
        return parse_rules(path.read_text(encoding="utf-8") if path else default_rules_text())
    except (OSError, ValueError) as fault:
        log.warning("the rules file is invalid: pages and API answers omit the rules", fault=str(fault))
        return None
