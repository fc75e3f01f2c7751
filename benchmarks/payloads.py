"""Signed webhook requests as Meta sends them, generated in advance so that the load client only writes bytes.

The same seed and `now` give the same bytes. All people are invented.
"""

import base64
import hmac
from collections import deque
from collections.abc import Iterator
from itertools import count, cycle, islice
from random import Random
from typing import NamedTuple

FAILED_SHARE = 0.03
CONTACTS = 20_000
"""Number of recipients."""
MESSAGES_PER_SECOND = 1000
"""How many messages of one business number are sent in one second of their times."""
BUSINESS_NUMBERS = (("590238114470021", "13125550199"), ("590238114470038", "13125550184"))
CAMPAIGNS = tuple(
    f"campaign={campaign};template={template};seg=14"
    for campaign in ("autumn26", "renewals")
    for template in ("promo_coupon_v3", "order_update", "appointment_reminder")
)
# Calling code and start of a mobile number, number of digits that follow, ISO 3166 country of the BSUID.
NUMBERING = (
    ("1202", 7, "US"),
    ("1312", 7, "US"),
    ("55119", 8, "BR"),
    ("9198", 8, "IN"),
    ("5255", 8, "MX"),
    ("49171", 7, "DE"),
    ("447700", 6, "GB"),
    ("62812", 8, "ID"),
)

ENVELOPE = (
    '{"object":"whatsapp_business_account","entry":[{"id":"384610027715590","changes":[{"value":'
    '{"messaging_product":"whatsapp","metadata":{"display_phone_number":"%s","phone_number_id":"%s"},'
    '%s"statuses":[%s]},"field":"messages"}]}]}'
)
CONTACT = '{"profile":{"name":"Customer %s"},"wa_id":"%s","user_id":"%s"}'
STATUS = (
    '{"id":"%s","status":"%s","timestamp":"%d","recipient_id":"%s","recipient_user_id":"%s",'
    '"biz_opaque_callback_data":"%s"%s}'
)
PRICING = ',"pricing":{"billable":true,"pricing_model":"PMP","category":"marketing","type":"regular"}'
FAILED = (
    '{"id":"%s","status":"failed","timestamp":"%d","recipient_id":"%s","biz_opaque_callback_data":"%s",'
    '"errors":[{"code":131026,"title":"Message undeliverable","message":"Message undeliverable",'
    '"error_data":{"details":"Unable to deliver the message. Reasons can include that the recipient number '
    'is not a WhatsApp number or uses an old app version."},'
    r'"href":"\/documentation\/business-messaging\/whatsapp\/support\/error-codes"}]}'
)
HEAD = (
    "POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\nUser-Agent: facebookexternalua\r\n"
    "Content-Type: application/json\r\nContent-Length: %d\r\nX-Hub-Signature-256: sha256=%s\r\n\r\n"
)


class BenchmarkMessage(NamedTuple):
    """One sent message: the values that its three statuses share."""

    wamid: str
    phone: str
    user_id: str
    callback_data: str
    failed: bool


class Item(NamedTuple):
    """One status and its contact (empty for a failure)."""

    status: str
    contact: str


def posts(statuses: int, *, secret: bytes, now: int, seed: int) -> Iterator[bytes]:
    """Generate endless HTTP requests with `statuses` statuses each, with times in the minute before `now`.

    Times never decrease, as with Meta: a webhook is sent soon after what it reports.
    """
    random = Random(seed)
    # Far enough apart that two statuses of one message are never in flight together on 64 connections.
    streams = [_items(random, now, lag=50 * statuses) for _ in BUSINESS_NUMBERS]
    for number, stream in cycle(list(zip(BUSINESS_NUMBERS, streams, strict=True))):
        yield request(_body(number, list(islice(stream, statuses))), secret)


def _items(random: Random, now: int, lag: int) -> Iterator[Item]:
    """Generate the endless statuses of one number: a message is sent, `lag` messages later delivered, then read.

    The first delivered and read messages were sent before the measurement.
    """
    recent = deque((_message(random) for _ in range(2 * lag)), maxlen=2 * lag + 1)
    for place in count():
        at = now - 60 + min(place // MESSAGES_PER_SECOND, 59)
        message = _message(random)
        recent.append(message)
        yield (
            _failed_status(message, at) if message.failed else _delivered_status(message, "sent", at, PRICING)
        )
        if not (earlier := recent[-1 - lag]).failed:
            yield _delivered_status(earlier, "delivered", at, PRICING)
        if not (earlier := recent[0]).failed:
            yield _delivered_status(earlier, "read", at, "")


def _message(random: Random) -> BenchmarkMessage:
    contact = random.randrange(CONTACTS)
    start, digits, country = NUMBERING[contact % len(NUMBERING)]
    phone = f"{start}{contact * 7919 % 10**digits:0{digits}d}"
    unique = f"{random.getrandbits(72):018X}"
    inside = b"\x1c\x18%c%b\x15\x02\x00\x11\x18\x12%b\x00" % (len(phone), phone.encode(), unique.encode())
    return BenchmarkMessage(
        wamid="wamid." + base64.b64encode(inside).decode(),
        phone=phone,
        user_id=f"{country}.{7 * 10**19 + contact}",
        callback_data=random.choice(CAMPAIGNS),
        failed=random.random() < FAILED_SHARE,
    )


def _delivered_status(message: BenchmarkMessage, status: str, at: int, pricing: str) -> Item:
    wamid, phone, user_id, callback_data, _ = message
    return Item(
        STATUS % (wamid, status, at, phone, user_id, callback_data, pricing),
        CONTACT % (phone[-4:], phone, user_id),
    )


def _failed_status(message: BenchmarkMessage, at: int) -> Item:
    return Item(FAILED % (message.wamid, at, message.phone, message.callback_data), "")


def _body(number: tuple[str, str], items: list[Item]) -> bytes:
    contacts = ",".join(item.contact for item in items if item.contact)
    phone_number_id, display = number
    body = ENVELOPE % (
        display,
        phone_number_id,
        f'"contacts":[{contacts}],' if contacts else "",
        ",".join(item.status for item in items),
    )
    return body.encode()


def request(body: bytes, secret: bytes) -> bytes:
    """Return the signed HTTP request with this body."""
    return (HEAD % (len(body), hmac.digest(secret, body, "sha256").hex())).encode() + body
