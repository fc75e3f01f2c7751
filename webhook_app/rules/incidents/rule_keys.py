"""What each key of a [[rule]] or [[route]] may hold: a value in, what is wrong with it out, in its writer's words.

Nothing here knows about lines or files, and no check stops at the first fault it finds.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from webhook_app.rules.incidents.rule_kinds import RULE_KINDS
from webhook_app.whatsapp.errors.catalogue import catalogue
from webhook_app.whatsapp.events import NO_CODE

Check = Callable[[object], Iterator[str]]

KINDS = tuple(RULE_KINDS)
CLASSES = ("broken", "withheld", "unreachable")
GROUPS = ("code", "phone_number_id", "waba_id", "template", "campaign", "country")
SEVERITIES = ("info", "warning", "error", "critical")

_LONGEST_NAME = 100
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_RUNBOOK = re.compile(r"https?://\S{1,2000}")


def checks(known_channels: Collection[str]) -> dict[str, Check]:
    """For every key that a rule may have: the check that names each fault of its value."""
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
        "factor": _number_from(1.1, 1000),
        "baseline_hours": _whole(24, 720),
        "quiet_days": _whole(1, 90),
        "min_usual": _whole(1, 1_000_000),
        "min_sends": _whole(1, 1_000_000),
        "min_count": _whole(1, 1_000_000),
        "max_minutes": _whole(1, 1440),
        "checks": _check_list,
        "for_evaluations": _whole(1, 1000),
        "resolve_below": _check_resolve_below,
        "resolve_after_evaluations": _whole(1, 1000),
        "severity": _one_of(SEVERITIES),
        "escalate_above": _check_threshold,
        "escalate_to": _one_of(SEVERITIES),
        "repeat_hours": _number_from(0.25, 168),
        "channels": _some_of(sorted(known_channels), or_none=True),
        "labels": _check_labels,
        "runbook": _check_runbook,
    }


def route_checks(known_channels: Collection[str]) -> dict[str, Check]:
    """The same for the keys of a [[route]]."""
    return {
        "severities": _some_of(SEVERITIES),
        "kinds": _some_of(KINDS),
        "rules": _check_list,
        "labels": _check_labels,
        "channels": _some_of(sorted(known_channels), or_none=True),
        "go_on": _check_yes_or_no,
    }


def check_together(rule: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """What is wrong between keys that are each right: the key to change, and why."""
    threshold, resolve_below = _number(rule.get("threshold")), _number(rule.get("resolve_below"))
    if threshold is not None and resolve_below is not None and 0 < threshold < min(resolve_below, 1):
        yield "resolve_below", f"must be at most the threshold, {threshold:g}, is {resolve_below:g}"
    escalate = _number(rule.get("escalate_above"))
    if threshold is not None and escalate is not None and 0 < escalate <= min(threshold, 1):
        yield "escalate_above", f"must be above the threshold, {threshold:g}, is {escalate:g}"
    yield from _check_of_kind(str(rule.get("kind")), rule)


def _check_of_kind(kind: str, rule: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    allowed = RULE_KINDS[kind].checks if kind in RULE_KINDS else ()
    chosen, group_by = rule.get("checks"), rule.get("group_by")
    if allowed and isinstance(chosen, list):
        yield from (("checks", fault) for fault in _some_of(allowed)(chosen))
    if not isinstance(group_by, list):
        return
    if kind in ("new_code", "attention") and "code" not in group_by:
        yield "group_by", f"kind '{kind}' judges each code by itself, so code must be among them"
    if kind == "silence" and not set(group_by) <= {"phone_number_id", "waba_id"}:
        yield "group_by", "kind 'silence' can group by phone_number_id and waba_id"


def unused_key(kind: str, key: str, known: Iterable[str]) -> str:
    """The fault of a key that no rule of this kind has."""
    return f"kind '{kind}' does not use this key{_suggest(key, known)}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The fault of a key that no route has."""
    return f"a route does not have this key{_suggest(key, known)}"


def _check_name(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value.strip():
        yield f"must be a text that is not empty, is {_shown(value)}"
    elif not _is_line(value):
        yield f"must be up to {_LONGEST_NAME} printable characters, no space at the ends, is {_shown(value)}"


def _check_kind(value: object) -> Iterator[str]:
    if value not in KINDS:
        yield f"there is no kind {_shown(value)} (there are: {', '.join(KINDS)}){_suggest(value, KINDS)}"


def _check_labels(value: object) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f'must be a table such as {{team = "crm"}}, is {_shown(value)}'
        return
    for name, held in value.items():
        if not _LABEL.fullmatch(name) or not isinstance(held, str) or not _is_line(held):
            yield f"must hold short texts under names of letters, digits and _, has {_shown(name)} = {_shown(held)}"


def _check_yes_or_no(value: object) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"must be true or false, is {_shown(value)}"


def _is_line(text: str) -> bool:
    return text == text.strip() and text.isprintable() and len(text) <= _LONGEST_NAME


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


def _number_from(least: float, most: float) -> Check:
    def check(value: object) -> Iterator[str]:
        number = _number(value)
        if number is None or not least <= number <= most:
            yield f"must be a number from {least:g} to {most:g}, is {_shown(value)}"

    return check


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
