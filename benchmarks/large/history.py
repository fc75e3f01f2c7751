"""Generates 90 days of messages inside the database, a day at a time, and everything that ingest derives from them.

Each message is a number. Its events follow from hashes of that number, so that a run can be repeated. The derived
tables are counted from the events, by the definitions of ingest; tests/benchmarks compares the result with ingest.
Requires a migrated database without rows.
"""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from msgspec import Struct

from benchmarks.large.derived import DERIVED, FINISH
from benchmarks.large.people import PERSON, PREFIXES
from webhook_app.store.counts.lateness import BOUNDS_S, GRACE
from webhook_app.store.receiving.archive import pack
from webhook_app.whatsapp.receiving.pricing import pricing_number

DAYS = 90
MESSAGES = 11_300_000
"""At full scale; with 2.65 events each these are 30 million events."""

NUMBERS = 12
SERIES_COMBINATIONS = 2_000
"""Combinations of number, template, campaign and country, some of them equal. Thirty are in use at a time."""

FAILING = 0.03
RECIPIENT_STEPS = 250_000
"""Steps through the recipients of messages: about two million people at full scale."""

INCIDENT = timedelta(minutes=25)
"""How long before the end the messages of the first number start to fail, so that the rules fire."""

Connection = psycopg.Connection[Any]
Print = Callable[[str], None]


class FailureKind(Struct, frozen=True):
    """One kind of failure and its share in a thousand failures. `variants` is the number of different details."""

    code: int
    share: int
    title: str
    details: str
    variants: int = 1
    source: str = "webhook"
    subcode: int = -1


KINDS = (
    FailureKind(131026, 430, "Message undeliverable", "Message Undeliverable."),
    FailureKind(
        131049, 150, "Not delivered to maintain engagement", "In order to maintain a healthy ecosystem."
    ),
    FailureKind(
        131047, 90, "Re-engagement message", "More than 24 hours have passed since the customer last replied."
    ),
    FailureKind(130472, 50, "User's number is part of an experiment", "Part of an experiment."),
    FailureKind(131053, 70, "Media upload error", "Media file could not be fetched, attempt", variants=400),
    FailureKind(131000, 50, "Something went wrong", "Unknown error."),
    FailureKind(132015, 40, "Template is paused", "Template is paused due to low quality."),
    FailureKind(132001, 25, "Template does not exist", "Template name does not exist in the translation."),
    FailureKind(131056, 20, "Pair rate limit hit", "Too many messages to the same person."),
    FailureKind(131048, 15, "Spam rate limit hit", "Restrictions on how many messages can be sent."),
    FailureKind(130429, 15, "Rate limit hit", "Cloud API message throughput has been reached."),
    FailureKind(131042, 10, "Business eligibility payment issue", "Payment account is not attached."),
    FailureKind(135000, 5, "Generic user error", "Parameter of the request", variants=40),
    FailureKind(190, 20, "Session has expired", "Error validating access token.", source="send", subcode=463),
    FailureKind(
        131053, 10, "Media upload error", "Media file could not be fetched."
    ),  # the failure of the incident
)

_PREPARE = """
CREATE FUNCTION pg_temp.chance(i bigint, about int) RETURNS float8 IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN (hashint8extended(i, about) & 1073741823) / 1073741824.0;

INSERT INTO series (phone_number_id, waba_id, template, campaign, country)
SELECT DISTINCT number_of, 'waba' || substr(number_of, 3)::int %% 3, 'template_' || p %% 40,
       CASE WHEN p %% 5 = 0 THEN '' ELSE 'campaign_' || p / 20 END,
       (%(countries)s::text[])[1 + p %% %(kinds_of_people)s]
FROM (SELECT p, 'pn' || 1000 + p * 7 %% %(numbers)s AS number_of FROM generate_series(0, %(lines)s - 1) p) o;

CREATE TEMP TABLE lines AS
SELECT (row_number() OVER (ORDER BY id) - 1)::int AS place, id AS series_id, phone_number_id,
       array_position(%(countries)s::text[], country) - 1 AS country
FROM series;
CREATE UNIQUE INDEX ON lines (place);

CREATE TEMP TABLE kinds AS
SELECT place::int, code, subcode, source, title, details, variants
FROM unnest(%(codes)s::bigint[], %(subcodes)s::bigint[], %(sources)s::text[], %(titles)s::text[], %(details)s::text[],
            %(variants)s::int[]) WITH ORDINALITY AS k(code, subcode, source, title, details, variants, place);

CREATE TEMP TABLE day (i bigint, message_id text, phone_number_id text, contact text, series_id int,
                       sent_at timestamptz, delivered_at timestamptz, read_at timestamptz, failed_at timestamptz,
                       again_at timestamptz, kind int);
CREATE TEMP TABLE events (message_id text, phone_number_id text, contact text, series_id int, status text,
                        occurred_at timestamptz, received_at timestamptz, error_code bigint);
CREATE TEMP TABLE counted (minute timestamptz, series_id int, attempts int, sent int, delivered int, read int,
                           failed int);
CREATE TEMP TABLE lags (minute timestamptz, place int, events bigint);
CREATE TEMP TABLE delivered (minute timestamptz, messages bigint);
ALTER TABLE messages DROP CONSTRAINT messages_pkey;
"""

