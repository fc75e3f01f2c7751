"""The table of moments: each code once, in the catalogue, and every code that a preflight predicts."""

import re

from tests.support.folders import ROOT
from webhook_app.whatsapp.errors.catalogue import explain
from webhook_app.whatsapp.errors.moments import MOMENTS


def test_each_code_is_listed_once_and_is_in_the_catalogue():
    codes = [each.code for each in MOMENTS]
    assert len(codes) == len(set(codes))
    assert [code for code in codes if explain(code).code != code] == []


def test_every_code_that_a_preflight_can_name_is_listed():
    sources = "".join(
        path.read_text() for path in (ROOT / "webhook_app/rules/sends").glob("*.py") if path.stem != "retries"
    )
    named = {int(code) for code in re.findall(r"\b13\d{4}\b", sources)}
    assert len(named) > 15
    assert named <= {each.code for each in MOMENTS}
