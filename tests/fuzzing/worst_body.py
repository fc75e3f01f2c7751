"""Searches signed bodies for the ones that cost a worker most. A command; the worst ones found are shapes below.

python -m tests.fuzzing.worst_body                 every known shape, against a real gunicorn of one worker
python -m tests.fuzzing.worst_body --minutes 10    then mutated shapes until the time is over
Prints for each body the processor time of its worker and the longest wait of small deliveries meanwhile.
"""

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from tests.faults.web_server import SECRET, WebServer, web_server
from tests.fuzzing.mutations import Pairs, Raw, as_json, mutate
from tests.support.factories import body, document, status
from webhook_app.embedded import EmbeddedPostgres
from webhook_app.migrating import migrate_database
from webhook_app.whatsapp.receiving.signature import sign

LIMIT = 3 * 2**20
_BETWEEN_PROBES_S = 0.05  # a wait of a second is seen, and the probes take little of the processor themselves
NUMBER = "590238114470021"
_MARK = "@n@"
"""In an item: replaced by its position, so that no two are alike."""


@dataclass(frozen=True)
class Shape:
    """A body that repeats one item: the list it is in, the item, and the keys beside the list."""

    place: str
    item: Any
    beside: dict[str, Any] = field(default_factory=dict)
    field: str = "messages"
    size: int = LIMIT

    def build(self, serial: str = "", now: int = 1_793_000_000) -> bytes:
        """The largest body of this shape. `serial` makes it another one each time."""
        text = as_json(self.item, ascii_only=True).replace(b"@now@", str(now).encode())
        head, tail = self._around(serial)
        room = self.size - len(head) - len(tail)
        items: list[bytes] = []
        mark = _MARK.encode()
        while room > 0:
            each = text.replace(mark, f"{serial}{len(items)}".encode())
            room -= len(each) + 1
            items.append(each)
            if mark not in text:
                items *= max(1, (room + len(each) + 1) // (len(each) + 1))
                break
        return head + b",".join(items[:-1] or items) + tail

    def _around(self, serial: str) -> tuple[bytes, bytes]:
        """What comes before and after the items."""
        inside = "@items@"
        metadata = {"display_phone_number": "13125550199", "phone_number_id": NUMBER}
        match self.place:
            case "entry":
                held: Any = {"object": "whatsapp_business_account", "entry": [inside], **self.beside}
            case "changes":
                entry = {"id": "384610027715590", **self.beside, "changes": [inside]}
                held = {"object": "whatsapp_business_account", "entry": [entry]}
            case "keys":
                held = document({"metadata": metadata, **self.beside, inside: 1}, field=self.field)
            case place:
                value = {"metadata": metadata, **self.beside, place: [inside]}
                held = document(value, field=self.field)
        held["serial"] = serial
        head, _, tail = json.dumps(held).partition(f'"{inside}"')
        return head.encode(), (tail.removeprefix(": 1") if self.place == "keys" else tail).encode()


def _of(held: Any, times: int) -> list[Any]:
    return [held] * times


_SENT = {"id": "w@n@", "status": "sent", "timestamp": "@now@", "recipient_id": "12025550117"}
_FAILED = _SENT | {"status": "failed", "errors": [{"code": 131026, "title": "Title @n@"}]}
_WROTE = {
    "id": "w@n@",
    "from": "12025550117",
    "timestamp": "@now@",
    "type": "text",
    "text": {"body": "hello @n@"},
}
_CONTACT = {"wa_id": "1202555@n@", "user_id": "US.@n@"}
_SIGNAL = {"field": "account_update", "value": {"event": "E@n@"}}
_HANDOVER = {
    "field": "messaging_handovers",
    "value": {
        "recipient": {"phone_number_id": NUMBER},
        "sender": {"phone_number": "1202555@n@", "user_id": "US.@n@"},
        "timestamp": "@now@",
        "control_taken": {"metadata": "hello @n@", "new_owner_role": "r@n@"},
    },
}
_CHANGE = {"field": "messages", "value": {"metadata": {"phone_number_id": "@n@"}, "statuses": [_SENT]}}
_WORDS = json.dumps({f"k{n}": f"stop{'!' * n}" for n in range(30)})
_FORM = {"type": "nfm_reply", "nfm_reply": {"response_json": _WORDS}}
_MANY_WORDS = json.dumps({f"k{n}": f"{n}stop" for n in range(100_000)})
_LONG_FORM = {"type": "nfm_reply", "nfm_reply": {"response_json": _MANY_WORDS}}
_NEW_NUMBER = {"type": "user_changed_number", "wa_id": "1303555@n@", "user_id": "US.@n@"}
SHAPES: dict[str, Shape] = {
    "ordinary statuses": Shape("statuses", _SENT),
    "short ordinary statuses": Shape("statuses", {"id": "@n@", "status": "sent", "timestamp": "@now@"}),
    "statuses with contacts": Shape("contacts", _CONTACT, {"statuses": [_SENT]}),
    "distinct templates and campaigns": Shape(
        "statuses", _SENT | {"biz_opaque_callback_data": "template=t@n@;campaign=c@n@"}
    ),
    "distinct codes": Shape("statuses", _FAILED | {"errors": [{"code": "@n@", "title": "T@n@"}]}),
    "distinct error texts": Shape("statuses", _FAILED),
    "statuses beside one odd key": Shape("statuses", _SENT, {"odd": 1}),
    "failures beside one odd key": Shape("statuses", _FAILED, {"odd": 1}),
    "statuses without a time": Shape("statuses", _SENT | {"timestamp": "never @n@"}),
    "statuses of groups": Shape("statuses", _SENT | {"recipient_type": "group", "recipient_participant_id": "1@n@"}),
    "ids that no index holds": Shape("statuses", _FAILED | {"id": "\U0001f600\u4e00" * 250 + "@n@"}),
    "ids of bytes that do not compress": Shape(
        "statuses", _FAILED | {"id": "".join(Random(1).choices("abcdefghijklmnopqrstuvwxyz+/", k=500)) + "@n@"}
    ),
    "numbers": Shape("changes", _CHANGE),
    "empty objects as statuses": Shape("statuses", {}),
    "numbers as statuses": Shape("statuses", 1),
    "few values, deep": Shape("statuses", Raw("[" * 55 + "]" * 55)),
    "unknown statuses": Shape("statuses", {"id": "@n@", "status": "s@n@"}),
    "unknown statuses with long ids": Shape("statuses", {"id": "x" * 60, "status": "s@n@"}),
    "empty objects as messages": Shape("messages", {}),
    "messages": Shape("messages", _WROTE),
    "messages of texts to be compared": Shape("messages", ["\u00e9t@n@"]),
    "messages of texts that become long": Shape("messages", ["dejen de " + "\ufdfa" * 6] * 50, size=2**19 - 1),
    "messages of texts that become too long": Shape("messages", ["dejen de " + "\ufdfa" * 60] * 9, size=2**19 - 1),
    "messages of stop words": Shape("messages", _WROTE | {"text": {"body": "stop"}}),
    "messages of forms": Shape("messages", _WROTE | {"type": "interactive", "interactive": _FORM}),
    "messages of change of number": Shape("messages", _WROTE | {"type": "system", "system": _NEW_NUMBER}),
    "messages with links": Shape("messages", _WROTE | {"from": "1202555@n@", "from_user_id": "US.@n@"}),
    "one form": Shape("messages", _WROTE | {"type": "interactive", "interactive": _LONG_FORM}),
    "errors": Shape("errors", {"code": "@n@"}),
    "calls": Shape("calls", {"id": "@n@", "direction": "USER_INITIATED", "from": "1@n@"}, field="calls"),
    "preferences": Shape("user_preferences", {"wa_id": "1202555@n@", "value": "stop"}, field="user_preferences"),
    "preferences without a contact": Shape("user_preferences", {"value": "stop"}, field="user_preferences"),
    "signals": Shape("changes", _SIGNAL),
    "handovers": Shape("changes", _HANDOVER),
    "signals beside a long key": Shape("changes", _SIGNAL, {"pad": "x" * 1_000_000}),
    "signals with lists": Shape(
        "changes", {"field": "account_update", "value": {"restriction_info": _of({"restriction_type": "R@n@"}, 300)}}
    ),
    "changes of unknown fields": Shape("changes", {"field": "f@n@", "value": {}}),
    "changes and ignored": Shape("changes", {"field": "messages", "value": {"statuses": [{"type": "payment"}]}}),
    "changes without a value": Shape("changes", {}),
    "entries": Shape("entry", {"id": "@n@", "changes": [_CHANGE]}),
    "empty entries": Shape("entry", {}),
    "entries without changes": Shape("entry", {"id": "@n@"}),
    "messages of few values, deep": Shape("messages", _WROTE | {"text": Raw('{"a":' * 60 + "1" + "}" * 60)}),
    "unknown keys": Shape("keys", Raw('"key@n@": 1')),
    "repeated keys": Shape("keys", Raw('"statuses": [{}]')),
    "lone surrogates": Shape("statuses", Raw(r'"\ud800\ud800\ud800\ud800\ud800\ud800\ud800\ud800\ud800\ud800"')),
    "long numbers": Shape("statuses", Raw("9" * 4_000)),
    "bombs": Shape("statuses", Raw("[" * 900 + "]" * 900)),
    "nul": Shape("messages", Raw(r'{"a":"\u0000\u0000"}')),
    "errors of errors": Shape("statuses", _FAILED | {"errors": _of({"code": 1}, 2000)}),
    "callback data of pairs": Shape("statuses", _SENT | {"biz_opaque_callback_data": ";a=b" * 250 + "@n@"}),
}  # fmt: skip


@dataclass
class Cost:
    """What one body took."""

    name: str
    bytes: int
    answer: int
    seconds: float
    processor: float
    wait: float

    def __str__(self) -> str:
        return (
            f"{self.processor:6.2f} s of the worker, {self.wait * 1000:5.0f} ms longest wait, {self.seconds:6.2f} s,"
            f" answer {self.answer}, {self.bytes / 2**20:.1f} MB: {self.name}"
        )


class Bench:
    """One worker of a server, and small deliveries that go on meanwhile."""

    def __init__(self, server: WebServer) -> None:
        self._server = server
        self._serial = 0

    def measure(self, name: str, raw: bytes, *, probe: bool = True) -> Cost:
        """Post a body; other deliveries are posted one after the other until it is answered."""
        done, waits = threading.Event(), [0.0]
        prober = threading.Thread(target=self._probe, args=(done, waits))
        if probe:
            prober.start()
            time.sleep(0.05)
        (worker,) = self._server.workers()
        before, begin = sum(worker.cpu_times()[:2]), time.monotonic()
        answer = self._post(raw, timeout=180)
        seconds = time.monotonic() - begin
        done.set()
        if probe:
            prober.join()
        taken = sum(worker.cpu_times()[:2]) - before
        return Cost(name, len(raw), answer, seconds, taken, max(waits))

    def _probe(self, done: threading.Event, waits: list[float]) -> None:
        while not done.is_set():
            self._serial += 1
            raw = body(status(f"wamid.probe.{self._serial}.{time.monotonic()}", "sent", int(time.time())))
            begin = time.monotonic()
            self._post(raw, timeout=180)
            waits.append(time.monotonic() - begin)
            time.sleep(_BETWEEN_PROBES_S)

    def _post(self, raw: bytes, timeout: float) -> int:
        with closing(http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=timeout)) as wire:
            wire.request("POST", "/webhook", raw, {"X-Hub-Signature-256": sign(raw, SECRET)})
            return wire.getresponse().status


