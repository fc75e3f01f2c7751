"""The rules file: TOML text in, rules out, or every fault in it at once with its line and key.

The text is handed over (only the default that ships with the package is read here); no settings, no database.
"""

import re
import tomllib
from collections.abc import Collection, Iterator
from importlib import resources

from msgspec import Struct, convert

from webhook_app.rules.alerting import Rule
from webhook_app.rules.rule_keys import LATER_KINDS, REQUIRED, Check, check_together, checks, unused_key
from webhook_app.rules.toml_lines import Place, Places, find_places

KNOWN_CHANNELS = frozenset({"slack", "log"})

RESOLVE_SHARE = 0.75
"""A rule without `resolve_below` resolves under this share of its threshold."""

PlacedRule = tuple[dict[str, object], Place]


class Fault(Struct, frozen=True, order=True):
    """One thing wrong with the file. An empty key means the file or the rule as a whole."""

    line: int
    key: str
    problem: str


class RulesFileError(ValueError):
    """The rules file cannot be used; the message lists every fault, one a line."""

    def __init__(self, source: str, faults: list[Fault]) -> None:
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
    rules, faults = _split(data, find_places(text, "rule"))
    known = checks(known_channels)
    for table, place in rules:
        faults += _faults(table, place, known)
    faults += _repeated_names(rules)
    if faults:
        raise RulesFileError(source, faults)
    return tuple(_make(table) for table, _ in rules)


def _split(data: dict[str, object], places: Places) -> tuple[list[PlacedRule], list[Fault]]:
    """The tables of the file with their places, and what is wrong around them."""
    foreign = "is unknown here; a rules file holds only [[rule]] tables"
    faults = [Fault(places.top.of(key), key, foreign) for key in data if key != "rule"]
    tables, line = data.get("rule", []), places.top.of("rule")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        return [], [*faults, Fault(line, "rule", "write [[rule]], in double brackets, above every rule")]
    if not tables:
        return [], [*faults, Fault(line, "rule", "there is none, so nothing could ever raise an alert")]
    # Rules written as one inline list have no headers of their own.
    found = places.tables or [Place(line, {}) for _ in tables]
    return list(zip(tables, found, strict=True)), faults


def _load(text: str, source: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # besides its own error: absurd numbers, absurd nesting
        problem = str(error)
        at = re.search(r" \(at line (\d+), column \d+\)$| \(at end of document\)$", problem)
        line = int(at[1]) if at and at[1] else max(len(text.splitlines()), 1) if at else 1
        problem = problem[: at.start()] if at else problem
        raise RulesFileError(source, [Fault(line, "", f"not valid TOML: {problem}")]) from error


def _faults(table: dict[str, object], place: Place, known: dict[str, Check]) -> Iterator[Fault]:
    kind = table.get("kind")
    is_later = isinstance(kind, str) and kind in LATER_KINDS  # which keys such a kind uses is not ours to say
    for key, value in table.items():
        if key in known:
            yield from (Fault(place.of(key), key, problem) for problem in known[key](value))
        elif not is_later:
            yield Fault(place.of(key), key, unused_key(key, known))
    for key in REQUIRED:
        if key not in table and not (is_later and key == "threshold"):
            yield Fault(place.line, key, "is missing")
    yield from (Fault(place.of(key), key, problem) for key, problem in check_together(table))


def _repeated_names(rules: list[PlacedRule]) -> Iterator[Fault]:
    first: dict[str, int] = {}
    for table, place in rules:
        name = table.get("name")
        if isinstance(name, str) and name in first:
            yield Fault(place.of("name"), "name", f"{name!r} is already the rule in line {first[name]}")
        elif isinstance(name, str):
            first[name] = place.of("name")


def _make(table: dict[str, object]) -> Rule:
    threshold = convert(table["threshold"], float)
    return convert({"resolve_below": RESOLVE_SHARE * threshold, **table}, Rule)
