"""Ids of business numbers and accounts are replaced by names in texts, and nowhere else."""

import pytest

from webhook_app.rules.accounts.names import with_names

NAMES = {"590238114470021": "Acme +49 30 1234567", "384610027715590": "Acme EU"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("business number 590238114470021", "business number Acme +49 30 1234567"),
        ("590238114470021: 3 of 5", "Acme +49 30 1234567: 3 of 5"),
        ("of 384610027715590, 590238114470021.", "of Acme EU, Acme +49 30 1234567."),
        ("business number 590238114470022", "business number 590238114470022"),
        ("https://hooks.example/?number=590238114470021", "https://hooks.example/?number=590238114470021"),
        ("wamid.590238114470021=", "wamid.590238114470021="),
        ("+590238114470021", "+590238114470021"),
        ("5902381144700210", "5902381144700210"),
        ("", ""),
    ],
)
def test_an_id_that_stands_alone_becomes_its_name(text, expected):
    assert with_names(text, NAMES) == expected
    assert with_names(text, {}) == text


def test_an_error_code_or_a_figure_is_never_an_id_and_a_long_name_is_cut():
    assert with_names("131026: 150000 of 999999999", {"131026": "x", "150000": "y", "999999999": "z"}) == (
        "131026: 150000 of 999999999"
    )
    assert with_names("590238114470021", {"590238114470021": "n" * 500}) == "n" * 100
