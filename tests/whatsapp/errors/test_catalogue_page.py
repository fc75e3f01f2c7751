"""The page of error codes matches the catalogue, and the copy in docs/ is up to date."""

from tests.support.folders import DOCS
from webhook_app.whatsapp.errors.catalogue import catalogue, explain, sources
from webhook_app.whatsapp.errors.catalogue_page import code_label, entry_text, markdown_page

PAGE = DOCS / "error-codes.md"


def test_the_page_in_docs_is_up_to_date():
    assert PAGE.read_text("utf-8") == markdown_page(catalogue(), sources()), "run `make docs`"


def test_every_entry_has_one_row_and_every_common_mistake_is_listed():
    text = markdown_page(catalogue(), sources())
    for entry in catalogue():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| **{code_label(entry)}** |")]
        assert entry.summary.replace("|", "\\|") in row
        assert entry.mistaken_for in text
        assert row.replace("\\|", "").count("|") == 10


def test_each_row_says_when_the_code_was_last_checked_against_meta():
    rows = {line.split(" |")[0]: line for line in markdown_page(catalogue(), sources()).splitlines()}
    assert rows["| **131026**"].endswith("| 2026-09-11 |")
    assert rows["| **131070**"].endswith("| undated |")
    assert entry_text(explain(131026)).endswith("Checked against Meta's page of 2026-09-11.")


def test_a_label_shows_code_subcode_or_range():
    assert [code_label(explain(*given)) for given in ((131026,), (190, 463), (250,))] == [
        "131026", "190/463", "200-299",
    ]  # fmt: skip


def test_an_entry_for_the_terminal_shows_common_mistake_and_sources():
    text = entry_text(explain(131030))
    assert "Common mistake: " in text
    assert "meta-calling" in text
    assert "Common mistake" not in entry_text(explain(987654))


def test_the_page_and_the_terminal_say_why_a_code_affects_the_contact_or_does_not():
    text = markdown_page(catalogue(), sources())
    for code in (131026, 130403, 131049, 137000):
        entry = explain(code)
        assert f"- **{code}** `{entry.contact_effect}`. {entry.contact_reason}" in text
        assert entry.contact_reason in entry_text(entry)
