"""API requests to the large database: failures with every combination of filters, funnels, messages, contacts."""

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import chain, combinations
from typing import Any
from urllib.parse import urlencode

import psycopg
from msgspec import Struct

from benchmarks.large.http_client import Client, Measurement

FAILURES_MS, FUNNEL_MS, MESSAGE_MS = 100.0, 300.0, 10.0
_GROUPS = ("", "template", "campaign", "country", "category", "phone_number_id", "template,country")


class Samples(Struct):
    """Values from the database to request."""

    failures: list[tuple[Any, ...]]
    """message, contact, number, account, template, campaign, country, code, source, subcode, details, time."""
    messages: list[str]
    contacts: list[str]


def take_samples(connection: psycopg.Connection[Any], rng: random.Random, count: int = 200) -> Samples:
    """Return rows from random times of the whole history."""
    shares = [rng.random() for _ in range(count)]
    failures = connection.execute(
        """
        SELECT f.message_id, f.contact, f.phone_number_id, s.waba_id, s.template, s.campaign, s.country, f.error_code,
               f.source, f.error_subcode, f.details, f.occurred_at
        FROM (SELECT min(occurred_at) AS first, max(occurred_at) - min(occurred_at) AS span FROM failures) t,
             unnest(%s::float8[]) AS share
        CROSS JOIN LATERAL (SELECT * FROM failures WHERE occurred_at >= t.first + t.span * share
                            ORDER BY occurred_at LIMIT 1) f
        JOIN series s ON s.id = f.series_id
        """,
        [shares],
    ).fetchall()
    messages = connection.execute(
        """
        SELECT e.message_id, e.contact
        FROM (SELECT min(occurred_at) AS first, max(occurred_at) - min(occurred_at) AS span FROM failures) t,
             unnest(%s::float8[]) AS share
        CROSS JOIN LATERAL (SELECT message_id, contact FROM status_events
          WHERE occurred_at >= t.first + t.span * share
            AND occurred_at < t.first + t.span * share + interval '10 minutes' AND status = 'read' LIMIT 1) e
        """,
        [shares],
    ).fetchall()
    return Samples(failures, [row[0] for row in messages], [row[1] for row in messages])


# ── Failures ─────────────────────────────────────────────────────────────────────────────────────────────

_FILTERS = (
    *(
        "code",
        "class",
        "domain",
        "source",
        "text",
        "phone_number_id",
        "waba_id",
        "template",
        "campaign",
        "country",
    ),
    *("contact", "dead_letter", "time"),
)


def failures(client: Client, samples: Samples, rng: random.Random, limit: int) -> Measurement:
    """Request combinations of filters, small ones first, up to a limit (0: all), and the next page of some."""
    measured = Measurement("/v1/failures, combined filters", FAILURES_MS)
    every = list(chain.from_iterable(combinations(_FILTERS, size) for size in range(len(_FILTERS) + 1)))
    few = [names for names in every if len(names) <= 2]
    rest = [names for names in every if len(names) > 2]
    rng.shuffle(rest)
    wanted = few + (rest[: max(0, limit - len(few))] if limit else rest)
    for names in wanted:
        for query in _variants(names, samples, rng):
            path = f"/v1/failures?{urlencode(query)}"
            answer = measured.add(client.send(path), path)
            following = json.loads(answer.content)["next_cursor"]
            if following and rng.random() < 0.3:
                measured.add(client.send(f"{path}&{urlencode({'cursor': following})}"), f"{path} (next page)")
    return measured


def _variants(names: tuple[str, ...], samples: Samples, rng: random.Random) -> Iterator[dict[str, str]]:
    """Return the filters with the values of one failure, and with values of different failures."""
    one = rng.choice(samples.failures)
    yield {"limit": "50"} | {k: v for name in names for k, v in _value(name, one).items()}
    yield {"limit": "50"} | {
        k: v for name in names for k, v in _value(name, rng.choice(samples.failures)).items()
    }


def _value(name: str, row: tuple[Any, ...]) -> dict[str, str]:
    _, contact, number, account, template, campaign, country, code, source, _, details, at = row
    if name == "time":
        return _span(at)
    values = {
        "code": str(code),
        "class": {131026: "unreachable", 131049: "withheld", 130472: "withheld"}.get(code, "broken"),
        "domain": {131026: "recipient", 131053: "media", 132015: "template", 190: "auth"}.get(
            code, "platform"
        ),
        "source": source,
        "text": details[-12:],
        "phone_number_id": number,
        "waba_id": account,
        "template": template,
        "campaign": campaign,
        "country": country,
        "contact": f"+{contact}",
        "dead_letter": "true",
    }
    return {name: values[name]}


def _span(at: datetime) -> dict[str, str]:
    return {"since": (at - timedelta(days=2)).isoformat(), "until": (at + timedelta(days=5)).isoformat()}


# ── The rest of the API ──────────────────────────────────────────────────────────────────────────────────


def funnels(client: Client, made_at: datetime, rounds: int = 3) -> Measurement:
    """Request the funnel of today and of an earlier day in all groupings, compared with the day before."""
    measured = Measurement("/v1/funnel of a day", FUNNEL_MS)
    for _ in range(rounds):
        for group in _GROUPS:
            for days in (0, 9):
                query = {"until": (made_at - timedelta(days=days)).isoformat()} | (
                    {"group_by": group} if group else {}
                )
                path = f"/v1/funnel?{urlencode(query)}"
                measured.add(client.send(path), path)
    return measured


def messages(client: Client, samples: Samples) -> Measurement:
    measured = Measurement("/v1/messages/{id}", MESSAGE_MS)
    for message_id in [*samples.messages, *(row[0] for row in samples.failures)]:
        path = f"/v1/messages/{message_id}"
        measured.add(client.send(path), path)
    return measured


def contacts(client: Client, samples: Samples) -> Measurement:
    measured = Measurement("/v1/contacts/{contact}", None)
    for contact in samples.contacts:
        path = f"/v1/contacts/+{contact}"
        measured.add(client.send(path), path)
    return measured
