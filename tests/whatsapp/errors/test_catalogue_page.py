"""The page of error codes says what the catalogue says, and the one in docs/ is the one of today."""

from tests.folders import DOCS
from webhook_app.whatsapp.errors.catalogue import catalogue, explain, sources
from webhook_app.whatsapp.errors.catalogue_page import code_label, entry_text, markdown_page

PAGE = DOCS / "error-codes.md"


def test_the_page_in_docs_is_made_from_the_catalogue_as_it_is():
    assert PAGE.read_text("utf-8") == markdown_page(catalogue(), sources()), "run `make docs`"


def test_every_entry_has_its_row_with_what_it_means_and_every_misreading_is_named():
    text = markdown_page(catalogue(), sources())
    for entry in catalogue():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| **{code_label(entry)}** |")]
        assert entry.summary.replace("|", "\\|") in row
        assert entry.mistaken_for in text
        assert row.replace("\\|", "").count("|") == 9


def test_an_entry_is_named_by_code_subcode_or_range():
    assert [code_label(explain(*given)) for given in ((131026,), (190, 463), (250,))] == [
        "131026", "190/463", "200-299",
    ]  # fmt: skip


def test_an_entry_for_the_terminal_names_the_misreading_and_where_it_comes_from():
    text = entry_text(explain(131030))
    assert "Common mistake: " in text
    assert "meta-calling" in text
    assert "Common mistake" not in entry_text(explain(987654))
