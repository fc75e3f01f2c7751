"""Meta's client certificate is recognised by its common name in every subject format of proxies."""

import pytest

from webhook_app.whatsapp.receiving.client_certificate import is_meta

NAME = "client.webhooks.fbclientcerts.com"


@pytest.mark.parametrize(
    "subject",
    [
        NAME,
        f" {NAME} ",
        f"CN={NAME}",
        f"CN={NAME},OU=Security,O=Meta Platforms\\, Inc.,L=Menlo Park,ST=California,C=US",
        f'C=US, ST=California, O="Meta Platforms, Inc.", CN={NAME}',
        f"cn = {NAME} , O=Meta",
        f"2.5.4.3={NAME},O=Meta",
        f'CN="{NAME}"',
        f"O=Meta+CN={NAME}",
    ],
)
def test_meta_is_recognised(subject):
    assert is_meta(subject)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        "-",
        "CN=",
        "O=Meta",
        "CN=example.org",
        f"CN={NAME}.example.org",
        f"CN=x{NAME}",
        f"CN={NAME.upper()}x",
        f"CN={NAME},CN=example.org",
        f"CN=example.org,CN={NAME}",
        f"CN={NAME},CN={NAME}",
        f"{NAME},CN=example.org",
        f'O="x,CN={NAME}"',
        f"O=x\\,CN={NAME}",
        f'O="CN={NAME}',
        f"CN={NAME}\\",
        f"OU=CN={NAME}",
        f"XCN={NAME}",
        "=" * 1000,
        "CN=" + "a\\" * 5000,
    ],
)
def test_others_are_rejected(subject):
    assert not is_meta(subject)
