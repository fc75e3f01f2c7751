"""What recipients send after reading a message: usually nothing, sometimes a reply or an opt-out. Values only."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from msgspec import Struct

from webhook_app.simulator.messages import Json, SimulatedMessage
from webhook_app.simulator.payloads import inbound_change, preference_change

_OPT_IN_AGAIN_SHARE = 0.4
_STOP_TEXTS = ("STOP", "Stop", "stop.", "Unsubscribe")
_REPLY_TEXTS = (
    "Thanks!",
    "Is the shop open on Sunday?",
    "Merci \N{WHITE SMILING FACE}",
    "Open 24/7? Write to me@shop.test",  # a slash and an @: characters that Meta escapes on the wire
)


class CustomerReply(Struct, frozen=True):
    """A change caused by a recipient; `preference` is 'stop' or 'resume' for a marketing preference."""

    at: datetime
    change: Json
    preference: str = ""


def draw_replies(
    rng: random.Random,
    message: SimulatedMessage,
    read_at: datetime,
    replies_share: float,
    opt_outs_share: float,
) -> Iterator[CustomerReply]:
    """Return what the reader of a message sends back, in order of time."""
    roll = rng.random()
    at = read_at + timedelta(seconds=1 + rng.expovariate(1 / 5))
    if roll < opt_outs_share:
        yield from _opt_out(rng, message, at)
    elif roll < opt_outs_share + replies_share:
        yield _text_reply(rng, message, at, rng.choice(_REPLY_TEXTS))


def _opt_out(rng: random.Random, message: SimulatedMessage, at: datetime) -> Iterator[CustomerReply]:
    """Opt out in one of three ways; some recipients opt in again later."""
    way = rng.choice(("preference", "text", "button"))
    opt_in_at = at + timedelta(seconds=2 + rng.expovariate(1 / 20))
    opts_in_again = rng.random() < _OPT_IN_AGAIN_SHARE
    if way == "preference":
        yield _preference_reply(message, at, "stop")
    else:
        text = "Stop promotions" if way == "button" else rng.choice(_STOP_TEXTS)
        yield _text_reply(rng, message, at, text, button=way == "button")
    if opts_in_again and way == "preference":
        yield _preference_reply(message, opt_in_at, "resume")
    elif opts_in_again:
        yield _text_reply(rng, message, opt_in_at, "START")


def _text_reply(
    rng: random.Random, message: SimulatedMessage, at: datetime, text: str, *, button: bool = False
) -> CustomerReply:
    return CustomerReply(at, inbound_change(rng, message.number, message.person, at, text, button=button))


def _preference_reply(message: SimulatedMessage, at: datetime, preference: str) -> CustomerReply:
    return CustomerReply(at, preference_change(message.number, message.person, at, preference), preference)
