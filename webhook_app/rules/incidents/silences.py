"""Which alerts a silence is about: its matchers and the facts of an alert in, yes or no out.

A silence mutes news of alerts; whether they fire, and what they explain, stays as it is.
"""

from collections.abc import Mapping

from webhook_app.rules.incidents.rule_keys import GROUPS, KINDS, SEVERITIES

MATCHED = ("rule", "kind", "severity", *GROUPS)
"""What a matcher may be about."""

_CHOICES = {"kind": KINDS, "severity": SEVERITIES}
_LONGEST = 512


def matcher_fault(matchers: Mapping[str, str | int]) -> str:
    """What is wrong with the matchers of a new silence; empty when nothing is."""
    if not matchers:
        return "matchers: name at least one of " + ", ".join(MATCHED)
    for key, wanted in matchers.items():
        if key not in MATCHED:
            return f"matchers: {key!r} is not one of {', '.join(MATCHED)}"
        if (key == "code") is not isinstance(wanted, int) or isinstance(wanted, bool):
            return f"matchers: {key} must be a {'number' if key == 'code' else 'text'}"
        if isinstance(wanted, str) and (len(wanted) > _LONGEST or "\0" in wanted):
            return f"matchers: {key} must be a text of up to {_LONGEST} characters"
        if key in _CHOICES and wanted not in _CHOICES[key]:
            return f"matchers: {key} must be one of {', '.join(_CHOICES[key])}"
    return ""


def is_silenced(matchers: Mapping[str, str | int], facts: Mapping[str, str | int]) -> bool:
    """Whether every matcher holds for the alert; what the alert does not say, it does not match."""
    return bool(matchers) and all(
        key in facts and str(facts[key]) == str(wanted) for key, wanted in matchers.items()
    )
