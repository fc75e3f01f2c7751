"""Messages of the simulated business and their statuses, in the shape of Graph v24. Values only.

All ids are invented. It reads no clock: times follow from `sent_at`, choices from the given random.Random.
"""

import base64
import json
import random
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from webhook_app.simulator import faults
from webhook_app.simulator.people import Person

Json = dict[str, Any]


class BusinessNumber(Struct, frozen=True):
    """A number that sends. `callback` is the format of its callback data: 'json' or 'pairs'."""

    waba_id: str
    phone_number_id: str
    display: str
    callback: str


class Template(Struct, frozen=True):
    """A message template. A reply inside the service window has neither name nor id."""

    name: str
    category: str
    campaign: str
    template_id: int = 0
    language: str = "en_US"


NUMBERS = (
    BusinessNumber("384610027715590", "590238114470021", "13125550199", "json"),
    BusinessNumber("384610027715590", "590238114470077", "13125550142", "json"),
    BusinessNumber("384610027715591", "590238114470103", "447700900999", "pairs"),
)

SEASONAL_OFFER = Template("seasonal_offer", "marketing", "autumn", 918273645501928)
WIN_BACK = Template("we_miss_you", "marketing", "win-back", 918273645501944)
ORDER_UPDATE = Template("order_update", "utility", "orders", 918273645501931)
LOGIN_CODE = Template("login_code", "authentication", "logins", 918273645501936)
REPLY = Template("", "service", "support")

EVERYDAY: tuple[tuple[Template, int], ...] = (
    (SEASONAL_OFFER, 35),
    (ORDER_UPDATE, 40),
    (LOGIN_CODE, 15),
    (REPLY, 10),
)
"""Templates the business sends on an ordinary day, with weights."""

OUTCOMES: dict[str, tuple[str, ...]] = {
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

# Shortest and mean additional seconds after the status before. Real people read later, but a run is short.
_DELAYS = {"sent": (0.2, 0.3), "delivered": (0.3, 1.5), "read": (1.0, 15.0), "failed": (0.3, 1.5)}
_LONGEST_DELAY_S = 90.0

_MARKER_OUT = b"\x15\x02\x00\x11\x18\x12"
_MARKER_IN = b"\x15\x02\x00\x12\x18\x14"


class SimulatedMessage(Struct, frozen=True):
    """One sent message: sender, recipient, template, campaign and time (aware UTC)."""

    wamid: str
    number: BusinessNumber
    person: Person
    template: Template
    campaign: str
    sent_at: datetime
    callback_data: str | None = None
    """None: template and campaign, in the number's format."""


class SimulatedStatus(Struct, frozen=True):
    """One status and the time at which it occurs."""

    due: datetime
    status: Json


def wamid(rng: random.Random, person: Person, *, inbound: bool = False) -> str:
    """Return a message id in Meta's format: base64 of a short record that contains the person's digits."""
    digits = (person.phone or person.user_id.partition(".")[2]).encode()
    length, marker = (20, _MARKER_IN) if inbound else (18, _MARKER_OUT)
    unique = f"{rng.getrandbits(length * 4):0{length}X}".encode()
    record = b"\x1c\x18" + bytes([len(digits)]) + digits + marker + unique + b"\x00"
    return "wamid." + base64.b64encode(record).decode()


def draw_outcome(rng: random.Random, code: int | None) -> tuple[str, ...]:
    """Return the statuses of one message in order. `code` is its error code, None for a message that does not fail."""
    failed = _MAYBE_OTHER_DEVICE if code in _ONE_DEVICE_OF_SEVERAL else _FAILED
    weights = _HEALTHY if code is None else failed
    return OUTCOMES[rng.choices(list(weights), list(weights.values()))[0]]


def status_events(
    rng: random.Random, message: SimulatedMessage, code: int | None
) -> tuple[SimulatedStatus, ...]:
    """Return every status of the message in the order in which they occur, with timestamps in seconds."""
    events, due, priced = [], message.sent_at, set[str]()
    for name in draw_outcome(rng, code):
        due += timedelta(seconds=_delay(rng, name))
        status = status_of(message, name, due)
        if name == "failed" and code is not None:
            status["errors"] = [faults.error_object(code)]
        elif name == "sent" or not priced - {"sent"}:
            priced.add(name)
            status["pricing"] = pricing_of(message.template.category)
        events.append(SimulatedStatus(due, status))
    return tuple(events)


def _delay(rng: random.Random, name: str) -> float:
    shortest, mean = _DELAYS[name]
    return min(shortest + rng.expovariate(1 / mean), _LONGEST_DELAY_S)


def status_of(message: SimulatedMessage, name: str, due: datetime) -> Json:
    """Return a status; a failed one has only the address that was used, others also the user id (Meta, April 2026)."""
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
    if message.callback_data is not None:
        return message.callback_data
    if not message.template.name:
        return ""
    labels = {"template": message.template.name, "campaign": message.campaign}
    if message.number.callback == "json":
        return json.dumps(labels, separators=(",", ":"))
    return ";".join(f"{key}={value}" for key, value in labels.items())


def pricing_of(category: str) -> Json:
    """Return the price object of a status."""
    free = category == "service"
    return {
        "billable": not free,
        "pricing_model": "PMP",
        "category": category,
        "type": "free_customer_service" if free else "regular",
    }
