"""Parses the rules file: TOML text in, rules out, or every fault with its line and key.

The caller passes the text. Only the default file of the package is read here.
"""

import re
import tomllib
from collections.abc import Collection, Iterator
from importlib import resources
from itertools import chain, islice

from msgspec import Struct, convert

from webhook_app.rules.incidents.rules_file.rule import OUTCOME_KINDS, Route, Rule
from webhook_app.rules.incidents.rules_file.rule_keys import (
    Check,
    check_together,
    checks,
    route_checks,
    unknown_key,
    unused_key,
)
from webhook_app.rules.incidents.rules_file.rule_kinds import RULE_KINDS
from webhook_app.rules.toml_lines import FileLines, TableLines, find_key_lines

KNOWN_CHANNELS = frozenset({"slack", "pagerduty", "email", "webhook", "alertmanager", "log"})

RESOLVE_SHARE = 0.75
"""A rule without `resolve_below` resolves below this share of its threshold."""

MAX_TEXT = 40_000
"""Characters of a text from outside that may be parsed: 0.2 s at most."""

_MAX_DOTS = (
    20  # in a line; the time and memory that tomllib takes for a key grow with the square of its parts
)
_MAX_FAULTS = 100  # listed; each may take a search for a similar name

_LIST_DEFAULTS = {"min_attempts": 0, "min_failures": 3}
"""For a rule with a list of windows: its exact bound says whether there are enough messages."""

TableWithLines = tuple[dict[str, object], TableLines]


class RulesFileFault(Struct, frozen=True, order=True):
    """One fault in the file. An empty key means the whole file."""

    line: int
    key: str
    problem: str


class RulesFileError(ValueError):
    """The rules file is invalid; the message lists the faults, one per line."""

    def __init__(self, source: str, faults: list[RulesFileFault]) -> None:
        self.faults = tuple(sorted(faults))
        lines = (f"{source}:{f.line}: {f.key}{': ' if f.key else ''}{f.problem}" for f in self.faults)
        super().__init__("\n".join(lines))


def default_rules_text() -> str:
    """The text of the documented rules file that applies when none is configured."""
    return resources.files(__package__).joinpath("default_rules.toml").read_text("utf-8")


