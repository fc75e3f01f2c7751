"""Validates the matchers of a silence and matches them against alerts.

A silence mutes notifications. It changes neither the state of alerts nor which failures they explain.
"""

from collections.abc import Mapping, Sequence

from webhook_app.rules.counts.dimensions import GROUPS
from webhook_app.rules.incidents.rules_file.rule_keys import KINDS, SEVERITIES

MATCHED = ("rule", "kind", "severity", *GROUPS)
"""The fields that a matcher may name."""

_CHOICES = {"kind": KINDS, "severity": SEVERITIES}
_MAX_LENGTH = 512


def matcher_fault(matchers: Mapping[str, str | int]) -> str:
    """The first fault in the matchers of a new silence; empty if they are valid."""
    if not matchers:
        return "matchers: name at least one of " + ", ".join(MATCHED)
    for key, value in matchers.items():
        if key not in MATCHED:
            return f"matchers: {key!r} is not one of {', '.join(MATCHED)}"
        if (key == "code") is not isinstance(value, int) or isinstance(value, bool):
            return f"matchers: {key} must be a {'number' if key == 'code' else 'text'}"
        if isinstance(value, str) and (len(value) > _MAX_LENGTH or "\0" in value):
            return f"matchers: {key} must be a text of up to {_MAX_LENGTH} characters"
        if key in _CHOICES and value not in _CHOICES[key]:
            return f"matchers: {key} must be one of {', '.join(_CHOICES[key])}"
    return ""


def shared_matchers(facts: Sequence[Mapping[str, str | int]]) -> dict[str, str | int]:
    """The matchers that match all of these alerts: fields with the same value in each."""
    first = facts[0] if facts else {}
    return {
        name: first[name]
        for name in MATCHED
        if name in first and all(each.get(name) == first[name] for each in facts)
    }


def is_silenced(matchers: Mapping[str, str | int], facts: Mapping[str, str | int]) -> bool:
    """Whether every matcher equals the alert's value. A field that the alert lacks does not match."""
    return bool(matchers) and all(
        key in facts and str(facts[key]) == str(value) for key, value in matchers.items()
    )
