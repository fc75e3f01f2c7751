"""Describes groups, slices and figures in words, the same in messages and pages."""

from collections.abc import Mapping, Sequence

from webhook_app.channels.notification import AffectedPart, Figures
from webhook_app.rules.counts.dimensions import DIMENSIONS, GROUP_WORDS
from webhook_app.rules.counts.outcome_measures import OutcomeMeasure
from webhook_app.rules.incidents.formats import number, percent, window_length

_PLURALS = {
    "phone_number_id": "business numbers",
    "waba_id": "WhatsApp accounts",
    "template": "templates",
    "campaign": "campaigns",
    "country": "countries",
}


def describe_group(group: dict[str, str | int]) -> str:
    """The group in words without its code; "all messages" for the group of everything."""
    return group_values(group) or "all messages"


def group_values(group: dict[str, str | int]) -> str:
    """The values of the group in words without its code; empty for the group of everything."""
    held = [(GROUP_WORDS.get(key, key), value) for key, value in _sorted_group(group).items()]
    return ", ".join(f"{words} {value}" if value else f"no {words}" for words, value in held)


def _sorted_group(group: dict[str, str | int]) -> dict[str, str | int]:
    known = [key for key in DIMENSIONS if key in group]
    return {key: group[key] for key in [*known, *sorted(group.keys() - GROUP_WORDS.keys())]}


def describe_slice(part: AffectedPart) -> str:
    """The slice in words, with its share of the failures."""
    return f"{percent(part.share)} of the failures: {describe_values(part.values)}"


def describe_values(values: Mapping[str, Sequence[str]]) -> str:
    """The values of a slice in words."""
    parts = []
    for name in (name for name in DIMENSIONS if name in values):
        held, words = values[name], GROUP_WORDS[name]
        parts.append(f"{words if len(held) == 1 else _PLURALS[name]} {', '.join(held)}")
    return ", ".join(parts)


def count_values(dimension: str, values: Sequence[str], more: int = 0) -> str:
    """One value by name, several as a number: "template order", "3 business numbers"; empty for none.

    `more`: how many there are beyond these values.
    """
    if (count := len(values) + more) > 1:
        return f"{number(count)} {_PLURALS[dimension]}"
    return f"{GROUP_WORDS[dimension]} {values[0]}" if values else ""


def describe_figures(figures: Figures, place: str = "", measure: OutcomeMeasure | None = None) -> str:
    """The figures of the window and the threshold in words. `place`: the group they are about."""
    length = window_length(figures.window_minutes)
    if not figures.attempts and not figures.failures:
        return f"no messages in the last {length}"
    between = f"{percent(figures.low)} to {percent(figures.high)}"
    about = f" ({place})" if place else ""
    messages = f"{number(figures.failures)} of {number(figures.attempts)} messages{about}"
    counted = measure.describe(messages, length) if measure else f"{messages} failed in {length}"
    text = f"{counted}: {percent(figures.rate)} (95 % interval {between})"
    return f"{text}; the threshold is {percent(figures.threshold)}" if figures.threshold else text
