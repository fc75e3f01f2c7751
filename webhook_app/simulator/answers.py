"""What people do after reading: nothing mostly, a reply, or opting out and perhaps coming back. Pure."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.simulator.changes import inbound_change, preference_change
from webhook_app.simulator.message_events import Json, SimulatedMessage

_COME_BACK_SHARE = 0.4
_STOP_TEXTS = ("STOP", "Stop", "stop.", "Unsubscribe")
_REPLY_TEXTS = (
    "Thanks!",
    "Is the shop open on Sunday?",
    "Merci \N{WHITE SMILING FACE}",
    "Open 24/7? Write to me@shop.test",  # a slash and an @: characters that Meta escapes on the wire
)


class Reaction(Struct, frozen=True):
    """A change that comes from a person; `wish` is 'stop' or 'resume' if it is a marketing preference."""

    at: datetime
    change: Json
    wish: str = ""


def answers(
    rng: random.Random,
    message: SimulatedMessage,
    read_at: datetime,
    replies_share: float,
    opt_outs_share: float,
) -> Iterator[Reaction]:
    """What the reader of a message sends back, in order of time."""
    roll = rng.random()
    at = read_at + timedelta(seconds=1 + rng.expovariate(1 / 5))
    if roll < opt_outs_share:
        yield from _opt_out(rng, message, at)
    elif roll < opt_outs_share + replies_share:
        yield _written(rng, message, at, rng.choice(_REPLY_TEXTS))


def _opt_out(rng: random.Random, message: SimulatedMessage, at: datetime) -> Iterator[Reaction]:
    """Stops in one of three ways; some undo it after a while."""
    way = rng.choice(("preference", "text", "button"))
    again = at + timedelta(seconds=2 + rng.expovariate(1 / 20))
    comes_back = rng.random() < _COME_BACK_SHARE
    if way == "preference":
        yield _preferred(message, at, "stop")
    else:
        text = "STOP" if way == "button" else rng.choice(_STOP_TEXTS)
        yield _written(rng, message, at, text, button=way == "button")
    if comes_back:
        resumed = way == "preference"
        yield _preferred(message, again, "resume") if resumed else _written(rng, message, again, "START")


def _written(
    rng: random.Random, message: SimulatedMessage, at: datetime, text: str, *, button: bool = False
) -> Reaction:
    return Reaction(at, inbound_change(rng, message.number, message.person, at, text, button=button))


def _preferred(message: SimulatedMessage, at: datetime, wish: str) -> Reaction:
    return Reaction(at, preference_change(message.number, message.person, at, wish), wish)
