"""SQL that derives what ingest and the hourly jobs derive from events, for a whole day or for all days."""

DERIVED = """
INSERT INTO service_windows AS w (contact, phone_number_id, opened_at)
SELECT contact, phone_number_id, max(occurred_at) FROM inbound_messages
WHERE occurred_at > %(now)s - interval '1 day' GROUP BY contact, phone_number_id
ON CONFLICT (contact, phone_number_id) DO UPDATE SET opened_at = greatest(w.opened_at, excluded.opened_at);

INSERT INTO messages (message_id, phone_number_id, contact, series_id, sent_at, failed_at)
SELECT message_id, phone_number_id, max(contact), min(series_id), min(occurred_at) FILTER (WHERE status = 'sent'),
       min(occurred_at) FILTER (WHERE status = 'failed')
FROM events WHERE status IN ('sent', 'failed') GROUP BY message_id, phone_number_id;

INSERT INTO counted
SELECT date_trunc('minute', coalesce(min(occurred_at) FILTER (WHERE status = 'sent'), min(occurred_at))),
       min(series_id), 1, 0, 0, 0, 0
FROM events WHERE status IN ('sent', 'failed') GROUP BY message_id, phone_number_id
UNION ALL
SELECT date_trunc('minute', occurred_at), series_id, 0, (status = 'sent')::int, (status = 'delivered')::int,
       (status = 'read')::int, (status = 'failed')::int
FROM events;
INSERT INTO minute_counts (minute, series_id, slot, attempts, sent, delivered, read, failed)
SELECT minute, series_id, %(slot)s, sum(attempts), sum(sent), sum(delivered), sum(read), sum(failed)
FROM counted GROUP BY minute, series_id;
TRUNCATE counted;

INSERT INTO failed_messages (message_id, phone_number_id, minute, error_code, series_id, alone, first_at, last_at)
SELECT message_id, phone_number_id, date_trunc('minute', min(occurred_at)), min(error_code), min(series_id),
       count(*) = 1, min(occurred_at), max(occurred_at)
FROM events WHERE status = 'failed' GROUP BY message_id, phone_number_id;
INSERT INTO failure_counts (minute, series_id, error_code, slot, failures)
SELECT date_trunc('minute', at), series_id, error_code, %(slot)s, count(*)
FROM (SELECT min(series_id) AS series_id, min(error_code) AS error_code, min(occurred_at) AS at
      FROM events WHERE status = 'failed' GROUP BY message_id, phone_number_id HAVING count(*) = 1) once
GROUP BY 1, 2, 3;

INSERT INTO books (day, slot, received, applied)
SELECT received_at::date, %(slot)s, count(*), count(*) FROM events GROUP BY 1
ON CONFLICT (day, slot) DO UPDATE
  SET received = books.received + excluded.received, applied = books.applied + excluded.applied;

INSERT INTO lags
SELECT date_trunc('minute', received_at),
       width_bucket(extract(epoch FROM received_at - occurred_at)::float8, %(lag_bounds)s::float8[]), count(*)
FROM events GROUP BY 1, 2;
INSERT INTO delivered
SELECT date_trunc('minute', received_at), count(DISTINCT message_id)
FROM events WHERE status IN ('delivered', 'read') GROUP BY 1;
"""

"""Derives what ingest derives, from the events of a day in the temporary table `events`."""

FINISH = """
ALTER TABLE messages ADD CONSTRAINT messages_pkey PRIMARY KEY (message_id, phone_number_id);

INSERT INTO hourly_counts (hour, series_id, attempts, events)
SELECT date_trunc('hour', minute), series_id, sum(attempts), sum(sent + delivered + read + failed)
FROM minute_counts WHERE minute < %(hour)s GROUP BY 1, 2;
INSERT INTO hourly_failures (hour, error_code, series_id, failures)
SELECT hour, error_code, series_id, sum(failures)
FROM (SELECT date_trunc('hour', minute) AS hour, error_code, series_id, failures FROM failure_counts
      UNION ALL
      SELECT date_trunc('hour', f.occurred_at), f.error_code, f.series_id,
             count(DISTINCT (f.message_id, f.phone_number_id))
      FROM failed_messages m JOIN failures f USING (message_id, phone_number_id) WHERE NOT m.alone GROUP BY 1, 2, 3) u
WHERE hour < %(hour)s GROUP BY 1, 2, 3;
INSERT INTO summed_hours (hour, summed_at)
SELECT h, %(now)s FROM generate_series(%(start)s::timestamptz, %(hour)s::timestamptz - interval '1 hour', '1 hour') h;

INSERT INTO lateness (minute, events, lags)
SELECT minute, sum(events), array_agg(events ORDER BY place)
FROM (SELECT minute, p AS place, coalesce(sum(events) FILTER (WHERE place = p), 0) AS events
      FROM (SELECT minute, place, sum(events)::bigint AS events FROM lags GROUP BY 1, 2) l,
           generate_series(0, %(places)s) p
      GROUP BY 1, 2) filled
WHERE minute < date_trunc('minute', %(now)s::timestamptz) GROUP BY minute;
UPDATE lateness a SET reached = coalesce(r.messages, 0), unsent = 0
FROM (SELECT l.minute, sum(messages)::bigint AS messages
      FROM (SELECT DISTINCT minute FROM lags) l LEFT JOIN delivered USING (minute) GROUP BY 1) r
WHERE r.minute = a.minute AND a.minute < %(now)s::timestamptz - %(grace)s;
DROP TABLE day, events, counted, lags, delivered, kinds, lines;
"""
"""Derives what the jobs derive, once all days are there, and drops the temporary tables."""
