"""Slow clients: each is disconnected in bounded time, without effect on others."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from tests.faults.web_server import WebServer, read_all, read_one, request, statuses, web_server
from tests.support.factories import body, status

PATIENCE = 2.5
"""Seconds, more than any of the limits of impatient.py, on a machine at rest."""

QUICK = 0.02
"""Seconds that an ordinary delivery takes at most on a machine at rest."""


@pytest.fixture
def slowness(server: WebServer, database_url: str) -> float:
    """How many times slower than at rest this machine is now: what takes longer for everybody is no fault of ours."""
    waits = []
    for n in range(20):
        begin = time.monotonic()
        assert server.post(body(status(f"wamid.pace.{n}"))) == 200
        waits.append(time.monotonic() - begin)
    return max(1.0, sorted(waits)[15] / QUICK)


@contextmanager
def dripping(server: WebServer, start: bytes, drip: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Clients that send the start, then a little every 50 ms, while the server listens."""
    stop = threading.Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(server.connect())) for _ in range(count)]
        alive = set(clients)

        def drip_on() -> None:
            for client in clients:
                client.sendall(start)
            while alive and not stop.wait(0.05):
                for client in tuple(alive):
                    try:
                        client.sendall(drip)
                    except OSError:
                        alive.discard(client)

        thread = threading.Thread(target=drip_on)
        thread.start()
        try:
            yield clients
        finally:
            stop.set()
            thread.join()


HEAD = b"POST /webhook HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n"
SLOW = {
    "nothing at all": (b"", b""),
    "a head without end": (HEAD, b"X: y\r\n"),
    "a body by the byte": (HEAD + b"Content-Length: 100000\r\n\r\n{", b" "),
    "chunks by the byte": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
    ),
    "a chunk size by the byte": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"0",
    ),
    "an unread body by the byte": (
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{",
        b" ",
    ),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_slow_client_is_disconnected_in_bounded_time(server, slowness, kind):
    cut = 'webhook_app_connections_cut_total{reason="late"}'
    before = server.metrics()[cut]
    begin = time.monotonic()
    with dripping(server, *SLOW[kind], count=1) as (client,):
        answers = statuses(read_all(client))
    assert time.monotonic() - begin < PATIENCE * slowness
    assert answers in ([], [400], [404])
    began = kind != "nothing at all"  # a connection that asks for nothing is no late request
    assert server.metrics()[cut] - before == began
    assert "Traceback" not in server.log


def test_a_hundred_and_fifty_slow_clients_on_a_hundred_places_do_not_keep_others_waiting(server, slowness):
    with ExitStack() as stack:
        for kind in ("nothing at all", "a head without end", "a body by the byte"):
            stack.enter_context(dripping(server, *SLOW[kind], count=50))
        waits = []
        for n in range(40):
            begin = time.monotonic()
            assert server.post(body(status(f"wamid.{n}"))) == 200
            waits.append(time.monotonic() - begin)
        assert server.metrics()['webhook_app_connections_cut_total{reason="crowd"}'] > 0
    assert max(waits) < 0.5 * slowness
    assert sorted(waits)[20] < 0.1 * slowness


def test_clients_that_go_on_sending_after_their_answer_do_not_keep_others_waiting(server, slowness):
    with dripping(server, b"BAD\r\n\r\n", b" ", count=150):
        waits = []
        for n in range(20):
            begin = time.monotonic()
            assert server.post(body(status(f"wamid.lingers.{n}"))) == 200
            waits.append(time.monotonic() - begin)
    assert max(waits) < 0.5 * slowness


def test_a_client_that_sends_much_slowly_but_steadily_is_not_cut_off(server, database_url):
    raw = body(status("wamid.slow")) + b" " * 2**20
    whole = request(raw, "Connection: close")
    with closing(server.connect()) as wire:
        begin = time.monotonic()
        for start in range(0, len(whole), 65536):
            wire.sendall(whole[start : start + 65536])
            # 1 MiB in one second, longer than a request without bytes may take; a late piece makes no other late.
            time.sleep(max(0.0, begin + 0.06 * (1 + start / 65536) - time.monotonic()))
        assert statuses(read_all(wire)) == [200]


def test_a_client_that_never_reads_its_answers_is_disconnected(server, slowness):
    wire = server.connect()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.settimeout(PATIENCE * slowness)
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 200
    give_up_at = time.monotonic() + PATIENCE * slowness
    let_go = False
    with closing(wire):
        while not let_go and time.monotonic() < give_up_at:
            try:
                wire.sendall(asked)
            except (BrokenPipeError, ConnectionResetError):
                let_go = True
    assert let_go
    assert "Traceback" not in server.log, server.log


def test_a_server_that_stops_does_not_wait_for_idle_connections(database_url, tmp_path):
    with (
        web_server(database_url, tmp_path, config="webhook_app.serving") as stopping,
        closing(stopping.connect()) as idle,
    ):
        idle.sendall(request(body(status("wamid.idle"))))
        assert statuses(read_one(idle)) == [200]
        begin = time.monotonic()
        stopping.process.terminate()
        assert read_all(idle) == b""
        stopping.process.wait(20)
        assert time.monotonic() - begin < 5


def test_clients_that_never_read_a_large_answer_keep_no_others_from_being_served(database_url, tmp_path):
    asked = b"GET /static/plotly.min.js HTTP/1.1\r\nHost: x\r\n\r\n" * 3
    config = "tests.faults.impatient"
    with web_server(database_url, tmp_path, config=config, ANSWER_S="300") as server, ExitStack() as stack:
        for n in range(150):  # more than the places
            client = stack.enter_context(closing(socket.socket()))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
            client.connect(("127.0.0.1", server.port))
            client.sendall(asked)
            assert client.recv(1), f"client {n} is not served"
        assert server.post(body(status("wamid.meanwhile"))) == 200
        assert server.metrics()['webhook_app_connections_cut_total{reason="crowd"}'] > 50
        assert "Traceback" not in server.log, server.log


def test_an_idle_connection_is_kept_for_the_next_request_and_closed_after_its_time(server, slowness):
    with closing(server.connect()) as wire:
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert statuses(wire.recv(65536)) == [200]
        time.sleep(0.7)  # longer than a first byte may take, shorter than the keep-alive
        wire.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        begin = time.monotonic()
        assert statuses(read_all(wire)) == [200]
        assert 0.5 < time.monotonic() - begin < PATIENCE * slowness
