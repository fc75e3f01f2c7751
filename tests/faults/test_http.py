"""gunicorn as an attacker meets it: requests that mean two things, bodies that lie, heads that never end.

Each is refused once and its connection ends, so that nothing smuggled behind it is ever answered.
"""

import socket
import threading
import time
from contextlib import ExitStack, closing, suppress

import pytest
from sqlalchemy import text

from tests.faults.web_server import SECRET, WebServer, read_all, read_one, request, statuses, wait_for
from tests.support.factories import body, status
from webhook_app.whatsapp.receiving.signature import sign

SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"POST /webhook HTTP/1.1\r\nHost: x\r\n"
SIGNATURE = b"X-Hub-Signature-256: sha256=" + b"0" * 64 + b"\r\n"
MEGABYTE = 2**20
both_readers = pytest.mark.parametrize("path", ["/webhook", "/webhook/"])
"""gunicorn_fast_path.py reads the one, gunicorn's own parser the other."""


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def chunked_request(raw: bytes, encoded: bytes, *headers: bytes) -> bytes:
    signature = b"X-Hub-Signature-256: " + sign(raw, SECRET).encode()
    return b"\r\n".join([HEAD + b"Transfer-Encoding: chunked", signature, *headers, b"", b""]) + encoded


@pytest.mark.parametrize(
    ("head", "refused"),
    [
        (b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", 400),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 6\r\n", 400),
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", 400),
        (b"Content-Length: 5, 5\r\n", 400),
        (b"Content-Length: +5\r\n", 400),
        (b"Content-Length: -5\r\n", 400),
        (b"Content-Length: 0x5\r\n", 400),
        (b"Content-Length: 5_0\r\n", 400),
        (b"Content-Length: \xc2\xb2\r\n", 400),
        (b"Content-Length: \r\n", 400),
        (b"Content-Length : 5\r\n", 400),
        (b"Content-Length\x00: 5\r\n", 400),
        (b"Transfer-Encoding: identity, chunked, chunked\r\n", 400),
        (b"Transfer-Encoding: chunked, identity\r\n", 400),
        (b"Transfer-Encoding: xchunked\r\n", 501),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", 501),
        (b"Transfer-Encoding : chunked\r\n", 400),
        (b"Transfer-Encoding:\x0bchunked\r\n", 400),
        (b"X-A: 1\r\n Transfer-Encoding: chunked\r\n", 400),
        (b"X-A: 1\r\n\tfolded\r\n", 400),
        (b"X-A: 1\nTransfer-Encoding: chunked\r\n", 400),
        (b"X-A: 1\rX-B: 2\r\n", 400),
        (b"X-A: nul\x00\r\n", 400),
        (b": no name\r\n", 400),
        (b"no colon\r\n", 400),
        (b"Host: second\r\n", 400),
        (b"Expect: miracles\r\n", 417),
    ],
    ids=lambda value: value.decode("latin-1").strip() if isinstance(value, bytes) else None,
)
def test_a_head_that_can_be_read_in_two_ways_is_refused_and_hides_no_second_request(server, head, refused):
    assert server.ask(HEAD + head + b"\r\n" + b"0\r\n\r\n" + SMUGGLED) == [refused]


@pytest.mark.parametrize(
    "line",
    [
        b"POST /webhook\r\n",
        b"POST  /webhook HTTP/1.1\r\n",
        b"POST /webhook HTTP/1.1 \r\n",
        b"POST /webhook HTTP/0.9\r\n",
        b"POST /webhook HTTP/9.9\r\n",
        b"POST /web\x00hook HTTP/1.1\r\n",
        b"POST /webhook HTTP/1.1\n",
        b"post /webhook HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    ],
    ids=lambda line: line.decode("latin-1").strip(),
)
def test_a_first_line_that_is_not_http_is_refused(server, line):
    assert server.ask(line + b"Host: x\r\n\r\n" + SMUGGLED) == [400]


@pytest.mark.parametrize(
    ("raw", "refused"),
    [
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX-Long: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X-Many: 1\r\n" * 100 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nX-Endless: " + b"a" * MEGABYTE, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 200_000, 431),
    ],
    ids=["line", "field", "fields", "endless field", "endless fields"],
)
def test_a_huge_head_is_refused_with_its_own_status(server, raw, refused):
    assert server.ask(raw) == [refused]


