"""An answer's head leaves together with what follows it, and is never left behind."""

import socket
from pathlib import Path

import pytest

from webhook_app.gunicorn_worker import ClientConnection

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


class Recording:
    """A socket that keeps what it is given, piece by piece."""

    def __init__(self):
        self.pieces = []

    def settimeout(self, _seconds):
        pass

    def sendall(self, data):
        self.pieces.append(data)

    def send(self, data):
        self.pieces.append(data)
        return len(data)

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
