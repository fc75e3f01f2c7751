"""The error codes that have counts of their own: those of the catalogue, and others up to a ceiling per hour.

Evaluation, metrics and lists grow with the number of codes, and webhooks and reports can contain made-up codes.
`over_ceiling` uses the driver: it runs beside the ingest statement, once per batch with new codes.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import text

from webhook_app.store.postgres.arrays import int_array
from webhook_app.store.postgres.engine import Connection, DriverConnection
from webhook_app.whatsapp.errors.catalogue import is_known

MAX_NEW_CODES = 500
"""Codes that are not in the catalogue and new within an hour; further ones are counted as OTHER_CODE."""
MAX_REPORTED_CODES = 100
"""Codes of senders' reports count as OTHER_CODE from so many new ones, which leaves room for those of webhooks."""

_FIND = "SELECT code FROM seen_codes WHERE code = ANY(%s::bigint[])"
_NEW_THIS_HOUR = "SELECT count(*) FROM seen_codes WHERE first_at >= date_trunc('hour', now())"
_INSERT = "INSERT INTO seen_codes (code, first_at) SELECT unnest(%s::bigint[]), now() ON CONFLICT DO NOTHING"
_NEW_SINCE = text("SELECT count(*) FROM seen_codes WHERE first_at >= :since")


def over_ceiling(connection: DriverConnection, codes: Iterable[int], *, reported: bool = False) -> set[int]:
    """Return the codes that are counted as OTHER_CODE. New ones below the ceiling are noted as seen.

    `reported`: a sender's report holds them.
    """
    unknown = sorted(code for code in codes if not is_known(code))
    if not unknown:
        return set()
    seen = {row[0] for row in connection.execute(_FIND, [int_array(unknown)])}
    missing = [code for code in unknown if code not in seen]
    if not missing:
        return set()
    (new,) = connection.execute(_NEW_THIS_HOUR).fetchall()[0]
    room = max(0, (MAX_REPORTED_CODES if reported else MAX_NEW_CODES) - new)
    if room:
        connection.execute(_INSERT, [int_array(missing[:room])])
    return set(missing[room:])


def is_at_ceiling(connection: Connection, since: datetime, *, reported: bool = False) -> bool:
    """Whether so many codes are new since then that further ones, or those of reports, are counted as OTHER_CODE."""
    most = MAX_REPORTED_CODES if reported else MAX_NEW_CODES
    return bool(connection.execute(_NEW_SINCE, {"since": since}).scalar_one() >= most)
