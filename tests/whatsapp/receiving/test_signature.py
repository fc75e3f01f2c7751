"""Signatures are checked over the raw bytes against every secret; no header raises."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook_app.whatsapp.receiving.signature import SignatureFault, sign, verify

VECTORS = json.loads(Path(__file__).with_name("hmac_vectors.json").read_text("utf-8"))
OLD, NEW, OTHER = b"old-secret", b"new-secret", b"other-secret"
BODY = b'{"object":"whatsapp_business_account","entry":[]}'


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_every_vector_has_the_expected_result(vector):
    body = base64.b64decode(vector["body_base64"])
    secret = vector["app_secret"].encode()
    fault = verify(body, vector["header_x_hub_signature_256"], [secret])
    assert (fault is None) == vector["valid"], vector["note"]
    if vector["valid"]:
        assert sign(body, secret) == vector["header_x_hub_signature_256"]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("wrong_secret", SignatureFault.MISMATCH),
        ("one_byte_changed", SignatureFault.MISMATCH),
        ("reserialised_body_must_fail", SignatureFault.MISMATCH),
        ("missing_prefix", SignatureFault.MALFORMED),
        ("sha1_prefix", SignatureFault.MALFORMED),
        ("short_digest", SignatureFault.MALFORMED),
        ("non_hex_digest", SignatureFault.MALFORMED),
        ("non_ascii_header", SignatureFault.MALFORMED),
        ("empty_header", SignatureFault.MISSING),
    ],
)
def test_a_refused_vector_has_the_right_fault(name, fault):
    vector = next(v for v in VECTORS if v["name"] == name)
    body = base64.b64decode(vector["body_base64"])
    assert verify(body, vector["header_x_hub_signature_256"], [vector["app_secret"].encode()]) is fault


@pytest.mark.parametrize("signer", [OLD, NEW])
@pytest.mark.parametrize("secrets", [[OLD, NEW], [NEW, OLD], (OLD, OTHER, NEW)])
def test_during_a_rotation_either_secret_is_accepted(signer, secrets):
    assert verify(BODY, sign(BODY, signer), secrets) is None


def test_a_removed_secret_is_not_accepted():
    assert verify(BODY, sign(BODY, OLD), [NEW, OTHER]) is SignatureFault.MISMATCH


def test_a_missing_header_is_reported_as_missing():
    assert verify(BODY, None, [NEW]) is SignatureFault.MISSING


def test_without_a_secret_nothing_is_accepted():
    assert verify(BODY, sign(BODY, NEW), []) is SignatureFault.MISMATCH


def test_an_empty_secret_proves_nothing():
    assert verify(BODY, sign(BODY, b""), [b"", NEW]) is SignatureFault.MISMATCH
    assert verify(BODY, sign(BODY, NEW), [NEW, b""]) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda header: header.upper(),
        lambda header: header[:7] + header[7:].upper(),
        lambda header: header + "\n",
        lambda header: " " + header,
        lambda header: header + ",sha256=" + "0" * 64,
        lambda header: header[:7] + header[7:].translate({ord("0") + n: 0xFF10 + n for n in range(10)}),
    ],
    ids=["upper case", "upper case digits", "newline", "space", "two values", "full-width digits"],
)
def test_only_the_header_format_of_meta_is_accepted(spoil):
    assert verify(BODY, spoil(sign(BODY, NEW)), [NEW]) is SignatureFault.MALFORMED


@given(
    header=st.one_of(
        st.none(), st.text(), st.text().map("sha256=".__add__), st.from_regex(r"sha256=[0-9a-f]{64}")
    ),
    body=st.binary(),
)
def test_no_header_raises_or_is_accepted_by_chance(header, body):
    assert verify(body, header, [OLD, NEW]) in SignatureFault


@given(body=st.binary(), secret=st.binary(min_size=1))
def test_a_signed_body_is_accepted_and_a_changed_one_is_not(body, secret):
    header = sign(body, secret)
    assert verify(body, header, [secret]) is None
    assert verify(body + b"\n", header, [secret]) is SignatureFault.MISMATCH