@pytest.mark.parametrize(
    "encoded",
    [
        b"-1\r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"+2\r\n{}\r\n0\r\n\r\n",
        b"2_0\r\n{}\r\n0\r\n\r\n",
        b" 2\r\n{}\r\n0\r\n\r\n",
        b"\r\n{}\r\n0\r\n\r\n",
        b"g\r\n{}\r\n0\r\n\r\n",
        b"2\n{}\r\n0\r\n\r\n",
        b"2\r\n{}xx0\r\n\r\n",
        b"1\r\n{}\r\n0\r\n\r\n",
        b"2;\x00bad\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n",
        b"a" * 20_000 + b"\r\n",
    ],
    ids=lambda encoded: encoded[:24].decode("latin-1"),
)
def test_a_chunk_that_lies_is_400_and_ends_the_connection(server, encoded):
    assert server.ask(chunked_request(b"{}", encoded) + SMUGGLED) == [400]
    assert "Traceback" not in server.log


def test_a_chunked_body_is_stored_like_any_other_and_its_connection_goes_on(server, database_url, engine):
    raw = body(status("wamid.chunked"))
    encoded = chunked(raw[:7], raw[7:], end=b"0\r\nX-Trailer: fine\r\n\r\n")
    with closing(server.connect()) as wire:
        for _ in range(2):
            wire.sendall(chunked_request(raw, encoded))
            answer = read_one(wire)
            assert statuses(answer) == [200]
            assert b"connection: keep-alive" in answer.lower()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM status_events")).scalar_one() == 1


def test_too_large_a_body_is_413_before_it_is_read_and_the_connection_ends(server):
    head = HEAD + b"Content-Length: 3145729\r\n\r\n"
    with closing(server.connect()) as wire:
        wire.sendall(head)
        answer = read_all(wire)
    assert statuses(answer) == [413]
    assert b"connection: close" in answer.lower()


def test_a_length_of_thousands_of_digits_is_413_as_well(server):
    assert server.ask(HEAD + b"Content-Length: " + b"9" * 6000 + b"\r\n\r\n") in ([400], [413])


@both_readers
def test_a_client_that_sends_its_four_megabytes_all_the_same_reads_the_413(server, path):
    raw = b" " * (3 * MEGABYTE + 1)
    assert server.ask(request(raw, path=path)) == [413]


@pytest.mark.parametrize("encoded", [False, True])
def test_a_client_that_sends_twenty_megabytes_before_it_reads_reads_the_413(server, encoded):
    raw = b" " * (20 * MEGABYTE)
    assert server.ask(chunked_request(raw, chunked(raw)) if encoded else request(raw)) == [413]


def send_until(wire: socket.socket, end: float) -> None:
    while time.monotonic() < end:
        wire.sendall(b" " * MEGABYTE)


