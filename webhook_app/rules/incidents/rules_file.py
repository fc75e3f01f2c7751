"""The rules file: TOML text in, rules out, or every fault in it at once with its line and key.

The text is handed over (only the default that ships with the package is read here); no settings, no database.
"""

import re
import tomllib
from collections.abc import Collection, Iterator
from importlib import resources

from msgspec import Struct, convert

from webhook_app.rules.incidents.alerts import Route, Rule
from webhook_app.rules.incidents.rule_keys import (
    Check,
    check_together,
    checks,
    route_checks,
    unknown_key,
    unused_key,
)
from webhook_app.rules.incidents.rule_kinds import RULE_KINDS
from webhook_app.rules.incidents.toml_lines import KeyPosition, KeyPositions, find_places

KNOWN_CHANNELS = frozenset({"slack", "pagerduty", "email", "webhook", "alertmanager", "log"})

RESOLVE_SHARE = 0.75
"""A rule without `resolve_below` resolves under this share of its threshold."""

PlacedTable = tuple[dict[str, object], KeyPosition]


class RulesFileFault(Struct, frozen=True, order=True):
    """One thing wrong with the file. An empty key means the file or the rule as a whole."""

    line: int
    key: str
    problem: str


class RulesFileError(ValueError):
    """The rules file cannot be used; the message lists every fault, one a line."""

    def __init__(self, source: str, faults: list[RulesFileFault]) -> None:
        self.faults = tuple(sorted(faults))
        lines = (f"{source}:{f.line}: {f.key}{': ' if f.key else ''}{f.problem}" for f in self.faults)
        super().__init__("\n".join(lines))


def default_rules_text() -> str:
    """The documented rules file that is used when none is configured."""
    return resources.files(__package__).joinpath("default_rules.toml").read_text("utf-8")


def parse_rules(
    text: str, source: str = "rules.toml", known_channels: Collection[str] = KNOWN_CHANNELS
) -> tuple[Rule, ...]:
    """The rules of the file in its order, defaults filled in; RulesFileError lists every fault at once."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    data = _load(text, source)
    rules, faults = _split(data, "rule", find_places(text, "rule"))
    routes, more = _split(data, "route", find_places(text, "route"))
    faults += more
    known = checks(known_channels)
    for table, place in rules:
        faults += _rule_faults(table, place, known)
    faults += _repeated_names(rules)
    for table, place in routes:
        faults += _route_faults(table, place, route_checks(known_channels), {t.get("name") for t, _ in rules})
    if faults:
        raise RulesFileError(source, faults)
    ways = tuple(convert(table, Route) for table, _ in routes)
    return tuple(_make(table, ways) for table, _ in rules)


def _split(
    data: dict[str, object], array: str, places: KeyPositions
) -> tuple[list[PlacedTable], list[RulesFileFault]]:
    """The tables of this name with their places, and what is wrong around them."""
    faults: list[RulesFileFault] = []
    if array == "rule":
        foreign = "is unknown here; a rules file holds [[rule]] and [[route]] tables"
        faults = [
            RulesFileFault(places.top.of(key), key, foreign) for key in data if key not in ("rule", "route")
        ]
    tables, line = data.get(array, []), places.top.of(array)
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        shape = f"write [[{array}]], in double brackets, above every {array}"
        return [], [*faults, RulesFileFault(line, array, shape)]
    if not tables and array == "rule":
        return [], [
            *faults,
            RulesFileFault(line, "rule", "there is none, so nothing could ever raise an alert"),
        ]
    # Tables written as one inline list have no headers of their own.
    found = places.tables or [KeyPosition(line, {}) for _ in tables]
    return list(zip(tables, found, strict=True)), faults


def _load(text: str, source: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # besides its own error: absurd numbers, absurd nesting
        problem = str(error)
        at = re.search(r" \(at line (\d+), column \d+\)$| \(at end of document\)$", problem)
        line = int(at[1]) if at and at[1] else max(len(text.splitlines()), 1) if at else 1
        problem = problem[: at.start()] if at else problem
        raise RulesFileError(source, [RulesFileFault(line, "", f"not valid TOML: {problem}")]) from error


def _rule_faults(
    table: dict[str, object], place: KeyPosition, known: dict[str, Check]
) -> Iterator[RulesFileFault]:
    name = table.get("kind")
    kind = RULE_KINDS.get(name) if isinstance(name, str) else None
    used = kind.all_keys if kind else tuple(known)  # which keys an unknown kind would use is not ours to say
    for key, value in table.items():
        if key in used:
            yield from (RulesFileFault(place.of(key), key, problem) for problem in known[key](value))
        elif kind or key not in known:
            yield RulesFileFault(place.of(key), key, unused_key(str(name), key, used))
    for key in ("name", "kind", *(kind.required if kind else ())):
        if key not in table:
            yield RulesFileFault(place.line, key, "is missing")
    yield from (RulesFileFault(place.of(key), key, problem) for key, problem in check_together(table))


def _route_faults(
    table: dict[str, object], place: KeyPosition, known: dict[str, Check], names: set[object]
) -> Iterator[RulesFileFault]:
    for key, value in table.items():
        if key not in known:
            yield RulesFileFault(place.of(key), key, unknown_key(key, known))
            continue
        yield from (RulesFileFault(place.of(key), key, problem) for problem in known[key](value))
        if key == "rules" and isinstance(value, list):
            strangers = [name for name in value if name not in names]
            yield from (
                RulesFileFault(place.of(key), key, f"there is no rule {name!r}") for name in strangers
            )
    if "channels" not in table:
        yield RulesFileFault(place.line, "channels", "is missing")


def _repeated_names(rules: list[PlacedTable]) -> Iterator[RulesFileFault]:
    first: dict[str, int] = {}
    for table, place in rules:
        name = table.get("name")
        if isinstance(name, str) and name in first:
            yield RulesFileFault(
                place.of("name"), "name", f"{name!r} is already the rule in line {first[name]}"
            )
        elif isinstance(name, str):
            first[name] = place.of("name")


def _make(table: dict[str, object], routes: tuple[Route, ...]) -> Rule:
    kind = RULE_KINDS[str(table["kind"])]
    filled: dict[str, object] = {"checks": kind.checks, **kind.defaults, **table}
    if "channels" not in table:
        filled["routes"] = routes
    filled.setdefault("resolve_below", RESOLVE_SHARE * convert(filled.get("threshold", 0.0), float))
    return convert(filled, Rule)
