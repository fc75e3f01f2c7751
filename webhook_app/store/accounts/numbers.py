"""Business numbers: those that webhooks came from, and those that the Graph API listed, with their names.

A number that Meta no longer lists keeps its last description, so that old incidents can still be read.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import text

from webhook_app.rules.accounts.names import LONGEST_NAME, ids_in
from webhook_app.store.postgres.engine import Connection


class ListedNumber(Struct, frozen=True, kw_only=True):
    """A business number. `read_at`: when the Graph API described it; None if only webhooks named it."""

    phone_number_id: str
    waba_id: str
    account_name: str = ""
    display_phone_number: str
    verified_name: str = ""
    status: str = ""
    quality: str = ""
    messaging_limit: str = ""
    throughput: str = ""
    mode: str = ""
    read_at: datetime | None = None


_COLUMNS = ListedNumber.__struct_fields__
_SAVE = text(f"""
INSERT INTO meta_numbers ({", ".join(_COLUMNS)}) VALUES ({", ".join(f":{name}" for name in _COLUMNS)})
ON CONFLICT (phone_number_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[1:])}
""")
_KNOWN = f"""
WITH seen AS (
  SELECT DISTINCT ON (phone_number_id) phone_number_id, waba_id,
         CASE display_phone_number WHEN '' THEN '' ELSE '+' || display_phone_number END AS display_phone_number
  FROM business_numbers WHERE {{of_ids}} ORDER BY phone_number_id, seen_at DESC, display_phone_number DESC
), known AS (
  SELECT {", ".join(_COLUMNS)} FROM meta_numbers WHERE {{of_ids}}
  UNION ALL
  SELECT phone_number_id, waba_id, '', display_phone_number, '', '', '', '', '', '', NULL FROM seen s
  WHERE NOT EXISTS (SELECT FROM meta_numbers m WHERE m.phone_number_id = s.phone_number_id)
)
"""
_LIST = text(
    f"{_KNOWN.format(of_ids='phone_number_id > :after')} SELECT * FROM known ORDER BY phone_number_id LIMIT :limit"
)
_NAMES = f"""{_KNOWN.format(of_ids="{of_numbers}")}
SELECT phone_number_id AS id, concat_ws(' ', nullif(verified_name, ''), nullif(display_phone_number, '')) AS name
FROM known WHERE verified_name <> '' OR display_phone_number <> ''
UNION ALL
(SELECT DISTINCT ON (waba_id) waba_id, account_name FROM meta_numbers
 WHERE {{of_accounts}} AND account_name <> '' ORDER BY waba_id, read_at DESC)
"""
_NAMES_OF = text(_NAMES.format(of_numbers="phone_number_id = ANY(:ids)", of_accounts="waba_id = ANY(:ids)"))
_IDS = text("SELECT phone_number_id FROM business_numbers UNION SELECT phone_number_id FROM meta_numbers")
_ALL_NAMES = text(_NAMES.format(of_numbers="TRUE", of_accounts="TRUE"))


def save(connection: Connection, numbers: Sequence[ListedNumber]) -> None:
    """Store what the Graph API says of these numbers."""
    if numbers:
        connection.execute(_SAVE, [{name: getattr(each, name) for name in _COLUMNS} for each in numbers])


def list_numbers(connection: Connection, limit: int, after: str = "") -> list[ListedNumber]:
    """A page of all numbers, by id."""
    rows = connection.execute(_LIST, {"after": after, "limit": limit})
    return [ListedNumber(**row) for row in rows.mappings()]


def known_ids(connection: Connection) -> frozenset[str]:
    """The ids of all numbers that webhooks or the Graph API have named."""
    return frozenset(connection.execute(_IDS).scalars())


def names(connection: Connection, texts: str) -> dict[str, str]:
    """The names of the numbers and accounts whose ids occur in these texts: verified name and digits, if known."""
    ids = ids_in(texts)
    return {row[0]: row[1] for row in connection.execute(_NAMES_OF, {"ids": ids})} if ids else {}


def all_names(connection: Connection) -> dict[str, str]:
    """The names of all numbers and accounts that have one, by id."""
    return {row[0]: row[1][:LONGEST_NAME] for row in connection.execute(_ALL_NAMES)}
