"""Addresses and client certificates of deliveries, taken only from the network and trusted proxies."""

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import Engine, text

from tests.support.factories import body, status
from tests.web.conftest import SECRET
from webhook_app.settings import SettingsError, read_settings
from webhook_app.web.receiving.origin import read_address
from webhook_app.whatsapp.receiving.signature import sign

META = "2a03:2880::1"
META_CERTIFICATE = "CN=client.webhooks.fbclientcerts.com,O=Meta Platforms\\, Inc.,C=US"


def post(app: Flask, *, peer: str = "127.0.0.1", **headers: str) -> int:
    raw = body(status("wamid.1"))
    given = {"X-Hub-Signature-256": sign(raw, SECRET)} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    client = app.test_client()
    return client.post("/webhook", data=raw, headers=given, environ_base={"REMOTE_ADDR": peer}).status_code


@pytest.mark.parametrize(
    ("peer", "forwarded", "answer"),
    [
        ("173.252.88.1", "", 200),
        (META, "", 200),
        ("::ffff:173.252.88.1", "", 200),
        ("8.8.8.8", "", 403),
        ("8.8.8.8", "173.252.88.1", 403),  # not a proxy of ours, so it may say what it likes
        ("10.0.0.7", "173.252.88.1", 200),
        (
            "10.0.0.7",
            "8.8.8.8, 173.252.88.1",
            200,
        ),  # what the client itself wrote comes first, and does not count
        ("10.0.0.7", "173.252.88.1, 8.8.8.8", 403),
        ("10.0.0.7", "173.252.88.1, 10.0.0.8", 200),
        ("10.0.0.7", "173.252.88.1:5123", 200),
        ("10.0.0.7", f"[{META}]:5123", 200),
        ("10.0.0.7", "", 403),
        ("10.0.0.7", "10.0.0.9", 403),
        ("10.0.0.7", "nonsense", 403),
        ("10.0.0.7", "173.252.88.1, ", 403),
        ("", "173.252.88.1", 403),
        ("10.0.0.7", "173.252.88.1" + ", 10.0.0.8" * 20, 200),
        ("10.0.0.7", "173.252.88.1" + ", 10.0.0.8" * 21, 403),  # so many hops are not read
    ],
)
def test_only_allowed_addresses_deliver_and_only_our_proxies_are_believed(
    make_app: Callable[..., Flask], peer: str, forwarded: str, answer: int
) -> None:
    app = make_app(webhook_allow_from="173.252.64.0/18, 2a03:2880::/32", trusted_proxies="10.0.0.0/8")
    headers = {"X_Forwarded_For": forwarded} if forwarded else {}
    assert post(app, peer=peer, **headers) == answer


def test_without_trusted_proxies_a_forwarded_address_is_never_believed(
    make_app: Callable[..., Flask],
) -> None:
    app = make_app(webhook_allow_from="173.252.64.0/18")
    assert post(app, peer="10.0.0.7", X_Forwarded_For="173.252.88.1") == 403


@pytest.mark.parametrize(
    ("peer", "subject", "answer"),
    [
        ("10.0.0.7", META_CERTIFICATE, 200),
        ("10.0.0.7", "CN=example.org", 403),
        ("10.0.0.7", "", 403),
        ("8.8.8.8", META_CERTIFICATE, 403),
    ],
)
def test_a_client_certificate_must_be_meta_s_and_come_from_a_trusted_proxy(
    make_app: Callable[..., Flask], peer: str, subject: str, answer: int
) -> None:
    app = make_app(trusted_proxies="10.0.0.0/8", meta_mtls_subject_header="X-Amzn-Mtls-Clientcert-Subject")
    headers = {"X_Amzn_Mtls_Clientcert_Subject": subject} if subject else {}
    assert post(app, peer=peer, **headers) == answer


def test_a_refusal_for_its_origin_is_counted_and_stores_nothing(
    make_app: Callable[..., Flask], engine: Engine
) -> None:
    app = make_app(webhook_allow_from="173.252.64.0/18,127.0.0.0/8")
    assert post(app, peer="8.8.8.8") == 403
    assert post(app) == 200
    assert post(app) == 200
    with engine.connect() as connection:
        assert connection.execute(text("SELECT kind, count FROM rejections")).all() == [("address", 1)]


def test_the_rest_of_the_service_is_not_behind_the_list(make_app: Callable[..., Flask]) -> None:
    client = make_app(webhook_allow_from="173.252.64.0/18").test_client()
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"WEBHOOK_ALLOW_FROM": "meta"}, "WEBHOOK_ALLOW_FROM"),
        ({"WEBHOOK_ALLOW_FROM": "173.252.64.1/18"}, "WEBHOOK_ALLOW_FROM"),
        ({"TRUSTED_PROXIES": "10.0.0.0/40"}, "TRUSTED_PROXIES"),
        ({"META_MTLS_SUBJECT_HEADER": "X-Subject"}, "META_MTLS_SUBJECT_HEADER: needs TRUSTED_PROXIES"),
        ({"META_MTLS_SUBJECT_HEADER": "X Subject", "TRUSTED_PROXIES": "::/0"}, "META_MTLS_SUBJECT_HEADER"),
    ],
)
def test_a_setting_without_effect_prevents_the_start(wrong: dict[str, str], named: str) -> None:
    good = {"DATABASE_URL": "postgresql://h/d", "META_APP_SECRET": "s" * 16, "META_VERIFY_TOKEN": "t" * 16}
    with pytest.raises(SettingsError, match=named):
        read_settings(good | wrong)


def test_networks_are_read_from_a_list_with_commas() -> None:
    good = {"DATABASE_URL": "postgresql://h/d", "META_APP_SECRET": "s" * 16, "META_VERIFY_TOKEN": "t" * 16}
    settings = read_settings(good | {"WEBHOOK_ALLOW_FROM": "173.252.64.0/18, ,2a03:2880::/32,1.2.3.4"})
    assert [str(network) for network in settings.webhook_allow_from] == [
        *("173.252.64.0/18", "2a03:2880::/32", "1.2.3.4/32"),
    ]


@pytest.mark.parametrize(
    "text", ["", " ", "unknown", "_hidden", "1.2.3", "1.2.3.4.5", "[", "[]:80", ":::", "1.2.3.4/8"]
)
def test_what_is_no_address_is_none(text: str) -> None:
    assert read_address(text) is None