# Half of the failed messages have no `sent`; failed send calls never have one.
_DAY = f"""
TRUNCATE day, events;
INSERT INTO day
SELECT i, CASE WHEN k.source = 'send' THEN 'send:' ELSE 'wamid.HBgM' END || upper(md5(i::text)) || '==',
       phone_number_id, {PERSON.format(p="p")}, series_id,
       CASE WHEN kind IS NULL OR (k.source <> 'send' AND pg_temp.chance(i, 5) < 0.5) THEN at END,
       CASE WHEN kind IS NULL AND pg_temp.chance(i, 6) < 0.97
            THEN at + floor(1 + 15 * pg_temp.chance(i, 7) ^ 3) * interval '1 second' END,
       CASE WHEN kind IS NULL AND pg_temp.chance(i, 6) < 0.68
            THEN at + floor(17 + 7200 * pg_temp.chance(i, 8) ^ 4) * interval '1 second' END,
       CASE WHEN kind IS NOT NULL THEN at + floor(20 * pg_temp.chance(i, 9)) * interval '1 second' END,
       CASE WHEN kind IS NOT NULL AND k.source <> 'send' AND pg_temp.chance(i, 10) < 0.02
            THEN at + floor(30 + 90 * pg_temp.chance(i, 11)) * interval '1 second' END,
       kind
FROM (
  SELECT o.*, l.series_id, l.phone_number_id,
         -- somebody of the country of the series
         near / 80 * 80 + l.country * 10 + near %% 10 AS p,
         CASE WHEN at >= %(incident)s AND l.phone_number_id = 'pn1000' AND pg_temp.chance(i, 3) < 0.4
                THEN cardinality(%(bounds)s::float8[])
              WHEN pg_temp.chance(i, 3) < %(failing)s
                THEN width_bucket(pg_temp.chance(i, 4), %(bounds)s::float8[])
         END AS kind
  FROM (
    SELECT i, at, (k * 400 + k * 7 %% 400) AS near,
           ((extract(epoch FROM at)::bigint / 3600 * 7 + floor(30 * pg_temp.chance(i, 2) ^ 2)::int)
            %% (SELECT count(*) FROM lines))::int AS place
    FROM (
      SELECT i, %(start)s::timestamptz + floor(pg_temp.chance(i, 1) * %(seconds)s) * interval '1 second' AS at,
             floor(pg_temp.chance(i, 12) * %(written_to)s)::bigint AS k
      FROM generate_series(%(first)s::bigint, %(last)s::bigint) i) t) o
  JOIN lines l USING (place)) m
LEFT JOIN kinds k ON k.place = m.kind;

INSERT INTO events
SELECT message_id, phone_number_id, contact, series_id, status, occurred_at,
       least(occurred_at + (1 + floor(4 * pg_temp.chance(i, 20))) * interval '1 second', %(now)s), code
FROM (
  SELECT i, message_id, phone_number_id, contact, series_id, 'sent' AS status, sent_at AS occurred_at,
         -1::bigint AS code
  FROM day WHERE sent_at <= %(now)s
  UNION ALL
  SELECT i, message_id, phone_number_id, contact, series_id, 'delivered', delivered_at, -1
  FROM day WHERE delivered_at <= %(now)s
  UNION ALL
  SELECT i, message_id, phone_number_id, contact, series_id, 'read', read_at, -1 FROM day WHERE read_at <= %(now)s
  UNION ALL
  SELECT i, message_id, phone_number_id, contact, series_id, 'failed', failed_at, k.code
  FROM day JOIN kinds k ON k.place = kind WHERE failed_at <= %(now)s
  UNION ALL
  SELECT i, message_id, phone_number_id, contact, series_id, 'failed', again_at, 131000
  FROM day WHERE again_at <= %(now)s) e;
ANALYZE events;
"""

