"""Validates the value of each key of a [[rule]] or [[route]]. Every check yields all faults it finds.

Knows no lines or files.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches

from webhook_app.rules.counts.dimensions import GROUPS
from webhook_app.rules.counts.outcome_measures import SLOW_SECONDS, UNDELIVERED_MINUTES
from webhook_app.rules.incidents.rules_file.rule import OUTCOME_KINDS
from webhook_app.rules.incidents.rules_file.rule_kinds import RULE_KINDS
from webhook_app.whatsapp.errors.catalogue import catalogue
from webhook_app.whatsapp.events import NO_CODE

Check = Callable[[object], Iterator[str]]

KINDS = tuple(RULE_KINDS)
LIST_KINDS = ("rate", *OUTCOME_KINDS)
"""The kinds whose `window_minutes` may be a list."""
CLASSES = ("broken", "withheld", "unreachable")
SEVERITIES = ("info", "warning", "error", "critical")

_MAX_NAME = 100
_MAX_WINDOWS = 8
_DAY_MINUTES = 24 * 60
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_RUNBOOK = re.compile(r"https?://\S{1,2000}")


def checks(known_channels: Collection[str]) -> dict[str, Check]:
    """The check for each key of a rule; a check yields every fault of a value."""
    return {
        "name": _check_name,
        "kind": _check_kind,
        "codes": _check_codes,
        "classes": _list_of(CLASSES),
        "domains": _list_of(sorted({entry.domain for entry in catalogue()})),
        "group_by": _list_of(GROUPS, or_none=True),
        "window_minutes": _check_windows,
        "threshold": _check_threshold,
        "min_attempts": _whole_number(1, 1_000_000),
        "min_failures": _whole_number(1, 1_000_000),
        "confidence": _check_confidence,
        "factor": _number_between(1.1, 1000),
        "baseline_hours": _whole_number(24, 720),
        "quiet_days": _whole_number(1, 90),
        "min_usual": _whole_number(1, 1_000_000),
        "min_sends": _whole_number(1, 1_000_000),
        "min_count": _whole_number(1, 1_000_000),
        "max_minutes": _whole_number(1, 1440),
        "after_minutes": _one_of_numbers(UNDELIVERED_MINUTES),
        "slow_seconds": _one_of_numbers(SLOW_SECONDS),
        "checks": _check_list,
        "for_evaluations": _whole_number(1, 1000),
        "resolve_below": _check_resolve_below,
        "resolve_after_evaluations": _whole_number(1, 1000),
        "severity": _one_of(SEVERITIES),
        "escalate_above": _check_threshold,
        "escalate_to": _one_of(SEVERITIES),
        "repeat_hours": _number_between(0.25, 168),
        "channels": _list_of(sorted(known_channels), or_none=True),
        "labels": _check_labels,
        "runbook": _check_runbook,
    }


def route_checks(known_channels: Collection[str]) -> dict[str, Check]:
    """The check for each key of a [[route]]."""
    return {
        "severities": _list_of(SEVERITIES),
        "kinds": _list_of(KINDS),
        "rules": _check_list,
        "labels": _check_labels,
        "channels": _list_of(sorted(known_channels), or_none=True),
        "go_on": _check_yes_or_no,
    }


def check_together(rule: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """The conflicts between keys that are valid by themselves: the key to change, and why."""
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
    if isinstance(rule.get("window_minutes"), list) and kind not in LIST_KINDS:
        kinds = f"{', '.join(LIST_KINDS[:-1])} and {LIST_KINDS[-1]}"
        yield "window_minutes", f"kind '{kind}' takes one window; only the kinds {kinds} take a list"
    if allowed and isinstance(chosen, list):
        yield from (("checks", fault) for fault in _list_of(allowed)(chosen))
    if not isinstance(group_by, list):
        return
    if kind in ("new_code", "attention") and "code" not in group_by:
        yield "group_by", f"kind '{kind}' judges each code separately: add code"
    if kind in OUTCOME_KINDS and "code" in group_by:
        yield "group_by", f"kind '{kind}' counts no failures: leave code out"
    if kind == "silence" and not set(group_by) <= {"phone_number_id", "waba_id"}:
        yield "group_by", "kind 'silence' can group by phone_number_id and waba_id"


def unused_key(kind: str, key: str, known: Iterable[str]) -> str:
    """The fault of a key that rules of this kind do not have."""
    return f"kind '{kind}' does not use this key{_suggest(key, known)}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The fault of a key that routes do not have."""
    return f"a route does not have this key{_suggest(key, known)}"


