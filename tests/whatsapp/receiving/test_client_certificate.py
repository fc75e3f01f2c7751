"""Meta's client certificate is recognised by its common name in every subject format of proxies."""

import time

import pytest

from webhook_app.whatsapp.receiving.client_certificate import _ATTRIBUTE, common_names, is_meta

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
        f"CN={NAME},O=" + "x" * 1024,
        f"CN={' ' * 1024}{NAME}",
    ],
)
def test_others_are_rejected(subject):
    assert not is_meta(subject)


def test_a_subject_of_the_longest_length_is_read() -> None:
    subject = f"CN={NAME},O="
    assert common_names(subject + "x" * (1024 - len(subject))) == [NAME]


@pytest.mark.parametrize("subject", ['CN={}"', 'CN="{}"x', "CN={}\\", '{}"', "CN{}"])
def test_a_subject_of_many_spaces_takes_linear_time(subject: str) -> None:
    long = subject.format(" " * 200_000)
    begin = time.process_time()
    assert _ATTRIBUTE.match(long) is None
    assert time.process_time() - begin < 5
