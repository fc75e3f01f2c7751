"""What each key of a [[rule]] may hold: a value in, what is wrong with it out, in the words of its writer.

Nothing here knows about lines or files, and no check stops at the first fault it finds.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from webhook_app.whatsapp.error_codes import catalogue
from webhook_app.whatsapp.events import NO_CODE

Check = Callable[[object], Iterator[str]]

REQUIRED = ("name", "kind", "threshold")
KINDS = ("rate",)
LATER_KINDS = (
    "new_code",
    "spike",
    "attention",
    "silence",
    "signature",
    "integrity",
    "health",
    "tier",
    "self",
)
CLASSES = ("broken", "withheld", "unreachable")
GROUPS = ("code", "phone_number_id", "waba_id", "template", "campaign", "country")
SEVERITIES = ("info", "warning", "error", "critical")

_LONGEST_NAME = 100
_RUNBOOK = re.compile(r"https?://\S{1,2000}")


def checks(known_channels: Collection[str]) -> dict[str, Check]:
    """For every key that a rule of kind rate may have: the check that names each fault of its value."""
    return {
        "name": _check_name,
        "kind": _check_kind,
        "codes": _check_codes,
        "classes": _some_of(CLASSES),
        "domains": _some_of(sorted({entry.domain for entry in catalogue()})),
        "group_by": _some_of(GROUPS, or_none=True),
        "window_minutes": _whole(1, 1440),
        "threshold": _check_threshold,
        "min_attempts": _whole(1, 1_000_000),
        "min_failures": _whole(1, 1_000_000),
        "confidence": _check_confidence,
        "for_evaluations": _whole(1, 1000),
        "resolve_below": _check_resolve_below,
        "resolve_after_evaluations": _whole(1, 1000),
        "severity": _one_of(SEVERITIES),
        "repeat_hours": _check_repeat_hours,
        "channels": _some_of(sorted(known_channels), or_none=True),
        "runbook": _check_runbook,
    }


def check_together(rule: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What is wrong between keys that are each right: the key to change, and why."""
    threshold, resolve_below = _number(rule.get("threshold")), _number(rule.get("resolve_below"))
    if threshold is not None and resolve_below is not None and 0 < threshold < min(resolve_below, 1):
        yield "resolve_below", f"must be at most the threshold, {threshold:g}, is {resolve_below:g}"


def unused_key(key: str, known: Iterable[str]) -> str:
    """The fault of a key that no rule of kind rate has."""
    return f"kind 'rate' does not use this key{_suggest(key, known)}"


def _check_name(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value.strip():
        yield f"must be a text that is not empty, is {_shown(value)}"
    elif value != value.strip() or not value.isprintable() or len(value) > _LONGEST_NAME:
        yield f"must be up to {_LONGEST_NAME} printable characters, no space at the ends, is {_shown(value)}"


def _check_kind(value: object) -> Iterator[str]:
    available = f"(available: {', '.join(KINDS)})"
    if value in LATER_KINDS:
        yield f"kind '{value}' is not available in this version {available}"
    elif value not in KINDS:
        yield f"there is no kind {_shown(value)} {available}"


def _check_codes(value: object) -> Iterator[str]:
    yield from _check_list(value)
    for code in value if isinstance(value, list) else []:
        if not isinstance(code, int) or isinstance(code, bool):
            yield f"must hold whole numbers, has {_shown(code)}"
        elif code != NO_CODE and not any(entry.code <= code <= entry.code_to for entry in catalogue()):
            yield f"{_shown(code)} is not a known error code"


def _check_threshold(value: object) -> Iterator[str]:
    number = _number(value)
    if number is None or not 0 < number < 1:
        yield f"must be above 0 and below 1, is {_shown(value)}"


def _check_confidence(value: object) -> Iterator[str]:
    number = _number(value)
    if number is None or not 0 <= number < 1:
        yield f"must be at least 0 and below 1, is {_shown(value)}"


def _check_resolve_below(value: object) -> Iterator[str]:
    number = _number(value)
    if number is None or not 0 < number < 1:
        yield f"must be above 0 and at most the threshold, is {_shown(value)}"


def _check_repeat_hours(value: object) -> Iterator[str]:
    number = _number(value)
    if number is None or not 0.25 <= number <= 168:
        yield f"must be a number from 0.25 to 168, is {_shown(value)}"


def _check_runbook(value: object) -> Iterator[str]:
    if not isinstance(value, str) or (value and not (_RUNBOOK.fullmatch(value) and value.isprintable())):
        yield f"must be empty or a web address that begins with https:// or http://, is {_shown(value)}"


def _whole(least: int, most: int) -> Check:
    def check(value: object) -> Iterator[str]:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            yield f"must be a whole number from {least} to {most}, is {_shown(value)}"

    return check


def _one_of(allowed: Collection[str]) -> Check:
    def check(value: object) -> Iterator[str]:
        if value not in allowed:
            yield f"must be one of {', '.join(allowed)}, is {_shown(value)}{_suggest(value, allowed)}"

    return check


def _some_of(allowed: Collection[str], *, or_none: bool = False) -> Check:
    def check(value: object) -> Iterator[str]:
        yield from _check_list(value, or_none=or_none)
        for item in value if isinstance(value, list) else []:
            if item not in allowed:
                yield f"{_shown(item)} is not one of {', '.join(allowed)}{_suggest(item, allowed)}"

    return check


def _check_list(value: object, *, or_none: bool = False) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"must be a list in square brackets, is {_shown(value)}"
    elif not value and not or_none:
        yield "must not be an empty list; leave the key out instead"
    else:
        repeated = [item for item, count in Counter(map(_shown, value)).items() if count > 1]
        yield from (f"has {item} more than once" for item in repeated)


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < 1e18 else None


def _suggest(word: object, known: Iterable[str]) -> str:
    close = get_close_matches(word, known, 1) if isinstance(word, str) else []
    return f" (did you mean {close[0]}?)" if close else ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