def mutated(random: Random) -> Iterator[tuple[str, Shape]]:
    """Shapes with their item, place or surroundings changed, without end."""
    places = sorted({shape.place for shape in SHAPES.values()} - {"keys"})
    while True:
        name, shape = random.choice(list(SHAPES.items()))
        match random.randrange(4):
            case 0:
                shape = replace(shape, place=random.choice(places))
            case 1:
                other = random.choice(list(SHAPES.values())).item
                if type(shape.item) is dict and type(other) is dict:
                    shape = replace(shape, item=shape.item | other)
            case 2:
                shape = replace(
                    shape, beside=shape.beside | {random.choice(("contacts", "odd", "errors")): [{}] * 3}
                )
            case _ if type(shape.item) not in (Raw, Pairs):
                shape = replace(shape, item=mutate(random, shape.item))
        if len(as_json(shape.item, ascii_only=True)) < LIMIT // 4:
            yield f"{name}, mutated", shape


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing.worst_body", description=__doc__)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the names of the shapes to try")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="webhook_app_worst_", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        postgres = EmbeddedPostgres(Path(folder) / "postgres")
        try:
            migrate_database(postgres.url)
            with web_server(postgres.url, Path(folder)) as server:
                costs = _search(Bench(server), given)
        finally:
            postgres.stop()
    worst = max(costs, key=lambda cost: cost.processor)
    print(f"worst: {worst}\nlongest wait: {max(costs, key=lambda cost: cost.wait)}")
    return 0


