"""Checks of contacts with all suppressions and links stored: single checks, large checks, the change feed."""

import json
import random
from collections.abc import Iterator
from itertools import islice

from benchmarks.large.http_client import KEY, Client, Measurement
from benchmarks.large.people import contact_of
from benchmarks.load import Outcome, closed_loop, open_loop

CLIENTS = 8
OFFERED_PER_S = 1_000.0
SINGLE_P50_MS, SINGLE_P99_MS, SINGLES_PER_S = 1.5, 8.0, 8_000.0
MOST_PER_S = 30_000  # requests prepared for a second: making them would take the server's processor time
BULK, BULK_MS = 10_000, 120.0
PAGE, PAGE_MS = 1_000, 20.0


def offered(port: int, people: int, seconds: float) -> Outcome:
    """Send checks at random times, at a third of the rate required at full speed."""
    requests = _requests(people, random.Random(1))
    return open_loop(port, requests, rate=OFFERED_PER_S, seconds=seconds, connections=CLIENTS)


def full_speed(port: int, people: int, seconds: float) -> Outcome:
    """Send checks from each client as soon as it has the answer to the last one."""
    prepared = list(islice(_requests(people, random.Random(4)), round(seconds * MOST_PER_S)))
    return closed_loop(port, prepared, seconds, CLIENTS)


def _requests(people: int, rng: random.Random) -> Iterator[bytes]:
    while True:
        contact = contact_of(rng.randrange(people))
        yield (
            f"GET /v1/check/{contact}?phone_number_id=pn1001 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: Bearer {KEY}\r\n\r\n"
        ).encode()


def bulk(client: Client, people: int, rounds: int = 15) -> Measurement:
    measured = Measurement(f"POST /v1/check of {BULK:,}", BULK_MS, share=0.5)
    rng = random.Random(2)
    for index in range(rounds + 2):
        contacts = [f"+{contact_of(rng.randrange(people))}" for _ in range(BULK)]
        answer = client.send("/v1/check", json.dumps({"contacts": contacts, "phone_number_id": "pn1001"}))
        if index >= 2:
            measured.add(answer, f"/v1/check with {BULK:,} contacts")
    return measured


def feed(client: Client, changes: int, rounds: int = 60) -> Measurement:
    measured = Measurement(f"/v1/changes, {PAGE:,} a page", PAGE_MS, share=0.5)
    rng = random.Random(3)
    for index in range(rounds + 5):
        path = f"/v1/changes?limit={PAGE}&since={rng.randrange(max(1, changes - PAGE))}"
        answer = client.send(path)
        if index >= 5:
            measured.add(answer, path)
    return measured
