"""Meta's error response to a send call becomes one value, in both formats that senders report."""

import json
from unicodedata import normalize

import pytest

from webhook_app.whatsapp.sends.graph_errors import read_graph_error

LONG = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}"  # 18 characters in normal form
ERROR = {
    "message": "(#131047) Re-engagement message",
    "type": "OAuthException",
    "code": 131047,
    "error_subcode": 2494055,
    "error_data": {"messaging_product": "whatsapp", "details": "More than 24 hours have passed"},
    "is_transient": False,
    "fbtrace_id": "A1b2C3d4E5f6G7h8I9j0K",
}


@pytest.mark.parametrize("raw", [ERROR, {"error": ERROR}], ids=["bare", "inside error"])
def test_both_formats_give_the_same_error(raw):
    error = read_graph_error(raw)
    assert (error.code, error.subcode, error.fbtrace_id) == (131047, 2494055, "A1b2C3d4E5f6G7h8I9j0K")
    assert (error.title, error.details) == ("Re-engagement message", "More than 24 hours have passed")
    assert json.loads(error.json) == ERROR


@pytest.mark.parametrize(
    ("raw", "code", "subcode", "title", "details"),
    [
        ({"code": "190", "error_subcode": "463", "message": "x"}, 190, 463, "x", ""),
        ({"code": 0, "message": "AuthException"}, 0, -1, "AuthException", ""),
        ({"message": "connection reset"}, -1, -1, "connection reset", ""),
        ({"code": True, "message": 5}, -1, -1, "", ""),
        ({"code": 100, "error_data": "in words"}, 100, -1, "", "in words"),
        ({"code": 100, "error_user_title": "T", "error_user_msg": "M"}, 100, -1, "T", "M"),
        ({"code": 10**40, "message": "big"}, -1, -1, "big", ""),
    ],
)
def test_invalid_parts_do_not_prevent_reading_the_others(raw, code, subcode, title, details):
    error = read_graph_error(raw)
    assert (error.code, error.subcode, error.title, error.details) == (code, subcode, title, details)


@pytest.mark.parametrize(
    "details", ["x" * 5_000, LONG * 2_500, f"a{LONG}" * 900], ids=["plain", "long", "mixed"]
)
def test_details_have_a_bounded_length_in_normal_form_too(details):
    error = read_graph_error({"code": 1, "error_data": details})
    assert details.startswith(error.details)
    assert 3_000 < len(normalize("NFKC", error.details)) <= 4_000


@pytest.mark.parametrize("raw", [None, "timeout", 5, [], {}, {"error": None}, {"error": []}, {"colour": 1}])
def test_anything_else_is_rejected_with_a_message(raw):
    with pytest.raises(ValueError, match="expected Meta's error object"):
        read_graph_error(raw)


def test_a_huge_error_is_rejected():
    with pytest.raises(ValueError, match="larger than"):
        read_graph_error({"code": 1, "message": "x" * 100_000})
