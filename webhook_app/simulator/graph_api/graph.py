"""The simulated Graph API: one call in, its answer and the webhooks that follow out. It reads no clock, sends nothing.

Its state: counts of calls, service windows, uploaded media.
"""

import random
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from webhook_app.simulator.graph_api.account import SimulatedAccount
from webhook_app.simulator.graph_api.answers import (
    GraphAnswer,
    GraphRefusal,
    error_answer,
    no_such_object,
    refusal,
    refusal_with_meaning,
)
from webhook_app.simulator.graph_api.limits import Allowed, Limits
from webhook_app.simulator.graph_api.message_faults import body_faults
from webhook_app.simulator.graph_api.reads import read, token_fault
from webhook_app.simulator.graph_api.recipients import Recipient, read_recipient
from webhook_app.simulator.graph_api.statuses import AcceptedSend, status_changes
from webhook_app.simulator.graph_api.template_faults import find_template, template_faults
from webhook_app.simulator.graph_api.triggers import Triggers, is_in_the_answer
from webhook_app.simulator.messages import REPLY, BusinessNumber, Json, SimulatedMessage, Template, wamid
from webhook_app.simulator.payloads import TimedChange, inbound_change

WINDOW = timedelta(hours=24)
WINDOW_CLOSED = 131047
MARKETING_WITHHELD = 131049
_LAST_VERSION_WITH_CONVERSATION = 23


class GraphCall(Struct, frozen=True, kw_only=True):
    """One HTTP request. `path` is without version; `body` is the JSON, or None if it is none."""

    method: str
    path: str
    token: str
    version: int = 25
    query: Mapping[str, str] = {}
    body: Any = None


class GraphResult(Struct, frozen=True):
    """The answer to a call and the webhooks that follow it."""

    answer: GraphAnswer
    changes: tuple[TimedChange, ...] = ()