def test_a_client_that_never_ends_its_refused_body_is_disconnected(server):
    begin = time.monotonic()
    with closing(server.connect()) as wire:
        wire.sendall(HEAD + b"Content-Length: 99999999999\r\n\r\n")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_until(wire, begin + 60)
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("announced", [b"", b"X-Original-Content-Length: 2\r\n"])
def test_a_chunked_body_that_does_not_end_is_413_at_the_limit(server, announced):
    with closing(server.connect()) as wire:
        wire.sendall(HEAD + SIGNATURE + announced + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        try:
            while sent < 100:
                wire.sendall(b"10000\r\n" + b"a" * 65536 + b"\r\n")
                sent += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = read_all(wire)
    assert statuses(answer) == [413]
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("header", [b"", b"X-Hub-Signature-256: sha1=0\r\n"])
@pytest.mark.parametrize("framing", [b"Content-Length: 3000000\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_without_a_signature_in_its_form_is_401_before_it_is_read(server, header, framing):
    before = server.metrics()
    kind = "malformed" if header else "missing"
    with closing(server.connect()) as wire:
        wire.sendall(HEAD + header + framing + b"\r\n")
        answer = read_all(wire)
    assert statuses(answer) == [401]
    assert f"signature {kind}".encode() in answer
    assert b"connection: close" in answer.lower()
    counted = f'webhook_app_deliveries_refused_total{{kind="{kind}"}}'
    assert server.metrics()[counted] - before[counted] == 1


def test_a_client_that_sends_three_unsigned_megabytes_before_it_reads_reads_the_401(server):
    assert server.ask(HEAD + b"Content-Length: %d\r\n\r\n" % (3 * MEGABYTE) + b" " * 3 * MEGABYTE) == [401]


def test_bodies_that_never_end_hold_limited_memory_and_a_delivery_is_stored_meanwhile(server, database_url):
    cut = 'webhook_app_connections_cut_total{reason="memory"}'
    before = server.metrics()[cut]
    with ExitStack() as stack:
        for _ in range(6):  # impatient.py allows 8 MiB of bodies
            wire = stack.enter_context(closing(server.connect()))
            wire.sendall(HEAD + SIGNATURE + b"Content-Length: %d\r\n\r\n" % (3 * MEGABYTE))
            wire.sendall(b" " * (3 * MEGABYTE - 10))
        wait_for(lambda: server.metrics()[cut] - before >= 3)
        assert server.post(body(status("wamid.meanwhile")) + b" " * MEGABYTE) == 200


@both_readers
def test_the_bodies_of_closed_connections_are_freed_at_once(server, path):
    refused = request(b" " * 3 * MEGABYTE, "Connection: close", signed=b"something else", path=path)
    cut = [refused[:-MEGABYTE], refused[:MEGABYTE]]
    for whole in (refused, *cut):  # once, so that buffers have their size
        server.ask(whole, half_close=True)
    before = memory(server)
    for _ in range(10):
        assert server.ask(refused) == [401]
        for part in cut:
            assert server.ask(part, half_close=True) == [400]
    assert memory(server) - before < 20 * MEGABYTE


def memory(server: WebServer) -> int:
    return max(worker.memory_info().rss for worker in server.workers())


@pytest.mark.parametrize("chunk", [b"1\r\na\r\n", b"5\r\naaaaa\r\n", b"40\r\n" + b"a" * 64 + b"\r\n"])
def test_small_chunks_are_400_and_keep_nobody_waiting(server, database_url, chunk):
    many = chunk * (6 * MEGABYTE // len(chunk))
    tiny = HEAD + SIGNATURE + b"Transfer-Encoding: chunked\r\n\r\n" + many + b"0\r\n\r\n"
    longest, answers = longest_wait(server, tiny)
    assert statuses(answers) == [400]
    assert longest < 0.7


def test_chunks_with_long_extensions_are_400_and_their_rest_is_not_parsed(server, database_url):
    chunk = b"1;" + b"a" * 8000 + b"\r\na\r\n"
    head = HEAD + SIGNATURE + b"Transfer-Encoding: chunked\r\n\r\n"
    assert server.ask(head + chunk * 1000 + b"0\r\n\r\n") == [400]


@pytest.mark.parametrize("size", [1, 300])
def test_a_body_in_small_chunks_is_stored(server, database_url, size):
    raw = body(status(f"wamid.small.{size}")) + (b" " * (3 * MEGABYTE - 2000) if size > 1 else b"")
    encoded = chunked(*(raw[start : start + size] for start in range(0, len(raw), size)))
    assert server.ask(chunked_request(raw, encoded, b"Connection: close")) == [200]


def test_a_client_that_pipelines_thousands_of_requests_keeps_nobody_waiting(server):
    longest, answers = longest_wait(server, b"GET /healthz HTTP/1.1\r\n\r\n" * 5000)
    assert statuses(answers) == [200] * 5000
    assert longest < 0.7


@pytest.mark.parametrize("name", [b"SCRIPT_NAME", b"PATH_INFO", b"REMOTE_ADDR"])
def test_no_header_changes_the_path_or_the_address_of_a_request(server, name):
    asked = b"GET /x/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%b: /x\r\n\r\n"
    assert server.ask(asked % name) == [404]


@pytest.mark.parametrize("query", [b"", b"?next=/"])
def test_a_request_for_another_host_without_a_path_is_answered_like_any_other(server, query):
    asked = b"GET %b%b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answers = []
    for target in (b"http://other.example", b"/"):
        with closing(server.connect()) as wire:
            wire.sendall(asked % (target, query))
            answers.append(read_all(wire))
    assert statuses(answers[0]) == statuses(answers[1])
    assert statuses(answers[0])[0] in (302, 303)
    assert b"other.example" not in answers[0]
    assert b"://" not in answers[0].lower().partition(b"location:")[2].partition(b"\r\n")[0]


def longest_wait(server: WebServer, attack: bytes) -> tuple[float, bytes]:
    """The longest that another client waits for /healthz during an attack, and what the attacker was answered."""
    answers: list[bytes] = []
    with closing(server.connect()) as wire:
        sending = threading.Thread(target=_send_all, args=(wire, attack))
        reading = threading.Thread(target=lambda: answers.append(read_all(wire)))
        reading.start()
        sending.start()
        longest = 0.0
        while reading.is_alive():
            begin = time.monotonic()
            assert server.ask(b"GET /healthz HTTP/1.0\r\n\r\n") == [200]
            longest = max(longest, time.monotonic() - begin)
        sending.join()
    return longest, answers[0]


def _send_all(wire: socket.socket, data: bytes) -> None:
    with suppress(BrokenPipeError, ConnectionResetError):
        wire.sendall(data)
        wire.shutdown(socket.SHUT_WR)


@both_readers
def test_a_body_announced_longer_than_sent_is_400_once_the_client_ends(server, path):
    raw = body(status("wamid.short"))
    whole = request(raw, path=path)
    assert server.ask(whole[:-10], half_close=True) == [400]
    assert server.ask(chunked_request(raw, chunked(raw)[:-12]), half_close=True) == [400]


@both_readers
def test_a_client_that_only_closed_its_sending_half_still_reads_its_answer(server, path, database_url):
    assert server.ask(request(body(status("wamid.half")), path=path), half_close=True) == [200]


def test_pipelined_posts_are_all_stored_and_answered_in_order_whoever_reads_them(
    server, database_url, engine
):
    paths = ["/webhook", "/webhook/", "/webhook", "/webhook"] * 5
    posts = [request(body(status(f"wamid.P{n}")), path=path) for n, path in enumerate(paths)]
    posts[7] = request(b"{}", signed=b"something else")
    expected = [200] * 20
    expected[7] = 401
    assert server.ask(b"".join(posts), half_close=True) == expected
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM status_events")).scalar_one() == 19


@both_readers
def test_a_body_longer_than_announced_is_the_next_request_and_refused(server, path, database_url):
    raw = body(status("wamid.long"))
    assert server.ask(request(raw, path=path) + b"leftover bytes\r\n\r\n") == [200, 400]


def test_expect_100_continue_is_granted_and_the_body_stored(server, database_url):
    raw = body(status("wamid.expect"))
    whole = request(raw, "Expect: 100-continue", "Connection: close")
    with closing(server.connect()) as wire:
        wire.sendall(whole[: -len(raw)])
        assert wire.recv(100).startswith(b"HTTP/1.1 100 ")
        wire.sendall(raw)
        assert statuses(read_all(wire)) == [200]


def test_a_refused_call_with_an_unread_body_does_not_let_the_body_be_read_as_a_request(server, database_url):
    small = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED)
    assert server.ask(small + SMUGGLED, half_close=True) == [404]
    large = b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (MEGABYTE + len(SMUGGLED))
    assert server.ask(large + b" " * MEGABYTE + SMUGGLED) == [404]


@both_readers
def test_a_reset_in_the_middle_of_a_body_leaves_no_traceback(server, path, database_url):
    before = server.log.count("Traceback")
    for _ in range(5):
        wire = server.connect()
        wire.sendall(request(body(status("wamid.reset")), path=path)[:-20])
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        wire.close()
    assert server.post(body(status("wamid.after"))) == 200
    assert server.log.count("Traceback") == before


def test_refusals_say_nothing_of_what_was_sent_and_fill_no_log(server):
    before = len(server.log)
    for n in range(200):
        wire = server.connect()
        wire.sendall(b"GET /?phone=4915112345678 HTTP/1.1\nX: %d\r\n\r\n" % n)
        answer = read_all(wire)
        wire.close()
        assert statuses(answer) == [400]
        assert b"4915112345678" not in answer
        assert b"nosniff" in answer
    written = server.log[before:]
    assert "4915112345678" not in written
    assert written.count("\n") <= 3


def test_refusals_are_counted_by_the_status_they_got(server):
    before = server.metrics()
    assert server.ask(HEAD + b"Content-Length: -5\r\n\r\n") == [400]
    assert server.ask(HEAD + b"Transfer-Encoding: xchunked\r\n\r\n") == [501]
    after = server.metrics()
    risen = {
        status: after[key] - before[key]
        for status in ("400", "414", "417", "431", "501")
        for key in [f'webhook_app_requests_malformed_total{{status="{status}"}}']
    }
    assert risen == {"400": 1, "414": 0, "417": 0, "431": 0, "501": 1}


def test_a_worker_that_waits_for_the_database_answers_other_requests(server, database_url, engine):
    raw = request(body(status("wamid.waits")), "Connection: close")
    with closing(server.connect()) as wire:
        with engine.begin() as connection:
            connection.execute(text("LOCK TABLE status_events IN ACCESS EXCLUSIVE MODE"))
            wire.sendall(raw)
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            wait_for(lambda: connection.execute(waiting).scalar_one() > 0)
            with closing(server.connect()) as other:
                other.settimeout(5)
                other.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert statuses(read_all(other)) == [200]
        assert statuses(read_all(wire)) == [200]
