"""Deliveries with one mutated item among untouched neighbours, made from the samples. Knows Meta's shapes, no server.

All randomness comes from the `Random` given: the same one makes the same bytes.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.support.factories import message, status, value
from tests.support.folders import PAYLOADS

SAMPLES = [json.loads(path.read_bytes()) for path in sorted(PAYLOADS.glob("*.json"))]
ITEM_LISTS = ("statuses", "messages", "errors", "calls", "user_preferences")


class Raw(str):
    """JSON text put in as it is."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """An object whose keys may repeat."""


@dataclass
class Delivery:
    """A body, and the ids of what must be applied whatever becomes of the rest."""

    body: bytes = b""
    statuses: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


_ALPHABETS = (
    "0123456789",
    "abcdefghijklmnopqrstuvwxyz=+/",
    "\u4e00\u5b57\U0001f600\u00e9\u0663\u0664",
    '"\\,{}\0',
)
"""Text that does not compress, as an index row must hold it."""

WEIRD: tuple[Callable[[Random], Any], ...] = (
    lambda _: None,
    lambda random: random.choice((True, False)),
    lambda random: random.choice((0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, -(10**30))),
    lambda random: random.choice((0.5, -0.0, 1e308, 1.7e9)),
    lambda random: Raw(random.choice(("1e999", "-1e999", "NaN", "-Infinity", "9" * 5000, "-0", "1E+2"))),
    lambda random: random.choice(("", " ", "\0", "a\0b", "\t\r\n", "null", "0", "-1", "1e5", "__proto__")),
    lambda random: random.choice(
        ("\ud800", "\udc00x", "half \ud83d", "\ud83d\ude00", "\uffff", "\u202eevil")
    ),
    lambda random: random.choice(
        ("\u0663\u0664", "\u00b2", "+1 (202) 555-0117", "\uff11\uff12", "١٢٣٤٥٦٧٨٩٠")
    ),
    lambda random: random.choice(
        ('"', "\\", '","', "{", "}", '{"', '\\\\"', "NULL", "'; DROP TABLE books; --")
    ),
    lambda random: (
        random.choice(("x", "9", "\u00e9", "\0", "=", "{", ";a=")) * random.choice((65, 600, 3000, 40_000))
    ),
    lambda random: random.choice(([], {}, [[]], [{}], {"": None}, [None, 1, "x"], {"a": {"b": [1]}})),
    lambda random: "".join(
        random.choices(random.choice(_ALPHABETS), k=random.choice((20, 170, 600, 3000, 40_000)))
    ),
    lambda random: [random.choice((1, "x", None))] * random.choice((100, 3000)),
    lambda random: _bomb(random.choice((40, 70, 900, 1100, 20_000)), random.choice(("[]", "{}"))),
)


def _bomb(depth: int, brackets: str) -> Raw:
    if brackets == "[]":
        return Raw("[" * depth + "]" * depth)
    return Raw('{"a":' * depth + "1" + "}" * depth)


def deliver(random: Random, serial: str, now: int) -> Delivery:
    """A sample with one entry, change or item mutated, and good statuses around it on every level."""
    made = Delivery()
    good = _Neighbours(made, serial, now)
    document = copy.deepcopy(random.choice(SAMPLES))
    place = random.choice(list(_places(document)))
    place.items[place.index] = mutate(random, place.items[place.index])
    if place.kind == "item" and place.applied and place.name in ("statuses", "messages"):
        neighbour = good.status if place.name == "statuses" else good.message
        place.items.insert(0, neighbour())
        place.items.append(neighbour())
    if place.kind != "entry" and (changes := place.changes):
        changes.insert(0, good.change())
        changes.append(good.change())
    document["entry"] = [good.entry(), *document["entry"], good.entry()]
    if random.random() < 0.005:
        document["padding"] = "x" * random.choice((500_000, 2_900_000, 3_300_000))
    made.body = as_json(document, ascii_only=random.random() < 0.7)
    return made


def garble(random: Random, body: bytes) -> bytes:
    """The body with some of its bytes changed, lost, repeated or put elsewhere."""
    changed = bytearray(body)
    for _ in range(random.choice((1, 1, 2, 5, 30))):
        at = random.randrange(len(changed) + 1)
        piece = bytes(changed[at : at + random.choice((1, 2, 8, 60, 400))])
        match random.randrange(6):
            case 0 if at < len(changed):
                changed[at] ^= 1 << random.randrange(8)
            case 1:
                changed[at:at] = random.randbytes(random.choice((1, 1, 4, 100)))
            case 2:
                del changed[at : at + len(piece)]
            case 3:
                changed[at:at] = piece * random.choice((1, 2, 200))
            case 4:
                changed[at:at] = random.choice(_TOKENS)
            case _:
                del changed[at:]
                changed += random.choice((b"", b"}", b"]}]}", b'"', b"\xff"))
    return bytes(changed)


_TOKENS = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b'"',
        b"\\",
        b"\\u",
        b"\\ud83d",
        b"\\u0000",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
    ),
    *(b"null", b"true", b"-", b"1e999", b"/**/", b"\x00", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
)


def mutate(random: Random, item: Any) -> Any:
    """The item, changed in one to four places; sometimes something else altogether."""
    if type(item) is not dict or random.random() < 0.03:
        return random.choice(WEIRD)(random)
    changed = copy.deepcopy(item)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        changed = _change_once(random, changed)
    return changed


def _change_once(random: Random, item: Any) -> Any:
    holders = list(_containers(item))
    if not holders:
        return item
    holder = random.choice(holders)
    odd = random.choice(WEIRD)(random)
    if type(holder) is list:
        at = random.randrange(len(holder) + 1)
        if random.random() < 0.5 and at < len(holder):
            holder[at] = odd
        else:
            holder.insert(at, odd)
        return item
    key = random.choice(list(holder)) if holder else "added"
    match random.randrange(8):
        case 0:
            holder.pop(key, None)
        case 1:
            held = holder.pop(key, odd)
            holder[random.choice((key.upper(), key + "s", "", "\0", "\ud800", "x" * 5000))] = held
        case 2:
            holder[random.choice(("new_in_2027", "id", "errors", "timestamp", "type", ""))] = odd
        case 3:
            other = random.choice(list(holder)) if holder else key
            holder[key], holder[other] = holder.get(other), holder.get(key)
        case 4:
            held = holder.get(key)
            holder[key] = random.choice((str(held), [held], {"was": held}, {key: held, "": held}))
        case 5 if item is holder:
            pairs = list(holder.items())
            return Pairs([*pairs, (key, odd), *pairs[:1]])
        case _:
            holder[key] = odd
    return item


def _containers(held: Any) -> Iterator[Any]:
    if type(held) is dict or type(held) is list:
        yield held
        for inner in held.values() if type(held) is dict else held:
            yield from _containers(inner)


@dataclass
class _Place:
    """A list of the document and an element of it; `applied`: whether good items beside it are to be stored."""

    kind: str
    name: str
    items: list[Any]
    index: int
    changes: list[Any] | None = None
    applied: bool = False


def _places(document: dict[str, Any]) -> Iterator[_Place]:
    entries = document.setdefault("entry", [])
    document["object"] = "whatsapp_business_account"
    if not entries:
        entries.append({"id": "1", "changes": [{"field": "messages", "value": value(status())}]})
    for at, entry in enumerate(entries):
        yield _Place("entry", "entry", entries, at)
        if type(changes := entry.get("changes")) is not list or entry.get("id") == "0":
            continue
        for index, change in enumerate(changes):
            yield _Place("change", "changes", changes, index, changes)
            held = change.get("value")
            if type(held) is not dict:
                continue
            number = (held.get("metadata") or {}).get("phone_number_id")
            applied = change.get("field") == "messages" and number != "123456123"
            for name in ITEM_LISTS:
                items = held.get(name)
                for position in range(len(items) if type(items) is list else 0):
                    yield _Place("item", name, items, position, changes, applied)


class _Neighbours:
    """Makes good items and writes down their ids."""

    def __init__(self, made: Delivery, serial: str, now: int) -> None:
        self._made, self._serial, self._now = made, serial, now

    def status(self) -> dict[str, Any]:
        message_id = f"wamid.good.{self._serial}.{len(self._made.statuses)}"
        self._made.statuses.append(message_id)
        return status(message_id, "sent", self._now - len(self._made.statuses))

    def message(self) -> dict[str, Any]:
        message_id = f"wamid.wrote.{self._serial}.{len(self._made.messages)}"
        self._made.messages.append(message_id)
        return message(message_id, self._now)

    def change(self) -> dict[str, Any]:
        return {"field": "messages", "value": value(self.status())}

    def entry(self) -> dict[str, Any]:
        return {"id": "384610027715590", "changes": [self.change()]}


def as_json(document: Any, *, ascii_only: bool) -> bytes:
    """As Meta writes it, or in UTF-8; lone surrogates so written are none."""
    return "".join(_text(document, ascii_only=ascii_only)).encode("utf-8", "surrogatepass")


def _text(held: Any, *, ascii_only: bool) -> Iterator[str]:
    if type(held) is Raw:
        yield str(held)
    elif isinstance(held, (dict, Pairs)):
        pairs = held.items() if isinstance(held, dict) else held
        for number, (key, inner) in enumerate(pairs):
            yield ("," if number else "{") + json.dumps(key, ensure_ascii=ascii_only) + ":"
            yield from _text(inner, ascii_only=ascii_only)
        yield "}" if pairs else "{}"
    elif type(held) is list:
        for number, inner in enumerate(held):
            yield "," if number else "["
            yield from _text(inner, ascii_only=ascii_only)
        yield "]" if held else "[]"
    else:
        yield json.dumps(held, ensure_ascii=ascii_only)