class SimulatedGraph:
    """Answers calls. Any number of threads may call it."""

    def __init__(
        self,
        account: SimulatedAccount,
        triggers: Triggers | None = None,
        allowed: Allowed | None = None,
        *,
        seed: int = 1,
        delay_s: float = 1.0,
        windows_are_open: bool = False,
    ) -> None:
        self.account = account
        self.limits = Limits(allowed or Allowed())
        self._triggers = triggers or Triggers()
        self._rolls = random.Random(seed)  # noqa: S311 no secret
        self._ids = random.Random()  # noqa: S311 no secret; another run makes other ids
        self._delay_s = delay_s
        self._windows_are_open = windows_are_open
        self._inbound_at: dict[tuple[str, str], datetime] = {}
        """When a person last wrote to a business number, by the person's number and user id."""
        self._media: set[str] = set()
        self._lock = threading.Lock()

    def answer(self, call: GraphCall, now: datetime) -> GraphResult:
        """Answer one call to the Graph API."""
        with self._lock:
            found = self._answer(call, now)
            return GraphResult(self._refused(found)) if isinstance(found, GraphRefusal) else found

    def inbound(self, body: Any, now: datetime) -> GraphResult:
        """Let a person write to a business number: this opens the service window, and a webhook says so."""
        given = body if isinstance(body, dict) else {}
        sender = read_recipient({"to": given.get("from")})
        number = self.account.number(
            str(given.get("phone_number_id") or self.account.numbers[0].phone_number_id)
        )
        if isinstance(sender, GraphRefusal) or number is None:
            said = (
                "expected {from, text, phone_number_id}: a number with country code, and one of our numbers"
            )
            return GraphResult(GraphAnswer(400, {"error": {"message": said}}))
        with self._lock:
            for key in (sender.person.phone, sender.person.user_id):
                self._inbound_at[number.phone_number_id, key] = now
            text, is_button = str(given.get("text", "Hello")), given.get("button") is True
            change = inbound_change(self._ids, number, sender.person, now, text, button=is_button)
        message_id = change["value"]["messages"][0]["id"]
        answer = GraphAnswer(200, {"message_id": message_id, "from": sender.person.phone})
        return GraphResult(answer, (TimedChange(now, number.waba_id, change),))

    def _refused(self, fault: GraphRefusal) -> GraphAnswer:
        return error_answer(fault, f"A{self._ids.getrandbits(64):016x}")

    def _answer(self, call: GraphCall, now: datetime) -> GraphResult | GraphRefusal:
        if fault := token_fault(self.account, call.token, call.query):
            return fault
        if (code := self.limits.count_call(now.timestamp())) is not None:
            return refusal_with_meaning(code)
        if call.method == "GET":
            found = read(self.account, call.path, call.query, call.token)
            return found if isinstance(found, GraphRefusal) else GraphResult(GraphAnswer(200, found))
        node_id, _, edge = call.path.partition("/")
        number = self.account.number(node_id)
        if number is None or call.method != "POST" or edge not in ("messages", "media"):
            return no_such_object(call.method.lower(), node_id)
        if edge == "media":
            media_id = str(self._ids.randrange(10**15, 10**16))
            self._media.add(media_id)
            return GraphResult(GraphAnswer(200, {"id": media_id}))
        return self._send(number, call, now)

    def _send(self, number: BusinessNumber, call: GraphCall, now: datetime) -> GraphResult | GraphRefusal:
        body = call.body if isinstance(call.body, dict) else {}
        if fault := next(_envelope_faults(body), None):
            return fault
        if body.get("status") == "read":
            known = bool(body.get("message_id"))
            missing = refusal(100, message="The parameter message_id is required.")
            return GraphResult(GraphAnswer(200, {"success": True})) if known else missing
        recipient = read_recipient(body)
        if isinstance(recipient, GraphRefusal):
            return recipient
        code = self._triggers.code_for(recipient.key, self._rolls.random())
        if code is not None and is_in_the_answer(code):
            return refusal_with_meaning(code)
        fault = next(self._message_faults(number, recipient, body, now), None)
        return fault or self._accept(number, recipient, code, call, now)

    def _message_faults(
        self, number: BusinessNumber, recipient: Recipient, body: Json, now: datetime
    ) -> Iterator[GraphRefusal]:
        """The faults of a message; without one it counts as sent."""
        if recipient.key == number.display:
            yield refusal(131021)
        yield from body_faults(body, self._media)
        if body.get("type") == "template":
            yield from template_faults(
                self.account.templates,
                body["template"],
                self._media,
                to_user_id=not recipient.person.phone,
            )
        limit = self.limits.count_send(number.phone_number_id, recipient.key, now.timestamp())
        if limit is not None:
            yield refusal_with_meaning(limit)

    def _accept(
        self, number: BusinessNumber, recipient: Recipient, code: int | None, call: GraphCall, now: datetime
    ) -> GraphResult:
        body, person = call.body, recipient.person
        message_id = wamid(self._ids, person)
        kind = body.get("type", "text")
        row = find_template(self.account.templates, body["template"]) if kind == "template" else None
        template = _template_of(row)
        if code is None and not template.name and not self._window_is_open(number, recipient, now):
            code = WINDOW_CLOSED
        if code is None and template.category == "marketing" and person.country == "US":
            code = MARKETING_WITHHELD  # Meta delivers no marketing template to +1 since April 2025
        data = str(body.get("biz_opaque_callback_data", ""))
        message = SimulatedMessage(message_id, number, person, template, "", now, data)
        has_conversation = call.version <= _LAST_VERSION_WITH_CONVERSATION
        accepted = AcceptedSend(message, kind, code, has_conversation)
        contact = {"input": recipient.given}
        if person.phone:
            contact["wa_id"] = person.phone
        if body.get("recipient"):
            contact["user_id"] = str(body["recipient"])
        sent = {"id": message_id} | ({"message_status": "accepted"} if template.name else {})
        answer: Json = {"messaging_product": "whatsapp", "contacts": [contact], "messages": [sent]}
        return GraphResult(GraphAnswer(200, answer), tuple(status_changes(accepted, self._delay_s)))

    def _window_is_open(self, number: BusinessNumber, recipient: Recipient, now: datetime) -> bool:
        key = recipient.person.phone or recipient.person.user_id
        at = self._inbound_at.get((number.phone_number_id, key))
        return self._windows_are_open or (at is not None and now - at < WINDOW)


def _envelope_faults(body: Json) -> Iterator[GraphRefusal]:
    product = body.get("messaging_product")
    if not product:
        yield refusal(100, message="The parameter messaging_product is required.")
    elif str(product).lower() != "whatsapp":
        yield refusal(100, message="Param messaging_product must be one of {WHATSAPP}")
    if body.get("recipient_type") == "group":
        yield refusal(131041)


def _template_of(row: Json | None) -> Template:
    if row is None:
        return REPLY
    category = str(row.get("category", "utility")).lower()
    return Template(str(row["name"]), category, "", language=str(row["language"]))
