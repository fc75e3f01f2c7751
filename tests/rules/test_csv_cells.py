"""No cell of any CSV export is a formula, and what is exported can be read back unchanged."""

import csv
import io
import re
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import webhook_app
from webhook_app.rules.csv_cells import csv_rows, text_of
from webhook_app.rules.suppressions import list_files, opt_in_files
from webhook_app.web.api import ENDPOINTS
from webhook_app.web.api.counts import failure_export

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "=1",
    "+1+cmd",
    "-2+3",
    "-5",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "\ufeff=1",
    "＝1+1",
    '=HYPERLINK("http://x","y")',
    "+١٢٣",
    "'=1",
]
HARMLESS = [
    "+491715550117",
    "491715550117",
    "US.7041abc",
    "",
    "a=b",
    "'tis",
    "it's",
    'a "b", c',
    "two\nlines",
]


def cells(text):
    return next(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_begins_with_an_apostrophe(text):
    (cell,) = cells(csv_rows([[text]]))
    assert cell[0] == "'"
    assert text_of(cell) == text


@pytest.mark.parametrize("separator", [";", "\t", "\n", "\r", ";\t", ";'"])
@pytest.mark.parametrize("text", [text for text in FORMULAS if text[0] not in "\t\r\n"])
def test_a_formula_behind_another_separator_has_an_apostrophe_too(separator, text):
    (cell,) = cells(csv_rows([[f"promo{separator}{text}{separator}x"]]))
    for part in re.split("[;\t\r\n]", cell):
        assert not re.match("\\s*[=+\\-@＝\ufeff]", part)
    assert text_of(cell) == f"promo{separator}{text}{separator}x"


@pytest.mark.parametrize("separator", ";\t")
@pytest.mark.parametrize("before", [";", "\t", "\n", "\r", "; ", ";'", '";', "\n;"])
@pytest.mark.parametrize("quotes", ['"', '""', '"""', ' "', '" "', "'\"", '"\ufeff'])
def test_no_spreadsheet_finds_a_formula_behind_quotes(separator, before, quotes):
    text = f"x{before}{quotes}=1+1;y"
    exported = csv_rows([["1", text, "2"]])
    read = [
        cell for row in csv.reader(io.StringIO(exported, newline=""), delimiter=separator) for cell in row
    ]
    assert not [cell for cell in read if re.match("[\\s\ufeff]*=", cell)]
    assert text_of(cells(exported)[1]) == text


@given(text=st.text(alphabet="=+-@;\t\n\r' \"a1\ufeff\u200b＝", max_size=12))
def test_every_text_is_read_back_as_it_was(text):
    assert text_of(cells(csv_rows([[text, "x"]]))[0]) == text


@pytest.mark.parametrize("text", [text for text in HARMLESS if text])
def test_other_texts_and_phone_numbers_are_written_as_they_are(text):
    assert cells(csv_rows([[text]])) == [text]


@pytest.mark.parametrize("text", [*FORMULAS, *HARMLESS, "''=1", "'"])
def test_every_text_can_be_read_back(text):
    assert text_of(cells(csv_rows([[text, "x"]]))[0]) == text


def test_other_values_have_one_form():
    at = datetime(2026, 3, 5, 12, tzinfo=UTC)
    row = cells(csv_rows([[None, True, False, 7, at, [{"a": 1}]]]))
    assert row == ["", "true", "false", "7", "2026-03-05T12:00:00Z", '[{"a":1}]']


def _failure_line(values):
    names = {values["phone_number_id"]: values["number_name"] or ""}
    _header, line = failure_export._csv(iter([[SimpleNamespace(**values)]]), names)
    return line.decode()


EXPORTS = {
    "/v1/suppressions/export": (
        list_files.COLUMNS,
        lambda values: list_files.write_rows([values], "csv"),
    ),
    "/v1/opt-ins/export": (
        opt_in_files.COLUMNS,
        lambda values: opt_in_files.write_opt_ins([values], "csv"),
    ),
    "/v1/failures/export": (failure_export.COLUMNS, _failure_line),
    "/v1/incidents/{incident_id}/failures": (failure_export.COLUMNS, _failure_line),
}


def test_every_csv_export_is_known_here():
    of_api = {each.path for each in ENDPOINTS if "text/csv" in each.streams}
    assert of_api == set(EXPORTS)
    root = Path(webhook_app.__file__).parent
    writers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"csv\.(writer|DictWriter)", path.read_text())
    }
    assert writers == {"rules/csv_cells.py"}


@pytest.mark.parametrize(
    ("path", "column"), [(path, column) for path, (columns, _) in EXPORTS.items() for column in columns]
)
@pytest.mark.parametrize("text", FORMULAS)
def test_no_column_of_any_export_holds_a_formula(path, column, text):
    columns, write = EXPORTS[path]
    row = cells(write(dict.fromkeys(columns) | {column: text}))
    cell = row[columns.index(column)]
    assert cell[0] == "'"
    assert text_of(cell) == text
