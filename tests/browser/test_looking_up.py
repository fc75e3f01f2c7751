"""A suppression list imported and undone in a real browser."""


def test_a_file_is_checked_then_imported_then_undone(empty, sign_in):
    page = sign_in(empty)
    page.goto("/suppressions/import")
    really, counts = page.locator("#really"), page.locator("#counts")
    assert really.is_disabled()
    rows = "contact,note\n+55 11 98700-0001,old list\nnobody,\n"
    file = {"name": "list.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    page.set_input_files("#upload", file)
    page.get_by_role("button", name="Check file").click()
    counts.filter(has_text="Checked, nothing is stored yet. 2 rows: 1 added").wait_for()
    assert "neither a phone number" in page.inner_text("#rows")
    really.click()
    counts.filter(has_text="Imported. 2 rows: 1 added").wait_for()
    assert really.is_disabled()
    page.get_by_role("link", name="View or undo the changes").click()
    assert "+5511987000001" in page.inner_text("main table")
    page.get_by_role("button", name="Undo the whole batch").click()
    assert page.inner_text(".flash") == "Undone: 1 lifted."
    page.goto("/suppressions")
    assert "No contacts are suppressed" in page.inner_text("main")