def _search(bench: Bench, given: argparse.Namespace) -> list[Cost]:
    until, random = time.monotonic() + given.minutes * 60, Random(given.seed)
    known = [(name, shape) for name, shape in SHAPES.items() if given.only in name]
    costs: list[Cost] = []
    _show(costs, bench.measure("a small one first", body(status("wamid.first"))), always=True)
    for number, (name, shape) in enumerate(known):
        _show(costs, bench.measure(name, shape.build(f"{number}0", int(time.time()))), always=True)
    for number, (name, shape) in enumerate(mutated(random)):
        if time.monotonic() > until:
            break
        raw = shape.build(f"1{number}0", int(time.time()))
        if _show(costs, bench.measure(name, raw)):
            path = Path(tempfile.gettempdir()) / f"worst-{given.seed}-{number}.json"
            path.write_bytes(raw)
            print(f"  written to {path}")
    return costs


def _show(costs: list[Cost], cost: Cost, *, always: bool = False) -> bool:
    """Print a cost worth seeing: the worst so far, or no 200."""
    is_worst = not costs or cost.processor > max(each.processor for each in costs)
    is_slowest = not costs or cost.wait > max(each.wait for each in costs)
    costs.append(cost)
    if always or is_worst or is_slowest or cost.answer != 200:
        print(cost, flush=True)
    return is_worst or is_slowest or cost.answer != 200


if __name__ == "__main__":
    sys.exit(main())
