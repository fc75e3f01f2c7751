"""The normal form is that of Unicode but for runs of marks that no language has, and takes linear time."""

from time import process_time
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.normal_form import normal_form, without_long_runs
from webhook_app.whatsapp.receiving.statuses import bounded_in_normal_form


@given(st.text(max_size=40))
def test_it_is_nfkc(text: str) -> None:
    assert without_long_runs(text) == text or len(text) > 30
    assert (
        normal_form(text).replace("\u034f", "") == normalize("NFKC", text).replace("\u034f", "")
        or len(text) > 30
    )


RUNS = ["\u0301\u0334", "\u0344\u0f73", "\uff9e\u0334", "\u0f73", "e\u0301" + "\u0334" * 20]


@pytest.mark.parametrize("run", RUNS)
def test_a_run_of_combining_marks_takes_no_longer_than_other_letters(run: str) -> None:
    first, second = run[0] * 10_000, run[-1] * 10_000
    for text in (first + second, run * 5_000):
        began = process_time()
        normal_form(text)
        bounded_in_normal_form(text, 4_000)
        assert process_time() - began < 0.25
    stored = bounded_in_normal_form(first + second, 4_000)
    assert len(stored) <= 4_000
    assert without_long_runs(stored) == stored, "the database's own normal form takes no longer either"
