"""No regular expression takes long for a text that is made for it: each is tried with texts of its own characters."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator
from itertools import chain, permutations
from time import process_time

import pytest

import webhook_app

BOUNDED = {
    "webhook_app.whatsapp.people.keyword_matching._REPEATED": "of texts as short as keywords",
    "webhook_app.store.postgres.engine._OPTION": "of the options in DATABASE_URL",
    "webhook_app.rules.toml_lines._PIECE": "of texts that tomllib accepted, whose strings all end",
}
LEFT_OUT = ("webhook_app.simulator", "webhook_app.demo", "webhook_app.serving")
"""They read no texts of others, or start a server."""
LENGTH = 2_000
MOST_S = 1e-6 * LENGTH
"""All take below 0.1 µs for each character. A second attempt at each character takes a thousand times as long."""
WAYS = {"sub": "finditer", "findall": "finditer", "split": "finditer"}
FILLINGS = ("a", "1", " ", "-", '"', "\\", "\n", "\N{FULLWIDTH DIGIT FOUR}")

Pattern = re.Pattern[str] | re.Pattern[bytes]


def patterns() -> Iterator[tuple[str, Pattern, str]]:
    """Every regular expression of a module with its name, and how the module uses it."""
    for module in pkgutil.walk_packages(webhook_app.__path__, "webhook_app."):
        if module.name.startswith(LEFT_OUT) or module.name.endswith("__main__"):
            continue
        loaded = importlib.import_module(module.name)
        for name, held in vars(loaded).items():
            if isinstance(held, re.Pattern):
                uses = re.findall(rf"\b{name}\.(\w+)\(", inspect.getsource(loaded))
                for way in sorted({WAYS.get(use, use) for use in uses}):
                    yield f"{module.name}.{name}", held, way


def texts(pattern: Pattern) -> Iterator[str]:
    """Repetitions of one or two parts of the pattern, which end in a character that it does not expect."""
    source = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    words = re.findall(r"[A-Za-z_]{2,}[.=:]?", source)
    parts = list(dict.fromkeys([*FILLINGS, *(each for each in source if not each.isalnum()), *words]))[:14]
    for first in ("", parts[-1]):
        for unit in chain(parts, map("".join, permutations(parts, 2))):
            yield first + (unit * LENGTH)[:LENGTH] + "\x01"


def seconds(pattern: Pattern, way: str) -> float:
    """The processor time of the slowest text, at best of three."""
    run: Callable[[str | bytes], object] = getattr(pattern, way)
    slowest = 0.0
    for text in texts(pattern):
        given = text if isinstance(pattern.pattern, str) else text.encode()
        taken = 1.0
        for _ in range(3):
            began = process_time()
            found = run(given)
            if way == "finditer":
                list(found)  # type: ignore[call-overload]
            taken = min(taken, process_time() - began)
            if taken < MOST_S:
                break
        slowest = max(slowest, taken)
        if slowest > MOST_S:
            return slowest
    return slowest


@pytest.mark.parametrize(
    ("source", "way"),
    [
        (r'"((?:[^"\\]|\\.){1,600})"', "finditer"),
        (r"[a-z]+@", "search"),
        (r'"(?:\\.|[^"\\])*"', "search"),
    ],
)
def test_a_slow_one_is_noticed(source, way):
    assert seconds(re.compile(source), way) > MOST_S


def test_every_regular_expression_is_fast_for_every_text_of_its_parts():
    found = list(patterns())
    assert len(found) > 40
    slow = {name for name, pattern, way in found if seconds(pattern, way) > MOST_S}
    assert slow <= set(BOUNDED)
