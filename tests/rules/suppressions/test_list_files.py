"""No row of an imported list raises, is misread, or takes other rows with it unnoticed."""

from datetime import UTC, datetime

import pytest

from webhook_app.rules.suppressions.list_files import Defaults, RefusedRow, read_rows
from webhook_app.rules.suppressions.list_layout import UnreadableListError

NOW = datetime(2026, 9, 1, tzinfo=UTC)
FIRST, LAST = "+12025550117", "+12025550119"
WHOLE = '{"contact": "+12025550119"}'


def read(kind, *lines):
    """Each row's number, and its contact or why it is refused."""
    rows = read_rows([f"{line}\n" for line in lines], kind, Defaults(), NOW)
    return [(row.row, row.why if isinstance(row, RefusedRow) else f"+{row.key}") for row in rows]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("[" * 200_000 + "]" * 200_000, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        (f'{{"contact": "{FIRST}", "note": {"[" * 2000}{"]" * 2000}}}', "nested too deeply"),
        (f'{{"contact": "{FIRST}", "phone_number_id": ["1"]}}', "phone_number_id: not a text"),
        (f'{{"contact": "{FIRST}", "phone_number_id": 1}}', "phone_number_id: not a text"),
        (f'{{"contact": "{FIRST}", "note": {{"a": 1}}}}', "note: not a text"),
        (f'{{"contact": "{FIRST}", "until": 1}}', "until: not a text"),
        (f'{{"contact": ["{FIRST}"]}}', "contact: not a text"),
        ('{"contact": true}', "contact: not a text"),
        (f'{{"phone": "{FIRST}", "scope": "all", "Scope": "marketing"}}', "two columns are called scope"),
        (f'{{"contact": "{FIRST}", "scope": "all", "Scope": "marketing"}}', "two columns are called scope"),
        ('{"contact": 1e400}', "not a JSON line"),
        ('{"contact": ' + "1" * 5_000 + "}", "not a JSON line"),
        ("1" * 400_000, "not a JSON line"),
        (" " * 1_000_000 + WHOLE, "not a JSON line"),
        ('{"contact": "\\ud800"}', "not a JSON line"),
        (
            f'{{"contact": "{FIRST}"{"".join(f", {n!r}: 1" for n in map(str, range(2000)))}}}'.replace(
                "'", '"'
            ),
            "more",
        ),
        (f'{{"contact": "{FIRST}", "note": "\\u0000"}}', "NUL character"),
    ],
)
def test_an_odd_json_line_is_one_invalid_row(line, why):
    (_, refused), after = read("ndjson", line, WHOLE)
    assert why in refused
    assert after == (2, LAST)


def test_a_column_of_json_has_its_meaning_in_every_spelling():
    (row,) = read_rows([f'{{"contact": "{FIRST}", "Scope": "marketing"}}'], "ndjson", Defaults(), NOW)
    assert row.scope == "marketing"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f'{FIRST},"{"x" * 12_000}"', "note: longer than"),
        (f'{FIRST},"{"x" * 200_000}"', "not a CSV line: field larger"),
        (f'{FIRST},"{"x" * 2_000_000}"', "not a CSV line: longer than"),
        (FIRST + "," * 900, ""),
        (FIRST + "," * 100_000, "100001 cells, but only 2 columns"),
    ],
)
def test_a_long_csv_line_takes_no_other_row_with_it(row, why):
    (number, found), *after = read("csv", "contact,note", row, LAST)
    assert (number, after) == (1, [(2, LAST)])
    assert why in found


@pytest.mark.parametrize("names", ["contact,reason,reason", "contact,Contact", "phone,note, NOTE "])
def test_a_known_column_that_occurs_twice_is_refused(names):
    with pytest.raises(UnreadableListError, match="Line 1: two columns are called"):
        read("csv", names, f"{FIRST},manual,opted_out")


def test_unknown_columns_may_occur_twice():
    assert read("csv", "contact,x,x", f"{FIRST},a,b") == [(1, FIRST)]


@pytest.mark.parametrize("start", [f'{FIRST},"abc', f'{FIRST},"', f'"{FIRST}'])
def test_a_quote_that_is_not_closed_is_an_invalid_row_and_stores_nothing(start):
    ((_, why),) = read("csv", "contact,note", start, f"{LAST},")
    assert "is not closed" in why


def test_a_row_that_quotes_spread_over_endless_lines_is_refused_at_a_length():
    unread = iter(["contact,note\n", '"\n', *['","\n'] * 300_000])
    rows = read_rows(unread, "csv", Defaults(), NOW)
    assert "longer than 1000000 characters" in next(rows).why
    assert next(unread, None) is not None


@pytest.mark.parametrize("lines", [["contact,note"], ["contact,note", ""], [""], []])
def test_a_list_without_rows_is_empty(lines):
    assert read("csv", *lines) == []


def test_a_first_line_without_end_is_refused():
    with pytest.raises(UnreadableListError, match="longer than"):
        read("csv", "x" * 2_000_000)
