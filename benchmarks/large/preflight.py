"""Single messages judged before the send, with the templates of a large account stored."""

import json
import random
from datetime import UTC, datetime

from benchmarks.large.filling import Target
from benchmarks.large.http_client import Client, Measurement
from benchmarks.large.people import contact_of
from webhook_app.store.accounts import numbers, templates
from webhook_app.store.accounts.numbers import ListedNumber
from webhook_app.store.postgres.engine import make_engine
from webhook_app.whatsapp.accounts.template_answers import read_template

TEMPLATES, SINGLE_P50_MS = 6_000, 2.0
_NUMBER, _WABA = "106000000000001", "555000000000001"


def add_templates(target: Target) -> None:
    """Store a number, and as many templates of its account as Meta allows."""
    now = datetime.now(UTC)
    number = ListedNumber(
        phone_number_id=_NUMBER,
        waba_id=_WABA,
        display_phone_number="+49301234567",
        status="CONNECTED",
        read_at=now,
    )
    components = [{"type": "BODY", "text": "Hi {{1}}, order {{2}} is ready"}]
    row = {"language": "en_US", "status": "APPROVED", "category": "UTILITY", "components": components}
    found = [read_template(row | {"name": f"order_{n}", "id": str(n)}, _WABA) for n in range(TEMPLATES)]
    engine = make_engine(target.url, application="benchmark", pool_size=0)
    with engine.begin() as connection:
        numbers.save(connection, [number])
        templates.save(connection, _WABA, found, [], [], now)
        templates.save_reading(connection, _WABA, len(found), now)


def single(client: Client, people: int, rounds: int = 400) -> Measurement:
    """Template messages to random people, one after another."""
    measured = Measurement("POST /v1/preflight of one message", SINGLE_P50_MS, share=0.5)
    rng = random.Random(5)
    for index in range(rounds + 20):
        answer = client.send("/v1/preflight", json.dumps(_message(contact_of(rng.randrange(people)), rng)))
        if index >= 20:
            measured.add(answer, "/v1/preflight")
    return measured


def _message(contact: str, rng: random.Random) -> dict[str, object]:
    values = [{"type": "text", "text": "Ana"}, {"type": "text", "text": "7"}]
    template = {
        "name": f"order_{rng.randrange(TEMPLATES)}",
        "language": {"code": "en_US"},
        "components": [{"type": "body", "parameters": values}],
    }
    message = {"messaging_product": "whatsapp", "to": contact, "type": "template", "template": template}
    return {"phone_number_id": _NUMBER, "messages": [message]}
