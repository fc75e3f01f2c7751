"""Rules of style that the linter does not check: names, docstrings, the size of folders, and where SQL may be."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("webhook_app", "migrations", "tests", "benchmarks")
MAX_FILES = 16
MAX_DOCSTRING_LINES = 6

VAGUE_NAMES = {
    *("standing", "told", "reached", "booked", "rebooking", "moving", "placing", "moves", "strikes", "steps"),
    *("affected", "arrivals", "wishes", "lane", "life", "looks", "vital_cases", "sum_up", "outbox_care"),
}
"""Names of files and functions that say nothing to a newcomer, with or without an underscore before them."""
VAGUE_CLASSES = {"Room", "Desk", "Visit", "Film", "Lane", "Strike", "Wish"}


@cache
def modules(folder: str) -> dict[str, ast.Module]:
    """The parsed modules of a folder by their path."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in paths}


def nodes(*folders: str) -> Iterator[tuple[str, ast.AST]]:
    for folder in folders:
        for path, tree in modules(folder).items():
            for node in ast.walk(tree):
                yield path, node


def report(found: list[str]) -> None:
    """Fail with a line per place."""
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def test_a_class_name_stands_for_one_thing():
    places = defaultdict(list)
    for path, node in nodes("webhook_app"):
        if isinstance(node, ast.ClassDef):
            places[node.name].append(f"{path}:{node.lineno}")
    report([f"{', '.join(found)} {name}" for name, found in places.items() if len(found) > 1])


def test_no_folder_has_too_many_files():
    sizes = Counter(str(Path(path).parent) for folder in ("webhook_app", "tests") for path in modules(folder))
    report([f"{folder}: {size} files" for folder, size in sizes.items() if size > MAX_FILES])


def test_no_docstring_depends_on_the_one_before():
    report(
        [
            f"{path}:{node.lineno} {node.value.value.splitlines()[0]}"
            for path, node in nodes(*FOLDERS)
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
            and node.value.value.startswith("The same")
        ]
    )


def test_no_file_class_or_function_has_a_vague_name():
    found = [
        f"{path}:1"
        for folder in FOLDERS
        for path in modules(folder)
        if Path(path).stem.removeprefix("test_") in VAGUE_NAMES
    ]
    for path, node in nodes(*FOLDERS):
        is_vague = (isinstance(node, ast.ClassDef) and node.name in VAGUE_CLASSES) or (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.strip("_") in VAGUE_NAMES
        )
        if is_vague:
            found.append(f"{path}:{node.lineno} {node.name}")
    report(found)


def test_sql_is_only_in_the_store_and_the_migrations():
    report(
        [
            f"{path}:{node.lineno}"
            for path, node in nodes("webhook_app")
            if not path.startswith("webhook_app/store/") and runs_sql(node)
        ]
    )


def runs_sql(node: ast.AST) -> bool:
    """Whether this imports SQLAlchemy or the driver, or calls `execute` on something."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        )
        return any(name.split(".")[0] in ("sqlalchemy", "psycopg") for name in names)
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("execute", "executemany", "exec_driver_sql")
    )


def test_every_module_begins_with_a_short_docstring():
    lines = {
        path: len((ast.get_docstring(tree) or "").splitlines())
        for folder in FOLDERS
        for path, tree in modules(folder).items()
    }
    report(
        [f"{path}:1 {count} lines" for path, count in lines.items() if not 1 <= count <= MAX_DOCSTRING_LINES]
    )