def _check_name(value: object) -> Iterator[str]:
    if not isinstance(value, str) or not value.strip():
        yield f"must be a text that is not empty, is {_quote(value)}"
    elif not _is_line(value):
        yield f"must be up to {_MAX_NAME} printable characters, no space at the ends, is {_quote(value)}"


def _check_kind(value: object) -> Iterator[str]:
    if value not in KINDS:
        yield f"there is no kind {_quote(value)} (there are: {', '.join(KINDS)}){_suggest(value, KINDS)}"


def _check_labels(value: object) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f'must be a table such as {{team = "crm"}}, is {_quote(value)}'
        return
    for name, text in value.items():
        if not _LABEL.fullmatch(name) or not isinstance(text, str) or not _is_line(text):
            yield f"must hold short texts under names of letters, digits and _, has {_quote(name)} = {_quote(text)}"


def _check_yes_or_no(value: object) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"must be true or false, is {_quote(value)}"


def _is_line(text: str) -> bool:
    return text == text.strip() and text.isprintable() and len(text) <= _MAX_NAME


def _check_codes(value: object) -> Iterator[str]:
    yield from _check_list(value)
    for code in value if isinstance(value, list) else []:
        if not isinstance(code, int) or isinstance(code, bool):
            yield f"must hold whole numbers, has {_quote(code)}"
        elif code != NO_CODE and not any(entry.code <= code <= entry.code_to for entry in catalogue()):
            yield f"{_quote(code)} is not a known error code"


def _check_windows(value: object) -> Iterator[str]:
    """One window in minutes, or a list of up to eight, the longest a week."""
    if not isinstance(value, list):
        yield from _whole_number(1, _DAY_MINUTES)(value)
        return
    yield from _check_list(value)
    for minutes in value:
        yield from _whole_number(1, 7 * _DAY_MINUTES)(minutes)
    if len(value) > _MAX_WINDOWS:
        yield f"must have at most {_MAX_WINDOWS} windows, has {len(value)}"


def _check_threshold(value: object) -> Iterator[str]:
    number = _number(value)
    if number is None or not 0 < number < 1:
        yield f"must be above 0 and below 1, is {_quote(value)}"


def _check_confidence(value: object) -> Iterator[str]:
    number = _number(value)
    if number is None or not 0 <= number < 1:
        yield f"must be at least 0 and below 1, is {_quote(value)}"


def _check_resolve_below(value: object) -> Iterator[str]:
    number = _number(value)
    if number is None or not 0 < number < 1:
        yield f"must be above 0 and at most the threshold, is {_quote(value)}"


def _number_between(low: float, high: float) -> Check:
    def check(value: object) -> Iterator[str]:
        number = _number(value)
        if number is None or not low <= number <= high:
            yield f"must be a number from {low:g} to {high:g}, is {_quote(value)}"

    return check


def _check_runbook(value: object) -> Iterator[str]:
    if not isinstance(value, str) or (value and not (_RUNBOOK.fullmatch(value) and value.isprintable())):
        yield f"must be empty or a web address that begins with https:// or http://, is {_quote(value)}"


def _whole_number(low: int, high: int) -> Check:
    def check(value: object) -> Iterator[str]:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            yield f"must be a whole number from {low} to {high}, is {_quote(value)}"

    return check


def _one_of_numbers(allowed: Collection[int]) -> Check:
    def check(value: object) -> Iterator[str]:
        if isinstance(value, bool) or value not in allowed:
            yield f"must be one of {', '.join(map(str, allowed))}, is {_quote(value)}"

    return check


def _one_of(allowed: Collection[str]) -> Check:
    def check(value: object) -> Iterator[str]:
        if value not in allowed:
            yield f"must be one of {', '.join(allowed)}, is {_quote(value)}{_suggest(value, allowed)}"

    return check


def _list_of(allowed: Collection[str], *, or_none: bool = False) -> Check:
    def check(value: object) -> Iterator[str]:
        yield from _check_list(value, or_none=or_none)
        for item in value if isinstance(value, list) else []:
            if item not in allowed:
                yield f"{_quote(item)} is not one of {', '.join(allowed)}{_suggest(item, allowed)}"

    return check


def _check_list(value: object, *, or_none: bool = False) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"must be a list in square brackets, is {_quote(value)}"
    elif not value and not or_none:
        yield "must not be an empty list; leave the key out instead"
    else:
        repeated = [item for item, count in Counter(map(_quote, value)).items() if count > 1]
        yield from (f"has {item} more than once" for item in repeated)


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < 1e18 else None


def _suggest(word: object, known: Iterable[str]) -> str:
    close = get_close_matches(word, known, 1) if isinstance(word, str) else []
    return f" (did you mean {close[0]}?)" if close else ""


def _quote(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
