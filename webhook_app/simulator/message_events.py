"""Whole message lives as values: what Meta reports about a message, step by step, in the shape of Graph v24.

No clock and no chance of its own: the time comes with the message, every choice from the given random.Random.
"""

import base64
import json
import random
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from webhook_app.simulator import faults
from webhook_app.simulator.people import Person
from webhook_app.simulator.senders import BusinessNumber, Template

Json = dict[str, Any]

FATES: dict[str, tuple[str, ...]] = {
    "delivered and read": ("sent", "delivered", "read"),
    "delivered": ("sent", "delivered"),
    "read at once": ("sent", "read"),
    "silent": ("sent",),
    "refused": ("failed",),
    "sent and failed": ("sent", "failed"),
    "other device": ("failed", "delivered"),
}
_HEALTHY = {"delivered and read": 60, "delivered": 26, "read at once": 9, "silent": 5}
_FAILED = {"refused": 65, "sent and failed": 35}
_MAYBE_OTHER_DEVICE = {"refused": 55, "sent and failed": 30, "other device": 15}
_ONE_DEVICE_OF_SEVERAL = frozenset((131000,))

# Shortest and mean further seconds since the step before; people read later than this, but a run is short.
_DELAYS = {"sent": (0.2, 0.3), "delivered": (0.3, 1.5), "read": (1.0, 15.0), "failed": (0.3, 1.5)}
_LONGEST_DELAY_S = 90.0

_MARKER_OUT = b"\x15\x02\x00\x11\x18\x12"
_MARKER_IN = b"\x15\x02\x00\x12\x18\x14"


class SimulatedMessage(Struct, frozen=True):
    """One message on its way: who to whom, what, and when it left (aware UTC)."""

    wamid: str
    number: BusinessNumber
    person: Person
    template: Template
    campaign: str
    sent_at: datetime


class SimulatedStatus(Struct, frozen=True):
    """One status and the moment Meta has it to tell."""

    due: datetime
    status: Json


def wamid(rng: random.Random, person: Person, *, inbound: bool = False) -> str:
    """A message id as Meta makes them: base64 of a short record that holds the person's digits in clear."""
    digits = (person.phone or person.user_id.partition(".")[2]).encode()
    length, marker = (20, _MARKER_IN) if inbound else (18, _MARKER_OUT)
    unique = f"{rng.getrandbits(length * 4):0{length}X}".encode()
    record = b"\x1c\x18" + bytes([len(digits)]) + digits + marker + unique + b"\x00"
    return "wamid." + base64.b64encode(record).decode()


def fate(rng: random.Random, code: int | None) -> tuple[str, ...]:
    """The statuses one message will get, in order; `code` is what befalls it, None for nothing."""
    failed = _MAYBE_OTHER_DEVICE if code in _ONE_DEVICE_OF_SEVERAL else _FAILED
    weights = _HEALTHY if code is None else failed
    return FATES[rng.choices(list(weights), list(weights.values()))[0]]


def life(rng: random.Random, message: SimulatedMessage, code: int | None) -> tuple[SimulatedStatus, ...]:
    """Every status of the message in the order it comes about, with Meta's timestamps in seconds."""
    steps, due, priced = [], message.sent_at, set[str]()
    for name in fate(rng, code):
        due += timedelta(seconds=_delay(rng, name))
        status = _status(message, name, due)
        if name == "failed" and code is not None:
            status["errors"] = [faults.error(code)]
        elif name == "sent" or not priced - {"sent"}:
            priced.add(name)
            status["pricing"] = _pricing(message.template.category)
        steps.append(SimulatedStatus(due, status))
    return tuple(steps)


def _delay(rng: random.Random, name: str) -> float:
    shortest, mean = _DELAYS[name]
    return min(shortest + rng.expovariate(1 / mean), _LONGEST_DELAY_S)


def _status(message: SimulatedMessage, name: str, due: datetime) -> Json:
    """A failed status tells only the address that was used, the others the user id too (Meta, April 2026)."""
    person = message.person
    status: Json = {"id": message.wamid, "status": name, "timestamp": str(int(due.timestamp()))}
    if person.phone:
        status["recipient_id"] = person.phone
    if name != "failed" or not person.phone:
        status["recipient_user_id"] = person.user_id
    if callback := _callback_data(message):
        status["biz_opaque_callback_data"] = callback
    return status


def _callback_data(message: SimulatedMessage) -> str:
    if not message.template.name:
        return ""
    labels = {"template": message.template.name, "campaign": message.campaign}
    if message.number.callback == "json":
        return json.dumps(labels, separators=(",", ":"))
    return ";".join(f"{key}={value}" for key, value in labels.items())


def _pricing(category: str) -> Json:
    free = category == "service"
    return {
        "billable": not free,
        "pricing_model": "PMP",
        "category": category,
        "type": "free_customer_service" if free else "regular",
    }
