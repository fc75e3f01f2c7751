"""Deleting what is too old and lies in no partition, a batch at a time: each call locks few rows for a moment.

How long things are kept is not decided here.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, text

BATCH = 5_000

_BY_TIME = {
    "minute_counts": "minute < :cutoff",
    "rejections": "minute < :cutoff",
    "clock_repairs": "occurred_at < :cutoff",
    "quarantine": "replayed_at < :cutoff",
}

_DELETE = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {condition} LIMIT {limit}))
"""
