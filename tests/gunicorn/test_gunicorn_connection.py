"""An answer's head leaves together with what follows it, and is never left behind."""

import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path

import gevent
import gevent.socket
import pytest

from webhook_app.gunicorn_connection import ClientConnection, LateWaits

LARGE = bytes(20_000_000)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


class Recording:
    """A socket that keeps what it is given, piece by piece."""

    def __init__(self):
        self.pieces = []

    takes = None
    """The most bytes it takes at once."""

    def settimeout(self, _seconds):
        pass

    def send(self, data):
        self.pieces.append(data[: self.takes])
        return len(self.pieces[-1])

    def sendfile(self, file, offset, count):
        file.seek(offset)
        self.pieces.append(file.read(count))
        return len(self.pieces[-1])


@pytest.fixture
def client():
    return Recording()


@pytest.fixture
def connection(client):
    made = ClientConnection(client, 1.0)
    made.begin_answer(None)
    return made


def test_head_and_first_part_are_one_piece(connection, client):
    connection.sendall(HEAD)
    assert client.pieces == []
    connection.sendall(b"bo")
    connection.sendall(b"dy")
    connection.finish_answer()
    assert client.pieces == [HEAD + b"bo", b"dy"]


def test_an_answer_without_a_body_is_its_head(connection, client):
    connection.sendall(HEAD)
    connection.finish_answer()
    connection.finish_answer()
    assert client.pieces == [HEAD]


def test_nothing_is_sent_of_an_answer_that_was_not_begun(connection, client):
    connection.finish_answer()
    connection.sendall(b"a refusal")
    assert client.pieces == [b"a refusal"]


def test_each_answer_of_a_connection_waits_for_its_own_body(connection, client):
    for body in (b"one", b"two"):
        connection.begin_answer(None)
        connection.sendall(HEAD)
        connection.sendall(body)
        connection.finish_answer()
    assert client.pieces == [HEAD + b"one", HEAD + b"two"]


def test_a_word_before_the_answer_does_not_wait(connection, client):
    connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert client.pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_the_head_leaves_before_a_file(connection, client, tmp_path: Path):
    path = tmp_path / "page"
    path.write_bytes(b"a page")
    connection.sendall(HEAD)
    with path.open("rb") as file:
        assert connection.sendfile(file, 2, 4) == 4
    assert client.pieces == [HEAD, b"page"]


def test_sending_a_head_to_a_closed_client_raises():
    ours, theirs = socket.socketpair()
    theirs.close()
    connection = ClientConnection(ours, 1.0)
    connection.begin_answer(None)
    connection.sendall(HEAD)
    with pytest.raises(BrokenPipeError):
        connection.finish_answer()
    ours.close()


def test_a_large_body_is_sent_without_copying_it_whole(connection, client):
    body = bytes(5_000_000)
    connection.sendall(HEAD)
    connection.sendall(body)
    assert b"".join(client.pieces) == HEAD + body
    first, rest = client.pieces
    assert len(first) < 100_000
    assert rest.obj is body


def test_an_answer_that_the_client_takes_in_small_parts_is_sent_whole(connection, client):
    client.takes = 1000
    connection.sendall(HEAD)
    connection.sendall(bytes(range(256)) * 1000)
    assert b"".join(client.pieces) == HEAD + bytes(range(256)) * 1000


@pytest.fixture
def connect():
    """Makes the two ends of a TCP connection."""
    with ExitStack() as stack:

        def make():
            listener = stack.enter_context(closing(gevent.socket.socket()))
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            theirs = stack.enter_context(closing(gevent.socket.create_connection(listener.getsockname())))
            ours, _ = listener.accept()
            return stack.enter_context(closing(ours)), theirs

        yield make


def send(connection):
    """Send a large answer; returns what ended it early."""
    try:
        connection.sendall(LARGE)
    except OSError as fault:
        return fault


def test_many_waits_that_end_together_let_others_run_in_between():
    pairs = [socket.socketpair() for _ in range(300)]
    connections = [ClientConnection(gevent.socket.socket(fileno=ours.detach()), 0.01) for ours, _ in pairs]
    for connection in connections:
        connection.await_next()
    most, ended = 0, []

    def read(connection):
        ended.append(connection.recv(1))
        time.sleep(0.001)  # what closing costs, and does not yield

    readers = [gevent.spawn(read, connection) for connection in connections]
    LateWaits(connections, lambda: False).begin()
    while len(ended) < len(connections):
        before = len(ended)
        gevent.sleep(0.001)
        most = max(most, len(ended) - before)
    gevent.joinall(readers)
    assert set(ended) == {b""}
    assert most < 100
    for _, theirs in pairs:
        theirs.close()


def test_a_client_that_does_not_take_its_answer_is_dropped_at_once_and_what_is_unsent_is_discarded(connect):
    ours, theirs = connect()
    connection = ClientConnection(ours, 1.0)
    sender = gevent.spawn(send, connection)
    gevent.sleep(0)
    assert connection.sending
    connection.drop()
    assert type(sender.get(timeout=10)) is BrokenPipeError
    connection.close()
    with pytest.raises(ConnectionResetError):
        list(iter(lambda: theirs.recv(65536), b""))


def test_a_client_that_takes_its_answer_has_kept_the_worker_waiting_for_less_time(connect):
    pairs = [connect(), connect()]
    moving, stalled = (ClientConnection(ours, 1.0) for ours, _ in pairs)
    senders = [gevent.spawn(send, each) for each in (moving, stalled)]
    gevent.sleep(0)
    assert moving.since <= stalled.since
    for _ in range(100):
        pairs[0][1].recv(100_000)
    assert stalled.sending
    assert moving.sending
    assert moving.since > stalled.since
    for each in (stalled, moving):
        each.drop()
    gevent.joinall(senders, timeout=10)