def parse_rules(
    text: str, source: str = "rules.toml", known_channels: Collection[str] = KNOWN_CHANNELS
) -> tuple[Rule, ...]:
    """The rules of the file in order, with defaults filled in. RulesFileError lists up to 100 faults."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    data = _load(text, source)
    rules, faults = _split(data, "rule", find_key_lines(text, "rule"))
    routes, others = _split(data, "route", find_key_lines(text, "route"))
    known, known_in_routes = checks(known_channels), route_checks(known_channels)
    names = {table.get("name") for table, _ in rules}
    more = chain(
        chain.from_iterable(_rule_faults(table, lines, known) for table, lines in rules),
        _repeated_names(rules),
        chain.from_iterable(_route_faults(table, lines, known_in_routes, names) for table, lines in routes),
    )
    if faults := list(islice(chain(faults, others, more), _MAX_FAULTS)):
        raise RulesFileError(source, faults)
    parsed_routes = tuple(convert(table, Route) for table, _ in routes)
    return tuple(_make_rule(table, parsed_routes) for table, _ in rules)


def _split(
    data: dict[str, object], array: str, file_lines: FileLines
) -> tuple[list[TableWithLines], list[RulesFileFault]]:
    """The tables of this name with their lines, and the faults outside of them."""
    faults: list[RulesFileFault] = []
    if array == "rule":
        unknown = "is not known; a rules file has [[rule]] and [[route]] tables"
        faults = [
            RulesFileFault(file_lines.top.of(key), key, unknown)
            for key in data
            if key not in ("rule", "route")
        ]
    tables, line = data.get(array, []), file_lines.top.of(array)
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        shape = f"write [[{array}]], in double brackets, above every {array}"
        return [], [*faults, RulesFileFault(line, array, shape)]
    if not tables and array == "rule":
        return [], [
            *faults,
            RulesFileFault(line, "rule", "is missing: without a rule there are no alerts"),
        ]
    # Tables written as an inline list have no headers.
    found = file_lines.tables or [TableLines(line, {}) for _ in tables]
    return list(zip(tables, found, strict=True)), faults


def _load(text: str, source: str) -> dict[str, object]:
    for number, content in enumerate(text.split("\n"), 1):
        if content.count(".") > _MAX_DOTS:
            problem = f"has more than {_MAX_DOTS} dots in a line: write long lists over several lines"
            raise RulesFileError(source, [RulesFileFault(number, "", problem)])
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, huge numbers, deep nesting
        problem = str(error)
        at = re.search(r" \(at line (\d+), column \d+\)$| \(at end of document\)$", problem)
        line = int(at[1]) if at and at[1] else max(len(text.splitlines()), 1) if at else 1
        problem = problem[: at.start()] if at else problem
        raise RulesFileError(source, [RulesFileFault(line, "", f"not valid TOML: {problem}")]) from error


def _rule_faults(
    table: dict[str, object], lines: TableLines, known: dict[str, Check]
) -> Iterator[RulesFileFault]:
    name = table.get("kind")
    kind = RULE_KINDS.get(name) if isinstance(name, str) else None
    used = kind.all_keys if kind else tuple(known)  # an unknown kind may use any key
    for key, value in table.items():
        if key in used:
            yield from (RulesFileFault(lines.of(key), key, problem) for problem in known[key](value))
        elif kind or key not in known:
            yield RulesFileFault(lines.of(key), key, unused_key(str(name), key, used))
    for key in ("name", "kind", *(kind.required if kind else ())):
        if key not in table:
            yield RulesFileFault(lines.line, key, "is missing")
    yield from (RulesFileFault(lines.of(key), key, problem) for key, problem in check_together(table))


def _route_faults(
    table: dict[str, object], lines: TableLines, known: dict[str, Check], names: set[object]
) -> Iterator[RulesFileFault]:
    for key, value in table.items():
        if key not in known:
            yield RulesFileFault(lines.of(key), key, unknown_key(key, known))
            continue
        yield from (RulesFileFault(lines.of(key), key, problem) for problem in known[key](value))
        if key == "rules" and isinstance(value, list):
            missing = [name for name in value if name not in names]
            yield from (RulesFileFault(lines.of(key), key, f"there is no rule {name!r}") for name in missing)
    if "channels" not in table:
        yield RulesFileFault(lines.line, "channels", "is missing")


def _repeated_names(rules: list[TableWithLines]) -> Iterator[RulesFileFault]:
    first: dict[str, int] = {}
    for table, lines in rules:
        name = table.get("name")
        if isinstance(name, str) and name in first:
            yield RulesFileFault(
                lines.of("name"), "name", f"{name!r} is already the name of the rule in line {first[name]}"
            )
        elif isinstance(name, str):
            first[name] = lines.of("name")


def _make_rule(table: dict[str, object], routes: tuple[Route, ...]) -> Rule:
    kind = RULE_KINDS[str(table["kind"])]
    values: dict[str, object] = {"checks": kind.checks, **kind.defaults, **table}
    if table["kind"] in OUTCOME_KINDS and isinstance(table.get("window_minutes"), int):
        values["window_minutes"] = [table["window_minutes"]]
    if isinstance(windows := values.get("window_minutes"), list):
        values |= {"windows": sorted(windows), "window_minutes": min(windows)}
        values = {**_LIST_DEFAULTS, **values}
    values |= {"routes": routes, "own_channels": "channels" in table}
    values.setdefault("resolve_below", RESOLVE_SHARE * convert(values.get("threshold", 0.0), float))
    return convert(values, Rule)