_FACTS = """
INSERT INTO status_events (message_id, phone_number_id, status, occurred_at, error_code, contact, series_id, category,
                           pricing, received_at)
SELECT message_id, phone_number_id, status, occurred_at, error_code, contact, series_id,
       CASE WHEN status = 'failed' THEN '' WHEN series_id %% 3 = 0 THEN 'utility' ELSE 'marketing' END,
       CASE WHEN status IN ('sent', 'delivered') THEN %(price)s ELSE 0 END, received_at
FROM events ORDER BY received_at;

INSERT INTO failures (message_id, phone_number_id, occurred_at, error_code, contact, series_id, title, details, errors,
                      source, error_subcode, fbtrace_id, received_at, considered_at)
SELECT t.message_id, t.phone_number_id, t.occurred_at, t.error_code, t.contact, t.series_id, k.title, e.details,
       jsonb_build_array(jsonb_build_object('code', t.error_code, 'title', k.title, 'message', k.title,
                                            'error_data', jsonb_build_object('details', e.details))),
       k.source, k.subcode, CASE WHEN k.source = 'send' THEN 'A' || substr(md5(t.message_id), 1, 10) ELSE '' END,
       t.received_at, t.received_at
FROM events t JOIN day d USING (message_id)
JOIN kinds k ON k.place = CASE WHEN t.occurred_at = d.again_at THEN %(again)s ELSE d.kind END
CROSS JOIN LATERAL (SELECT k.details || CASE WHEN k.variants > 1
                      THEN ' ' || floor(k.variants * pg_temp.chance(d.i, 13)) ELSE '' END AS details) e
WHERE t.status = 'failed';

INSERT INTO inbound_messages (message_id, phone_number_id, occurred_at, contact, kind, keyword, opens_window,
                              received_at, considered_at)
SELECT 'wamid.IN' || upper(md5(i::text)), phone_number_id, at, contact, 'text',
       CASE WHEN pg_temp.chance(i, 15) < 0.02 THEN 'stop' ELSE '' END, true, at + interval '2 seconds',
       at + interval '3 seconds'
FROM (SELECT *, read_at + floor(600 * pg_temp.chance(i, 14)) * interval '1 second' AS at FROM day) d
WHERE pg_temp.chance(i, 16) < 0.08 AND at < %(now)s - interval '3 seconds';

INSERT INTO sends (message_id, phone_number_id, failed, contact, template, campaign, sent_at, registered_at)
SELECT message_id, d.phone_number_id, false, contact, s.template, s.campaign, sent_at, sent_at
FROM day d JOIN series s ON s.id = series_id WHERE sent_at <= %(now)s AND pg_temp.chance(i, 17) < 0.1;
"""

_DELIVERIES = """
INSERT INTO deliveries (received_at, body, packed)
SELECT at, %(body)s, true
FROM generate_series(%(now)s::timestamptz - interval '1 day', %(now)s::timestamptz, interval '1 minute') at
"""


def make_history(connection: Connection, scale: float, now: datetime, report: Print, days: int = DAYS) -> int:
    """Write the days up to `now` and return the number of messages. The partitions must exist."""
    cursor = psycopg.ClientCursor(connection)
    bounds = [sum(kind.share for kind in KINDS[:place]) / 1000 for place in range(len(KINDS))]
    columns = zip(
        *((k.code, k.subcode, k.source, k.title, k.details, k.variants) for k in KINDS), strict=True
    )
    names = ("codes", "subcodes", "sources", "titles", "details", "variants")
    fixed: dict[str, Any] = dict(zip(names, map(list, columns), strict=True)) | {
        "countries": [country for country, _ in PREFIXES],
        "kinds_of_people": len(PREFIXES),
        "numbers": NUMBERS,
        "lines": SERIES_COMBINATIONS,
    }
    cursor.execute(_PREPARE, fixed)
    fixed |= {
        "now": now,
        "incident": now - INCIDENT,
        "bounds": bounds,
        "failing": FAILING,
        "again": next(place for place, kind in enumerate(KINDS, 1) if kind.code == 131000),
        "written_to": max(10, round(RECIPIENT_STEPS * scale)),
        "lag_bounds": list(BOUNDS_S),
        "price": pricing_number(billable=True, model="PMP", kind="regular"),
    }
    first_day = datetime(now.year, now.month, now.day, tzinfo=UTC) - timedelta(days=days - 1)
    made = 0
    for number in range(days):
        start = first_day + timedelta(days=number)
        seconds = min(86_400, math.floor((now - start).total_seconds()))
        upto = made + round(MESSAGES * scale / DAYS * seconds / 86_400)
        span = {"start": start, "seconds": seconds, "first": made, "last": upto - 1, "slot": number % 2}
        for statements in (_DAY, _FACTS, DERIVED):
            cursor.execute(statements, fixed | span)
        connection.commit()
        made = upto
        if number % 10 == 9:
            report(f"{number + 1} days, {made:,} messages")
    hour = now.replace(minute=0, second=0, microsecond=0)
    places = {"hour": hour, "start": first_day, "places": len(BOUNDS_S), "grace": GRACE, "now": now}
    cursor.execute(FINISH, places)
    cursor.execute(_DELIVERIES, {"now": now, "body": pack([json.dumps({"entry": []}).encode()])})
    connection.commit()
    return made
