"""SMTP connections to servers whose replies do not end."""

from smtplib import SMTPServerDisconnected
from time import monotonic

import pytest

from tests.channels.connections.odd_servers import sends, server
from webhook_app.channels.connections.smtp_client import Smtp

_TOTAL_S = 0.4


@pytest.mark.parametrize(
    "reply",
    [(b"220-", b"a", 0.05), (b"", b"220-hello\r\n", 0.05)],
    ids=["a line", "lines"],
)
def test_a_reply_that_does_not_end_is_given_up_after_the_total_time(reply):
    began = monotonic()
    with (
        server(lambda connection: sends(connection, *reply)) as port,
        pytest.raises(SMTPServerDisconnected, match=r"too long|timed out"),
    ):
        Smtp("127.0.0.1", port, timeout=2.0, total_s=_TOTAL_S)
    assert monotonic() - began < _TOTAL_S + 5  # on a slow machine; the servers have no end


def test_the_total_time_covers_several_replies():
    greeting = b"220 hello\r\n"
    with server(lambda connection: sends(connection, greeting, b"250-a\r\n", 0.05)) as port:
        client = Smtp("127.0.0.1", port, timeout=2.0, total_s=_TOTAL_S)
        with pytest.raises(SMTPServerDisconnected, match=r"too long|timed out"):
            client.ehlo()


def test_replies_are_read_up_to_a_limit():
    with (
        server(lambda connection: sends(connection, b"", b"220-hello\r\n" * 100)) as port,
        pytest.raises(SMTPServerDisconnected, match="too large"),
    ):
        Smtp("127.0.0.1", port, timeout=2.0)


def test_a_server_that_is_silent_is_given_up_after_the_time_of_one_reply_or_of_all():
    for timeout, total in ((0.1, 9.0), (9.0, 0.1)):
        began = monotonic()
        with (
            server(lambda connection: connection.recv(1) and None) as port,
            pytest.raises(SMTPServerDisconnected),
        ):
            Smtp("127.0.0.1", port, timeout=timeout, total_s=total)
        assert monotonic() - began < 5
