"""Reading the certificate of the callback URL: its end, or why it is not trusted. A server may be away."""

import asyncio
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.certificates import make_certificate
from webhook_app.graph.certificate import read_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def url(certificate):
    """The address of a server that shows the certificate to one client."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    listener.settimeout(10)

    def serve():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            return  # no client came
        connection.settimeout(10)
        with connection:
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                return  # the client refuses the certificate

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"https://127.0.0.1:{listener.getsockname()[1]}/webhook"
    thread.join()
    listener.close()


def test_it_says_when_the_certificate_ends(url, certificate):
    found = read_certificate(url, context=ssl.create_default_context(cafile=str(certificate[0])))
    assert (found.host, found.fault) == ("127.0.0.1", "")
    assert abs(found.ends_at - datetime.now(UTC) - timedelta(days=2)) < timedelta(hours=1)
    assert found.ends_at - found.begins_at == timedelta(days=2)


def test_a_caller_in_an_event_loop_gets_its_answer_too():
    async def ask():
        return read_certificate("https://127.0.0.1:1/")

    with ThreadPoolExecutor(1) as other:  # this thread may run a loop already, of the browser's tests
        assert other.submit(lambda: asyncio.run(ask())).result() is None


def test_it_says_why_a_certificate_is_not_trusted(url):
    assert "self-signed" in read_certificate(url).fault


def test_a_server_that_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert read_certificate(f"https://127.0.0.1:{silent.getsockname()[1]}/", total_s=0.1) is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "url",
    ["", "http://127.0.0.1/webhook", "https:///webhook", "https://127.0.0.1:99999/", "https://127.0.0.1:1/"],
)
def test_without_a_server_there_is_nothing_to_say(url):
    assert read_certificate(url) is None
