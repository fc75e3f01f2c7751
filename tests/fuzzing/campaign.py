"""Signed mutations against a real gunicorn, and what must hold afterwards. A command, and what the tests call.

python -m tests.fuzzing.campaign --mutations 10000        items mutated, neighbours checked
python -m tests.fuzzing.campaign --level bytes --minutes 5   bytes mutated, until the time is over
Prints its figures. The exit code is 1 when something did not hold; each failing body is written to a file, and
`--seed S --first N --mutations 1` makes the same one again.
"""

import argparse
import http.client
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random

import psutil
import psycopg

from tests.faults.web_server import SECRET, WebServer, web_server
from tests.fuzzing.mutations import Delivery, deliver, garble
from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database
from webhook_app.whatsapp.receiving.signature import sign

LIMIT = 3 * 2**20
MOST_MEMORY_MB = 200
SENDERS = 8


@dataclass
class Findings:
    """What a campaign saw. `failing` names the mutations that were not answered as they must be."""

    answers: Counter[int] = field(default_factory=Counter)
    failing: list[tuple[int, int, bytes]] = field(default_factory=list)
    sent: int = 0
    bytes: int = 0
    seconds: float = 0.0
    memory_mb: float = 0.0
    statuses: set[str] = field(default_factory=set)
    messages: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    books: dict[str, int] = field(default_factory=dict)
    tracebacks: int = 0

    @property
    def faults(self) -> list[str]:
        """Everything that did not hold, in words."""
        books = self.books
        sorted_out = sum(books[name] for name in ("applied", "duplicate", "ignored", "quarantined"))
        found = [f"mutation {n}: answered {answer}" for n, answer, _ in self.failing[:20]]
        found += [f"neighbour {message_id} is missing" for message_id in self.lost[:20]]
        if books["received"] != sorted_out:
            found.append(f"the books do not balance: {books}")
        if self.memory_mb >= MOST_MEMORY_MB:
            found.append(f"a worker took {self.memory_mb:.0f} MB")
        if self.tracebacks:
            found.append(f"{self.tracebacks} tracebacks in the log")
        return found

    def __str__(self) -> str:
        answers = ", ".join(f"{count} x {answer}" for answer, count in sorted(self.answers.items()))
        books = ", ".join(f"{name} {count}" for name, count in self.books.items())
        return "\n".join(
            [
                f"{self.sent} mutations, {self.bytes / 2**20:.0f} MB in {self.seconds:.0f} s; answers: {answers}",
                f"neighbours: {len(self.statuses)} statuses, {len(self.messages)} messages, {len(self.lost)} missing",
                f"books: {books}",
                f"largest worker: {self.memory_mb:.0f} MB",
                *self.faults,
                "held" if not self.faults else "DID NOT HOLD",
            ]
        )


class Campaign:
    """Makes the mutations of one seed, numbered, and sends them over several connections at once."""

    def __init__(self, server: WebServer, *, seed: int, level: str = "items", first: int = 0) -> None:
        self.findings = Findings()
        self._server, self._seed, self._level = server, seed, level
        self._first, self._numbers = first, count(first)
        self._lock = threading.Lock()
        self._now = int(time.time())

    def run(self, mutations: int | None, minutes: float | None = None) -> None:
        """Send so many, or for so long."""
        begin = time.monotonic()
        until = begin + (minutes * 60 if minutes else float("inf"))
        threads = [threading.Thread(target=self._send, args=(mutations, until)) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self._weigh()
            time.sleep(0.1)
        self._weigh()
        self.findings.seconds = time.monotonic() - begin
        self.findings.tracebacks = self._server.log.count("Traceback")

    def check(self, database_url: str) -> None:
        """Look for the neighbours, and into the books."""
        found = self.findings
        with psycopg.connect(database_url) as connection:
            stored = {row[0] for row in connection.execute("SELECT message_id FROM status_events")}
            wrote = {row[0] for row in connection.execute("SELECT message_id FROM inbound_messages")}
            columns = ("received", "applied", "duplicate", "ignored", "quarantined")
            sums = ", ".join(f"coalesce(sum({name}), 0)::int" for name in columns)
            row = connection.execute(f"SELECT {sums} FROM books").fetchone()
        found.lost = sorted((found.statuses - stored) | (found.messages - wrote))
        found.books = dict(zip(columns, row or (), strict=True))

    def make(self, number: int) -> Delivery:
        """The mutation of this number: the same for the same seed, but for the time in it."""
        random = Random(f"{self._seed}:{number}")
        made = deliver(random, f"{self._seed}.{number}", self._now)
        return Delivery(garble(random, made.body)) if self._level == "bytes" else made

    def _send(self, mutations: int | None, until: float) -> None:
        for number in self._mine(mutations, until):
            made = self.make(number)
            answer = self._post(made.body)
            expected = 413 if len(made.body) > LIMIT else 200
            with self._lock:
                found = self.findings
                found.sent += 1
                found.bytes += len(made.body)
                found.answers[answer] += 1
                if answer != expected:
                    found.failing.append((number, answer, made.body))
                elif answer == 200:
                    found.statuses.update(made.statuses)
                    found.messages.update(made.messages)

    def _mine(self, mutations: int | None, until: float) -> Iterator[int]:
        while time.monotonic() < until:
            with self._lock:
                number = next(self._numbers)
            if mutations is not None and number >= self._first + mutations:
                return
            yield number

    def _post(self, raw: bytes) -> int:
        """The answer's status, 0 when there was none."""
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)) as wire:
                wire.request("POST", "/webhook", raw, {"X-Hub-Signature-256": sign(raw, SECRET)})
                return wire.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0

    def _weigh(self) -> None:
        for worker in self._server.workers():
            try:
                taken = worker.memory_info().rss / 2**20
            except psutil.NoSuchProcess:
                continue
            self.findings.memory_mb = max(self.findings.memory_mb, taken)


def main() -> int:
    given = _arguments()
    with tempfile.TemporaryDirectory(prefix="webhook_app_fuzz_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            migrate_database(postgres.url)
            with web_server(postgres.url, Path(folder)) as server:
                print(f"seed {given.seed}", flush=True)
                campaign = Campaign(server, seed=given.seed, level=given.level, first=given.first)
                campaign.run(given.mutations, given.minutes)
                campaign.check(postgres.url)
        finally:
            postgres.stop()
    print(campaign.findings)
    for number, answer, raw in campaign.findings.failing[:20]:
        path = Path(tempfile.gettempdir()) / f"failing-{given.level}-{given.seed}-{number}.json"
        path.write_bytes(raw)
        print(f"mutation {number}, answered {answer}: {path}")
    return 1 if campaign.findings.faults else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing.campaign")
    parser.add_argument("--level", choices=("items", "bytes"), default="items")
    parser.add_argument("--mutations", type=int, help="how many; without it, as many as the minutes allow")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, help="another one each time when left out")
    parser.add_argument("--first", type=int, default=0, help="the number to begin with")
    given = parser.parse_args()
    if given.mutations is None and given.minutes is None:
        parser.error("say how many mutations, or how many minutes")
    if given.seed is None:
        given.seed = time.time_ns() % 10**9
    return given


if __name__ == "__main__":
    sys.exit(main())
